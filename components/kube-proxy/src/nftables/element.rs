//! Elements of the shared maps and sets.

use std::net::{IpAddr, SocketAddr};

use crate::model::Protocol;

/// A shared map or set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// address . protocol . port -> verdict
    ServiceIps,
    /// protocol . port -> verdict
    ServiceNodePorts,
    /// address . protocol . port . index -> endpoint
    Endpoints,
    /// protocol . port . index -> endpoint
    NodePortEndpoints,
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
    /// All of them.
    pub const ALL: [Place; 9] = [
        Place::ServiceIps,
        Place::ServiceNodePorts,
        Place::Endpoints,
        Place::NodePortEndpoints,
        Place::NoEndpointServices,
        Place::NoEndpointNodePorts,
        Place::FirewallIps,
        Place::ClusterIps,
        Place::Hairpin,
    ];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Place::ServiceIps => "service-ips",
            Place::ServiceNodePorts => "service-nodeports",
            Place::Endpoints => "endpoints",
            Place::NodePortEndpoints => "nodeport-endpoints",
            Place::NoEndpointServices => "no-endpoint-services",
            Place::NoEndpointNodePorts => "no-endpoint-nodeports",
            Place::FirewallIps => "firewall-ips",
            Place::ClusterIps => "cluster-ips",
            Place::Hairpin => "hairpin",
        }
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
        Element { key: Key { place, text: key.into() }, value: value.map(Into::into) }
    }

    /// address . protocol . port -> verdict
    pub fn at_address(place: Place, address: IpAddr, protocol: Protocol, port: u16, verdict: &str) -> Element {
        Element::new(place, format!("{address} . {} . {port}", protocol.as_str()), Some(verdict.to_owned()))
    }

    /// protocol . port -> verdict
    pub fn at_node_port(place: Place, protocol: Protocol, port: u16, verdict: &str) -> Element {
        Element::new(place, format!("{} . {port}", protocol.as_str()), Some(verdict.to_owned()))
    }

    /// One endpoint in the shared map; `at` is what stands before the index.
    pub fn endpoint(place: Place, at: &str, index: usize, endpoint: &SocketAddr) -> Element {
        Element::new(place, format!("{at} . {index}"), Some(format!("{} . {}", endpoint.ip(), endpoint.port())))
    }
}
