//! Elements of the shared maps and sets.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use crate::model::Protocol;

/// What a packet is matched with to find its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// address . protocol . port
    Address,
    /// protocol . port
    NodePort,
}

/// The endpoint with one index. Each has a map, because nft cannot read back a map whose key has the index in
/// it (it takes the expression's type from the wrong rule when rules are added later).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    pub by: By,
    /// Among the endpoints under policy Local.
    pub local: bool,
    pub index: usize,
}

impl Slot {
    /// What names of maps and chains begin with.
    pub fn prefix(by: By, local: bool) -> &'static str {
        match (by, local) {
            (By::Address, false) => "",
            (By::Address, true) => "local-",
            (By::NodePort, false) => "nodeport-",
            (By::NodePort, true) => "nodeport-local-",
        }
    }

    pub fn map_name(self) -> String {
        format!("{}endpoints-{}", Slot::prefix(self.by, self.local), self.index)
    }

    pub fn chain_name(self) -> String {
        format!("{}endpoint-{}", Slot::prefix(self.by, self.local), self.index)
    }
}

/// A shared map or set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// address . protocol . port -> verdict
    ServiceIps,
    /// protocol . port -> verdict
    ServiceNodePorts,
    /// One endpoint of every Service that has so many: address . protocol . port -> endpoint
    Endpoints(Slot),
    /// address . protocol . port -> verdict
    NoEndpointServices,
    /// protocol . port -> verdict
    NoEndpointNodePorts,
    /// address . protocol . port -> verdict
    FirewallIps,
    /// address
    ClusterIps,
    /// address . same address
    Hairpin,
}

impl Place {
    /// Its name in the table.
    pub fn name(self) -> Cow<'static, str> {
        let name = match self {
            Place::Endpoints(slot) => return slot.map_name().into(),
            Place::ServiceIps => "service-ips",
            Place::ServiceNodePorts => "service-nodeports",
            Place::NoEndpointServices => "no-endpoint-services",
            Place::NoEndpointNodePorts => "no-endpoint-nodeports",
            Place::FirewallIps => "firewall-ips",
            Place::ClusterIps => "cluster-ips",
            Place::Hairpin => "hairpin",
        };
        name.into()
    }
}

/// Where an element stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub place: Place,
    pub text: Box<str>,
}

/// One element; sets have no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub key: Key,
    pub value: Option<Box<str>>,
}

impl Element {
    pub fn new(place: Place, key: String, value: Option<String>) -> Element {
        Element {
            key: Key {
                place,
                text: key.into(),
            },
            value: value.map(Into::into),
        }
    }

    /// address . protocol . port -> verdict
    pub fn at_address(
        place: Place,
        address: IpAddr,
        protocol: Protocol,
        port: u16,
        verdict: &str,
    ) -> Element {
        Element::new(
            place,
            format!("{address} . {} . {port}", protocol.as_str()),
            Some(verdict.to_owned()),
        )
    }

    /// protocol . port -> verdict
    pub fn at_node_port(place: Place, protocol: Protocol, port: u16, verdict: &str) -> Element {
        Element::new(
            place,
            format!("{} . {port}", protocol.as_str()),
            Some(verdict.to_owned()),
        )
    }

    /// One endpoint; `at` is what a packet is matched with.
    pub fn endpoint(slot: Slot, at: &str, endpoint: &SocketAddr) -> Element {
        Element::new(
            Place::Endpoints(slot),
            at.to_owned(),
            Some(format!("{} . {}", endpoint.ip(), endpoint.port())),
        )
    }
}
