//! The rules of one Service. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::iptables::Table;
use crate::iptables::names::{EXTERNAL, FIREWALL, SERVICE, SERVICE_LOCAL, endpoint_chain, service_chain};
use crate::model::{Family, Frontend};
use crate::options::{LocalTraffic, Options};

/// A chain to which all Services add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shared {
    NatServices,
    NatNodePorts,
    FilterServices,
    FilterExternalServices,
    FilterFirewall,
}

impl Shared {
    pub const ALL: [Shared; 5] = [
        Shared::NatServices,
        Shared::NatNodePorts,
        Shared::FilterServices,
        Shared::FilterExternalServices,
        Shared::FilterFirewall,
    ];

    pub fn chain(self) -> (Table, &'static str) {
        match self {
            Shared::NatServices => (Table::Nat, "KUBE-SERVICES"),
            Shared::NatNodePorts => (Table::Nat, "KUBE-NODEPORTS"),
            Shared::FilterServices => (Table::Filter, "KUBE-SERVICES"),
            Shared::FilterExternalServices => (Table::Filter, "KUBE-EXTERNAL-SERVICES"),
            Shared::FilterFirewall => (Table::Filter, "KUBE-PROXY-FIREWALL"),
        }
    }
}

/// Rules without `-A CHAIN`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRules {
    pub shared: Vec<(Shared, String)>,
    /// Own chains of the nat table.
    pub chains: BTreeMap<String, Vec<String>>,
}

/// Rules of one Service in one family.
pub fn rules(frontends: &[Frontend], options: &Options) -> ServiceRules {
    let mut rules = ServiceRules::default();
    for frontend in frontends {
        if frontend.endpoints.is_empty() {
            no_endpoints(frontend, options, &mut rules);
        } else {
            Port {
                frontend,
                options,
                rules: &mut rules,
            }
            .write();
        }
    }
    rules
}

fn comment(text: &str) -> String {
    // Quoted as iptables-save does it; names of the API hold no quotes.
    if text.contains(' ') {
        format!("-m comment --comment \"{text}\"")
    } else {
        format!("-m comment --comment {text}")
    }
}

fn destination(frontend: &Frontend, address: IpAddr) -> String {
    let protocol = frontend.protocol.as_str();
    let host = if address.is_ipv4() { 32 } else { 128 };
    format!(
        "-m {protocol} -p {protocol} -d {address}/{host} --dport {}",
        frontend.port
    )
}

fn reject(options: &Options) -> &'static str {
    match options.family {
        Family::V4 => "-j REJECT",
        Family::V6 => "-j REJECT --reject-with icmp6-port-unreachable",
    }
}

fn no_endpoints(frontend: &Frontend, options: &Options, rules: &mut ServiceRules) {
    let comment = comment(&format!("{} has no endpoints", frontend.name));
    let tail = format!("{comment} {{}} {}", reject(options));
    filter(frontend, true, true, &tail, rules);
}

/// Rules of the filter table for what the nat table leaves alone; `{}` in the template is the match.
fn filter(frontend: &Frontend, internal: bool, external: bool, template: &str, rules: &mut ServiceRules) {
    let mut add =
        |shared, matching: String| rules.shared.push((shared, template.replacen("{}", &matching, 1)));
    if internal {
        add(Shared::FilterServices, destination(frontend, frontend.cluster_ip));
    }
    if !external {
        return;
    }
    for address in frontend.external_addresses() {
        add(Shared::FilterExternalServices, destination(frontend, address));
    }
    if let Some(port) = frontend.node_port {
        let protocol = frontend.protocol.as_str();
        let matching = format!("-m addrtype --dst-type LOCAL -m {protocol} -p {protocol} --dport {port}");
        add(Shared::FilterExternalServices, matching);
    }
}

struct Port<'a> {
    frontend: &'a Frontend,
    options: &'a Options,
    rules: &'a mut ServiceRules,
}

