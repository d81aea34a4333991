use std::collections::BTreeMap;
use std::net::IpAddr;

use super::problem::{Lines, Problem};
use super::{Inventory, Role};

/// What only shows when fields are compared with each other.
pub fn check(inventory: &Inventory, lines: &Lines) -> Vec<Problem> {
    let mut found = Found {
        lines,
        problems: Vec::new(),
    };
    names_and_addresses(inventory, &mut found);
    ranges(inventory, &mut found);
    roles(inventory, &mut found);
    endpoint(inventory, &mut found);
    found.problems
}

struct Found<'l> {
    lines: &'l Lines,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn add(
        &mut self,
        field: &str,
        value: impl ToString,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push(Problem {
            line: self.lines.of(field),
            field: field.to_owned(),
            value: value.to_string(),
            message: message.into(),
            remedy: remedy.into(),
        });
    }
}

fn names_and_addresses(inventory: &Inventory, found: &mut Found<'_>) {
    if !is_dns_label(&inventory.cluster.name) {
        found.add(
            "cluster.name",
            &inventory.cluster.name,
            "is not a name",
            "use at most 63 lower-case letters, digits and dashes",
        );
    }
    if !is_dns_name(&inventory.cluster.cluster_domain) {
        found.add(
            "cluster.cluster_domain",
            &inventory.cluster.cluster_domain,
            "is not a DNS domain",
            "write for example cluster.local",
        );
    }
    let (mut names, mut addresses) = (BTreeMap::new(), BTreeMap::new());
    for (index, host) in inventory.hosts.iter().enumerate() {
        let field = format!("hosts[{index}].name");
        if !is_dns_name(&host.name) {
            found.add(
                &field,
                &host.name,
                "is not a host name",
                "use lower-case letters, digits, dashes and dots: it becomes the node's name",
            );
        }
        if let Some(first) = names.insert(host.name.clone(), index) {
            let line = found.lines.of(&format!("hosts[{first}].name"));
            found.add(
                &field,
                &host.name,
                format!("duplicate name, first on line {line}"),
                "give each host its own",
            );
        }
        let field = format!("hosts[{index}].address");
        if let Some(first) = addresses.insert(host.address, index) {
            let line = found.lines.of(&format!("hosts[{first}].address"));
            found.add(
                &field,
                host.address,
                format!("duplicate address, first on line {line}"),
                "give each host its own",
            );
        }
        if host.address.is_ipv6() {
            found.add(
                &field,
                host.address,
                "IPv6 is not supported yet",
                "use the host's IPv4 address",
            );
        }
    }
}

fn ranges(inventory: &Inventory, found: &mut Found<'_>) {
    let cluster = &inventory.cluster;
    let (pods, services) = (cluster.pod_cidr, cluster.service_cidr);
    if pods.contains(&services) || services.contains(&pods) {
        found.add(
            "cluster.service_cidr",
            services,
            format!("overlaps with pod_cidr {pods}"),
            "choose two ranges that share no address",
        );
    }
    for (field, range) in [("cluster.pod_cidr", pods), ("cluster.service_cidr", services)] {
        if range.addr() != range.network() {
            let remedy = format!("write {}", range.trunc());
            found.add(field, range, "has bits set behind its prefix", remedy);
        }
    }
    if !(12..=28).contains(&services.prefix_len()) {
        found.add(
            "cluster.service_cidr",
            services,
            "has an unusable size",
            "use a prefix from /12 to /28: the API server keeps one bit for each address",
        );
    }
    if !services.contains(&cluster.dns_ip) {
        found.add(
            "cluster.dns_ip",
            cluster.dns_ip,
            format!("is not inside service_cidr {services}"),
            format!(
                "use for example {}",
                services.hosts().nth(9).unwrap_or(services.network())
            ),
        );
    } else if cluster.dns_ip == inventory.kubernetes_service()
        || cluster.dns_ip == services.network()
        || cluster.dns_ip == services.broadcast()
    {
        found.add(
            "cluster.dns_ip",
            cluster.dns_ip,
            "is taken: the first address is the kubernetes Service's",
            format!(
                "use for example {}",
                services.hosts().nth(9).unwrap_or(services.network())
            ),
        );
    }
    let nodes = inventory.nodes().count();
    let room = if pods.prefix_len() > 24 {
        0
    } else {
        1usize << (24 - pods.prefix_len())
    };
    if room < nodes {
        found.add(
            "cluster.pod_cidr",
            pods,
            format!("has room for {room} nodes with a /24 each, but there are {nodes}"),
            "use a larger range, for example 10.200.0.0/16",
        );
    }
    for (index, host) in inventory.hosts.iter().enumerate() {
        let IpAddr::V4(address) = host.address else {
            continue;
        };
        for (name, range) in [("pod_cidr", pods), ("service_cidr", services)] {
            if range.contains(&address) {
                found.add(
                    &format!("hosts[{index}].address"),
                    address,
                    format!("lies inside {name} {range}"),
                    "choose ranges that contain no host",
                );
            }
        }
    }
}

fn roles(inventory: &Inventory, found: &mut Found<'_>) {
    if inventory.hosts.is_empty() {
        found.add(
            "hosts",
            "",
            "there are no hosts",
            "add one [[hosts]] table for each host",
        );
        return;
    }
    if inventory.control_planes().next().is_none() {
        found.add(
            "hosts",
            "",
            "no host has the role control-plane",
            "give it to one or three hosts",
        );
        return;
    }
    let members = inventory.etcd_members();
    if members.len().is_multiple_of(2) {
        let role = if inventory.with_role(Role::Etcd).next().is_some() {
            "etcd"
        } else {
            "control-plane"
        };
        let last = inventory
            .hosts
            .iter()
            .rposition(|host| inventory.runs_etcd(host))
            .unwrap_or_default();
        found.add(
            &format!("hosts[{last}].roles"),
            role,
            format!(
                "{} etcd members: an even number survives no more failures than one less",
                members.len()
            ),
            "use 1, 3, 5 or 7; with the role etcd the members can be other hosts than the control planes",
        );
    }
    if members.len() > 7 {
        found.add(
            "hosts",
            members.len(),
            "too many etcd members",
            "use 1, 3, 5 or 7",
        );
    }
    let balancers = inventory.with_role(Role::LoadBalancer).count();
    if balancers > 1 && inventory.cluster.api_endpoint.is_none() {
        found.add(
            "hosts",
            balancers,
            "several load balancers need one address in front of them",
            "set cluster.api_endpoint to it, or keep one load-balancer host",
        );
    }
    for (index, host) in inventory.hosts.iter().enumerate() {
        if host.has(Role::LoadBalancer) && host.has(Role::ControlPlane) {
            found.add(
                &format!("hosts[{index}].roles"),
                "load-balancer",
                "a load balancer cannot share a host with an API server: both use port 6443",
                "use a host of its own, or leave the role out: each host balances for itself",
            );
        }
    }
}

fn endpoint(inventory: &Inventory, found: &mut Found<'_>) {
    let Some(endpoint) = &inventory.cluster.api_endpoint else {
        return;
    };
    let valid = endpoint.rsplit_once(':').is_some_and(|(host, port)| {
        (is_dns_name(host) || host.parse::<IpAddr>().is_ok())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !valid {
        found.add(
            "cluster.api_endpoint",
            endpoint,
            "is not host:port",
            "write for example api.example.test:6443",
        );
    }
}

/// RFC 1123 label.
fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}
