//! Chains that are shared by all Services with the same numbers of endpoints.

use crate::model::Family;
use crate::nftables::element::{By, Slot};
use crate::options::{LocalTraffic, Options};

/// A shared chain; the numbers are how many endpoints there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// The endpoint with an index.
    Endpoint(Slot),
    /// Any of the endpoints.
    Cluster(By, usize),
    /// Any of the endpoints on this node.
    Local(By, usize),
    /// Traffic from outside under policy Cluster.
    External(By, usize),
    /// Traffic from outside under policy Local: pods and the node itself may use any endpoint.
    ExternalLocal(By, usize, usize),
}

impl Chain {
    /// Its name.
    pub fn name(self) -> String {
        let by = |by| Slot::prefix(by, false);
        match self {
            Chain::Endpoint(slot) => slot.chain_name(),
            Chain::Cluster(from, count) => format!("{}cluster-{count}", by(from)),
            Chain::Local(from, count) => format!("{}local-{count}", by(from)),
            Chain::External(from, count) => format!("{}external-{count}", by(from)),
            Chain::ExternalLocal(from, count, local) => format!("{}external-local-{count}-{local}", by(from)),
        }
    }

    /// Chains that its rules lead to, which must exist before.
    pub fn needs(self) -> Vec<Chain> {
        match self {
            Chain::Endpoint(_) => Vec::new(),
            Chain::Cluster(by, count) => slots(by, false, count).map(Chain::Endpoint).collect(),
            Chain::Local(by, count) => slots(by, true, count).map(Chain::Endpoint).collect(),
            Chain::External(by, count) => vec![Chain::Cluster(by, count)],
            Chain::ExternalLocal(by, count, local) => {
                vec![Chain::Cluster(by, count), Chain::Local(by, local)]
            }
        }
    }

    /// The map that has to be made with it, and its definition.
    pub fn map(self, options: &Options) -> Option<(String, String)> {
        let Chain::Endpoint(slot) = self else { return None };
        let address = address_type(options);
        let key = match slot.by {
            By::Address => format!("{address} . inet_proto . inet_service"),
            By::NodePort => "inet_proto . inet_service".to_owned(),
        };
        Some((slot.map_name(), format!("type {key} : {address} . inet_service")))
    }

    /// Its rules.
    pub fn rules(self, options: &Options) -> Vec<String> {
        match self {
            Chain::Endpoint(slot) => vec![to_endpoint(options, slot)],
            Chain::Cluster(by, count) => vec![spread(by, false, count)],
            Chain::Local(by, count) => vec![spread(by, true, count)],
            Chain::External(by, count) => {
                vec![
                    "jump mark-for-masquerade".to_owned(),
                    format!("goto {}", Chain::Cluster(by, count).name()),
                ]
            }
            Chain::ExternalLocal(by, count, local) => external_local(
                options,
                &Chain::Cluster(by, count).name(),
                &Chain::Local(by, local).name(),
            ),
        }
    }
}

/// Rules for traffic from outside under policy Local.
pub fn external_local(options: &Options, cluster: &str, local: &str) -> Vec<String> {
    let mut rules = Vec::new();
    if let Some(from_pods) = from_local_pods(options) {
        rules.push(format!("{from_pods} goto {cluster}"));
    }
    rules.push("fib saddr type local jump mark-for-masquerade".to_owned());
    rules.push(format!("fib saddr type local goto {cluster}"));
    rules.push(format!("goto {local}"));
    rules
}

fn slots(by: By, local: bool, count: usize) -> impl Iterator<Item = Slot> {
    (0..count).map(move |index| Slot { by, local, index })
}

fn to_endpoint(options: &Options, slot: Slot) -> String {
    let ip = family(options);
    let at = match slot.by {
        By::Address => format!("{ip} daddr . "),
        By::NodePort => String::new(),
    };
    let map = slot.map_name();
    format!("meta l4proto {{ tcp, udp, sctp }} dnat {ip} to {at}meta l4proto . th dport map @{map}")
}

fn spread(by: By, local: bool, count: usize) -> String {
    let verdicts: Vec<String> = slots(by, local, count)
        .map(|slot| format!("{} : goto {}", slot.index, slot.chain_name()))
        .collect();
    match count {
        // Only under policy Local, on a node without endpoints.
        0 => "drop".to_owned(),
        1 => format!("goto {}", Slot { by, local, index: 0 }.chain_name()),
        _ => format!("numgen random mod {count} vmap {{ {} }}", verdicts.join(", ")),
    }
}

/// The type of an address.
pub fn address_type(options: &Options) -> &'static str {
    match options.family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    }
}

/// `ip` or `ip6`.
pub fn family(options: &Options) -> &'static str {
    match options.family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

/// A match for traffic of local pods; None if it can't be told.
pub fn from_local_pods(options: &Options) -> Option<String> {
    local_match(options, "")
}

/// A match for other traffic; None if it can't be told.
pub fn not_from_local_pods(options: &Options) -> Option<String> {
    local_match(options, "!= ")
}

fn local_match(options: &Options, operator: &str) -> Option<String> {
    match &options.local_traffic {
        LocalTraffic::Unknown => None,
        LocalTraffic::From(networks) if networks.is_empty() => None,
        LocalTraffic::From(networks) => {
            let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
            Some(format!(
                "{} saddr {operator}{{ {} }}",
                family(options),
                networks.join(", ")
            ))
        }
        LocalTraffic::Interface(name) => Some(format!("iifname {operator}\"{name}\"")),
        LocalTraffic::InterfacePrefix(prefix) => Some(format!("iifname {operator}\"{prefix}*\"")),
    }
}