impl Port<'_> {
    fn write(&mut self) {
        let frontend = self.frontend;
        let (name, protocol) = (&frontend.name, frontend.protocol);
        let cluster = service_chain(SERVICE, name, protocol);
        let local = service_chain(SERVICE_LOCAL, name, protocol);
        let external = service_chain(EXTERNAL, name, protocol);
        let has_external = frontend.has_external();
        // Outside traffic under policy Local that comes from pods also uses it.
        if !frontend.internal_local || has_external {
            self.choices(&cluster, &frontend.endpoints, &format!("{name} ->"));
        }
        let no_local = frontend.local_endpoints.is_empty();
        if !no_local && (frontend.internal_local || (has_external && frontend.external_local)) {
            self.choices(&local, &frontend.local_endpoints, &format!("{name} ->"));
        }
        if no_local {
            // Dropped, not refused: the client may try again while the endpoints move.
            let template = format!(
                "{} {{}} -j DROP",
                comment(&format!("{name} has no local endpoints"))
            );
            filter(
                frontend,
                frontend.internal_local,
                frontend.external_local,
                &template,
                self.rules,
            );
        }
        let internal = if frontend.internal_local { &local } else { &cluster };

        if !(frontend.internal_local && no_local) {
            let matching = destination(frontend, frontend.cluster_ip);
            self.share(
                Shared::NatServices,
                "cluster IP",
                &matching,
                &format!("-j {internal}"),
            );
            self.masquerade_from_outside(internal, &matching);
        }
        for address in &frontend.external_ips {
            let matching = destination(frontend, *address);
            self.share(
                Shared::NatServices,
                "external IP",
                &matching,
                &format!("-j {external}"),
            );
        }
        self.load_balancer(&external);
        if let Some(port) = frontend.node_port {
            let protocol = protocol.as_str();
            let line = format!(
                "{} -m {protocol} -p {protocol} --dport {port} -j {external}",
                comment(name)
            );
            self.rules.shared.push((Shared::NatNodePorts, line));
        }
        if has_external {
            let lines = self.external(&cluster, &local);
            self.rules.chains.insert(external, lines);
        }
    }

    fn share(&mut self, shared: Shared, what: &str, matching: &str, target: &str) {
        let comment = comment(&format!("{} {what}", self.frontend.name));
        self.rules
            .shared
            .push((shared, format!("{comment} {matching} {target}")));
    }

    /// A rule at the head of the chain that cluster IPs lead to.
    fn masquerade_from_outside(&mut self, chain: &str, matching: &str) {
        let outside = match &self.options.local_traffic {
            _ if self.options.masquerade_all => String::new(),
            LocalTraffic::Unknown => return,
            LocalTraffic::From(networks) => match networks.first() {
                // One range per family is what the configuration can say.
                Some(network) => format!(" ! -s {network}"),
                None => return,
            },
            LocalTraffic::Interface(name) => format!(" ! -i {name}"),
            LocalTraffic::InterfacePrefix(prefix) => format!(" ! -i {prefix}+"),
        };
        let comment = comment(&format!("{} cluster IP", self.frontend.name));
        if let Some(lines) = self.rules.chains.get_mut(chain) {
            lines.insert(0, format!("{comment} {matching}{outside} -j KUBE-MARK-MASQ"));
        }
    }

    fn load_balancer(&mut self, external: &str) {
        let frontend = self.frontend;
        if frontend.load_balancer_ips.is_empty() {
            return;
        }
        let firewall = service_chain(FIREWALL, &frontend.name, frontend.protocol);
        let restricted = !frontend.source_ranges.is_empty();
        let target = if restricted { &firewall } else { external };
        for address in &frontend.load_balancer_ips {
            let matching = destination(frontend, *address);
            self.share(
                Shared::NatServices,
                "loadbalancer IP",
                &matching,
                &format!("-j {target}"),
            );
            if restricted {
                let what = format!("traffic not accepted by {firewall}");
                self.share(Shared::FilterFirewall, &what, &matching, "-j DROP");
            }
        }
        if restricted {
            let comment = comment(&format!("{} loadbalancer IP", frontend.name));
            let allowed = frontend
                .source_ranges
                .iter()
                .map(|range| format!("{comment} -s {range} -j {external}"));
            let lines = allowed.collect();
            self.rules.chains.insert(firewall, lines);
        }
    }

    fn external(&self, cluster: &str, local: &str) -> Vec<String> {
        let name = &self.frontend.name;
        if !self.frontend.external_local {
            let comment = comment(&format!("masquerade traffic for {name} external destinations"));
            return vec![format!("{comment} -j KUBE-MARK-MASQ"), format!("-j {cluster}")];
        }
        let mut lines = Vec::new();
        let from_pods = match &self.options.local_traffic {
            LocalTraffic::Unknown => None,
            LocalTraffic::From(networks) => networks.first().map(|network| format!("-s {network}")),
            LocalTraffic::Interface(name) => Some(format!("-i {name}")),
            LocalTraffic::InterfacePrefix(prefix) => Some(format!("-i {prefix}+")),
        };
        if let Some(from_pods) = from_pods {
            let comment = comment(&format!("pod traffic for {name} external destinations"));
            lines.push(format!("{comment} {from_pods} -j {cluster}"));
        }
        let masquerade = comment(&format!(
            "masquerade LOCAL traffic for {name} external destinations"
        ));
        lines.push(format!(
            "{masquerade} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ"
        ));
        let route = comment(&format!("route LOCAL traffic for {name} external destinations"));
        lines.push(format!("{route} -m addrtype --src-type LOCAL -j {cluster}"));
        if !self.frontend.local_endpoints.is_empty() {
            lines.push(format!("-j {local}"));
        }
        lines
    }

    /// A chain that leads to one of the endpoints, and the endpoints' chains.
    fn choices(&mut self, chain: &str, endpoints: &[SocketAddr], arrow: &str) {
        let frontend = self.frontend;
        let mut lines = Vec::new();
        let ends: Vec<String> = endpoints
            .iter()
            .map(|endpoint| endpoint_chain(&frontend.name, frontend.protocol, endpoint))
            .collect();
        if let Some(seconds) = frontend.affinity {
            for (endpoint, end) in endpoints.iter().zip(&ends) {
                let comment = comment(&format!("{arrow} {endpoint}"));
                lines.push(format!(
                    "{comment} -m recent --name {end} --rcheck --seconds {seconds} --reap -j {end}"
                ));
            }
        }
        for (index, (endpoint, end)) in endpoints.iter().zip(&ends).enumerate() {
            let comment = comment(&format!("{arrow} {endpoint}"));
            let left = endpoints.len() - index;
            let chance = match left {
                1 => String::new(),
                // Of those left; the last gets the rest.
                _ => format!(
                    " -m statistic --mode random --probability {:0.10}",
                    1.0 / left as f64
                ),
            };
            lines.push(format!("{comment}{chance} -j {end}"));
        }
        self.rules.chains.insert(chain.to_owned(), lines);
        for (endpoint, end) in endpoints.iter().zip(ends) {
            let lines = self.endpoint(endpoint, &end);
            self.rules.chains.insert(end, lines);
        }
    }

    fn endpoint(&self, endpoint: &SocketAddr, chain: &str) -> Vec<String> {
        let comment = comment(&self.frontend.name);
        let protocol = self.frontend.protocol.as_str();
        let host = if endpoint.is_ipv4() { 32 } else { 128 };
        let remember = match self.frontend.affinity {
            Some(_) => format!(" -m recent --name {chain} --set"),
            None => String::new(),
        };
        vec![
            format!("{comment} -s {}/{host} -j KUBE-MARK-MASQ", endpoint.ip()),
            format!("{comment} -m {protocol} -p {protocol}{remember} -j DNAT --to-destination {endpoint}"),
        ]
    }
}
