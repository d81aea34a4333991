//! Chains that are shared by all Services with the same numbers of endpoints.

use crate::nftables::element::Place;
use crate::options::{LocalTraffic, Options};

/// Index of the first endpoint under policy Local in the shared maps; those under policy Cluster start at 0.
pub const LOCAL_OFFSET: usize = 1 << 16;

/// What a packet is matched with to find its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    Address,
    NodePort,
}

/// A shared chain; the numbers are how many endpoints there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
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
        let by = |by| match by {
            By::Address => "",
            By::NodePort => "nodeport-",
        };
        match self {
            Chain::Cluster(from, count) => format!("{}cluster-{count}", by(from)),
            Chain::Local(from, count) => format!("{}local-{count}", by(from)),
            Chain::External(from, count) => format!("{}external-{count}", by(from)),
            Chain::ExternalLocal(from, count, local) => format!("{}external-local-{count}-{local}", by(from)),
        }
    }

    /// Chains that its rules lead to, which must exist before.
    pub fn needs(self) -> Vec<Chain> {
        match self {
            Chain::Cluster(..) | Chain::Local(..) => Vec::new(),
            Chain::External(by, count) => vec![Chain::Cluster(by, count)],
            Chain::ExternalLocal(by, count, local) => vec![Chain::Cluster(by, count), Chain::Local(by, local)],
        }
    }

    /// Its rules.
    pub fn rules(self, options: &Options) -> Vec<String> {
        match self {
            Chain::Cluster(by, count) => vec![spread(options, by, count, 0)],
            Chain::Local(by, count) => vec![spread(options, by, count, LOCAL_OFFSET)],
            Chain::External(by, count) => {
                vec!["jump mark-for-masquerade".to_owned(), format!("goto {}", Chain::Cluster(by, count).name())]
            }
            Chain::ExternalLocal(by, count, local) => {
                external_local(options, &Chain::Cluster(by, count).name(), &Chain::Local(by, local).name())
            }
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

fn spread(options: &Options, by: By, count: usize, offset: usize) -> String {
    // The only chain of count 0 is that of policy Local on a node without endpoints.
    if count == 0 {
        return "drop".to_owned();
    }
    let ip = family(options);
    let (at, place) = match by {
        By::Address => (format!("{ip} daddr . "), Place::Endpoints),
        By::NodePort => (String::new(), Place::NodePortEndpoints),
    };
    let offset = if offset == 0 { String::new() } else { format!(" offset {offset}") };
    format!(
        "meta l4proto {{ tcp, udp, sctp }} dnat {ip} to {at}meta l4proto . th dport . numgen random mod {count}{offset} map @{}",
        place.name()
    )
}

/// `ip` or `ip6`.
pub fn family(options: &Options) -> &'static str {
    match options.family {
        crate::model::Family::V4 => "ip",
        crate::model::Family::V6 => "ip6",
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
            Some(format!("{} saddr {operator}{{ {} }}", family(options), networks.join(", ")))
        }
        LocalTraffic::Interface(name) => Some(format!("iifname {operator}\"{name}\"")),
        LocalTraffic::InterfacePrefix(prefix) => Some(format!("iifname {operator}\"{prefix}*\"")),
    }
}
