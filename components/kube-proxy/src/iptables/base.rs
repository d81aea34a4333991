//! The fixed chains and the jumps into them.

use crate::iptables::Table;
use crate::options::{NodePortAddresses, Options};

/// A rule in a chain of the kernel that leads into ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    pub table: Table,
    pub chain: &'static str,
    /// Match and target as words of a command line.
    pub rule: &'static [&'static str],
}

macro_rules! jump {
    ($table:ident $chain:literal $target:literal $comment:literal $($word:literal)*) => {
        Jump {
            table: Table::$table,
            chain: $chain,
            rule: &[$($word,)* "-m", "comment", "--comment", $comment, "-j", $target],
        }
    };
}

/// All jumps, with upstream's comments.
pub const JUMPS: &[Jump] = &[
    jump!(Filter "INPUT" "KUBE-EXTERNAL-SERVICES" "kubernetes externally-visible service portals" "-m" "conntrack" "--ctstate" "NEW"),
    jump!(Filter "FORWARD" "KUBE-EXTERNAL-SERVICES" "kubernetes externally-visible service portals" "-m" "conntrack" "--ctstate" "NEW"),
    jump!(Filter "INPUT" "KUBE-NODEPORTS" "kubernetes health check service ports"),
    jump!(Filter "FORWARD" "KUBE-SERVICES" "kubernetes service portals" "-m" "conntrack" "--ctstate" "NEW"),
    jump!(Filter "OUTPUT" "KUBE-SERVICES" "kubernetes service portals" "-m" "conntrack" "--ctstate" "NEW"),
    jump!(Filter "FORWARD" "KUBE-FORWARD" "kubernetes forwarding rules"),
    jump!(Filter "INPUT" "KUBE-PROXY-FIREWALL" "kubernetes load balancer firewall" "-m" "conntrack" "--ctstate" "NEW"),
    jump!(Filter "OUTPUT" "KUBE-PROXY-FIREWALL" "kubernetes load balancer firewall" "-m" "conntrack" "--ctstate" "NEW"),
    jump!(Filter "FORWARD" "KUBE-PROXY-FIREWALL" "kubernetes load balancer firewall" "-m" "conntrack" "--ctstate" "NEW"),
    jump!(Nat "OUTPUT" "KUBE-SERVICES" "kubernetes service portals"),
    jump!(Nat "PREROUTING" "KUBE-SERVICES" "kubernetes service portals"),
    jump!(Nat "POSTROUTING" "KUBE-POSTROUTING" "kubernetes postrouting rules"),
];

/// Fixed chains that have only fixed rules; the canaries show whether somebody flushed a table.
pub const CANARY: &str = "KUBE-PROXY-CANARY";

/// All fixed chains with their fixed rules.
pub fn chains(options: &Options) -> Vec<(Table, &'static str, Vec<String>)> {
    let mark = format!("{0:#x}/{0:#x}", options.masquerade_mark);
    let number = format!("{:#x}", options.masquerade_mark);
    vec![
        (Table::Filter, CANARY, vec![]),
        (Table::Filter, "KUBE-NODEPORTS", vec![]),
        (Table::Filter, "KUBE-FORWARD", vec![
            "-m conntrack --ctstate INVALID -j DROP".to_owned(),
            format!("-m comment --comment \"kubernetes forwarding rules\" -m mark --mark {mark} -j ACCEPT"),
            "-m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
                .to_owned(),
        ]),
        (Table::Nat, CANARY, vec![]),
        (Table::Nat, "KUBE-MARK-MASQ", vec![format!("-j MARK --or-mark {number}")]),
        (Table::Nat, "KUBE-POSTROUTING", vec![
            format!("-m mark ! --mark {mark} -j RETURN"),
            // The mark must not survive into another pass, through a tunnel for example.
            format!("-j MARK --xor-mark {number}"),
            "-m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully".to_owned(),
        ]),
    ]
}

/// Last rules of the nat chain KUBE-SERVICES.
pub fn node_port_tail(options: &Options) -> Vec<String> {
    let comment = "-m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\"";
    match &options.node_port_addresses {
        NodePortAddresses::All => {
            let not_loopback = match options.family {
                crate::model::Family::V4 => "! -d 127.0.0.0/8",
                crate::model::Family::V6 => "! -d ::1/128",
            };
            vec![format!(
                "{comment} {not_loopback} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
            )]
        }
        NodePortAddresses::Only(addresses) => addresses
            .iter()
            .map(|address| format!("{comment} -d {address} -j KUBE-NODEPORTS"))
            .collect(),
    }
}
