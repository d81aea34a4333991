//! What the rules depend on besides Services: settings and facts of this node. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::Family;

/// How traffic of this node's pods is told from other traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalTraffic {
    /// It can't be told; nothing that depends on it is done.
    Unknown,
    /// By source address.
    From(Vec<IpNet>),
    /// By the interface that it comes in on; a trailing `+` or `*` is not part of the prefix.
    Interface(String),
    InterfacePrefix(String),
}

/// Which addresses receive node ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// All of the node's but loopback.
    All,
    /// These only.
    Only(Vec<IpAddr>),
}

/// All of it for one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub family: Family,
    pub local_traffic: LocalTraffic,
    pub node_port_addresses: NodePortAddresses,
    pub masquerade_all: bool,
    /// The bit of the packet mark that asks for masquerading, as a number.
    pub masquerade_mark: u32,
}
