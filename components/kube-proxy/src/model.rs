//! What every port of a Service means on this node. Pure.

mod endpoints;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;

pub use endpoints::local_endpoint_count;

/// Address family; rules of the two never touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn of(address: &IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    pub fn of_network(network: &IpNet) -> Family {
        Family::of(&network.addr())
    }
}

/// Transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// None for what the API doesn't know.
    pub fn parse(name: Option<&str>) -> Option<Protocol> {
        match name {
            None | Some("TCP") => Some(Protocol::Tcp),
            Some("UDP") => Some(Protocol::Udp),
            Some("SCTP") => Some(Protocol::Sctp),
            Some(_) => None,
        }
    }

    /// As the kernel tools write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// This node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThisNode {
    pub name: String,
    pub zone: Option<String>,
    /// InternalIPs; with nodePortAddresses `primary` they receive node ports.
    pub addresses: Vec<IpAddr>,
    /// Pod ranges, for local detection by NodeCIDR.
    pub pod_cidrs: Vec<IpNet>,
}

/// One port of a Service in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// `namespace/name:port`, or without the port's name where it has none.
    pub name: String,
    pub protocol: Protocol,
    pub cluster_ip: IpAddr,
    pub port: u16,
    pub external_ips: Vec<IpAddr>,
    pub load_balancer_ips: Vec<IpAddr>,
    /// Sources that may use the load balancer's addresses; all if empty.
    pub source_ranges: Vec<IpNet>,
    pub node_port: Option<u16>,
    /// Seconds that a client stays with an endpoint.
    pub affinity: Option<u32>,
    pub internal_local: bool,
    pub external_local: bool,
    /// Where traffic goes under policy Cluster; sorted.
    pub endpoints: Vec<SocketAddr>,
    /// Where traffic goes under policy Local; sorted.
    pub local_endpoints: Vec<SocketAddr>,
    /// All usable endpoints on this node, chosen or not: they may talk to themselves.
    pub on_this_node: Vec<IpAddr>,
}

impl Frontend {
    /// All addresses besides the cluster IP on which `port` is served.
    pub fn external_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.external_ips.iter().chain(&self.load_balancer_ips).copied()
    }

    pub fn has_external(&self) -> bool {
        self.node_port.is_some() || self.external_addresses().next().is_some()
    }
}

/// All ports of a Service in one family; none for a Service that is not proxied.
pub fn frontends(
    service: &Service,
    slices: &[std::sync::Arc<EndpointSlice>],
    family: Family,
    node: &ThisNode,
) -> Vec<Frontend> {
    let Some(spec) = service.spec.as_ref().filter(|spec| is_proxied(spec)) else {
        return Vec::new();
    };
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let service_name = service.metadata.name.as_deref().unwrap_or_default();
    let Some(cluster_ip) = cluster_ip(spec, family) else {
        return Vec::new();
    };
    let malformed = |field: &str, value: &str| {
        tracing::warn!(
            namespace,
            name = service_name,
            field,
            value,
            "malformed field of a service ignored"
        );
    };
    let external_ips = addresses(
        spec.external_ips.iter().flatten().map(String::as_str),
        family,
        |value| malformed("externalIPs", value),
    );
    let load_balancer_ips =
        load_balancer_ips(service, family, |value| malformed("status.loadBalancer", value));
    let source_ranges: Vec<IpNet> = spec
        .load_balancer_source_ranges
        .iter()
        .flatten()
        .filter_map(|range| match range.trim().parse::<IpNet>() {
            Ok(range) => Some(range.trunc()),
            Err(_) => {
                malformed("loadBalancerSourceRanges", range);
                None
            }
        })
        .filter(|range| Family::of_network(range) == family)
        .collect();
    let affinity = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let config = spec
            .session_affinity_config
            .as_ref()
            .and_then(|config| config.client_ip.as_ref());
        config
            .and_then(|config| config.timeout_seconds)
            .and_then(|seconds| u32::try_from(seconds).ok())
            .unwrap_or(10800)
    });

    let mut found = Vec::new();
    for port in spec.ports.iter().flatten() {
        let (Some(protocol), Ok(number)) = (
            Protocol::parse(port.protocol.as_deref()),
            u16::try_from(port.port),
        ) else {
            malformed("ports", &format!("{:?} {}", port.protocol, port.port));
            continue;
        };
        let port_name = port.name.as_deref().unwrap_or_default();
        let chosen = endpoints::choose(slices, port_name, protocol, family, node);
        let separator = if port_name.is_empty() { "" } else { ":" };
        found.push(Frontend {
            name: format!("{namespace}/{service_name}{separator}{port_name}"),
            protocol,
            cluster_ip,
            port: number,
            external_ips: external_ips.clone(),
            load_balancer_ips: load_balancer_ips.clone(),
            source_ranges: source_ranges.clone(),
            node_port: port
                .node_port
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port != 0),
            affinity,
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
            endpoints: chosen.cluster,
            local_endpoints: chosen.local,
            on_this_node: chosen.on_this_node,
        });
    }
    found
}

fn is_proxied(spec: &ServiceSpec) -> bool {
    spec.type_.as_deref() != Some("ExternalName")
        && spec
            .cluster_ip
            .as_deref()
            .is_some_and(|address| !address.is_empty() && address != "None")
}

fn cluster_ip(spec: &ServiceSpec, family: Family) -> Option<IpAddr> {
    let listed = spec.cluster_ips.iter().flatten();
    let mut all = listed
        .chain(spec.cluster_ip.iter())
        .filter_map(|address| address.parse().ok());
    all.find(|address| Family::of(address) == family)
}

fn addresses<'a>(
    texts: impl Iterator<Item = &'a str>,
    family: Family,
    malformed: impl Fn(&str),
) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for text in texts {
        match text.parse::<IpAddr>() {
            Ok(address) if Family::of(&address) == family && !found.contains(&address) => found.push(address),
            Ok(_) => {}
            Err(_) => malformed(text),
        }
    }
    found
}

fn load_balancer_ips(service: &Service, family: Family, malformed: impl Fn(&str)) -> Vec<IpAddr> {
    if service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) != Some("LoadBalancer") {
        return Vec::new();
    }
    let ingress = service
        .status
        .iter()
        .flat_map(|status| &status.load_balancer)
        .flat_map(|lb| lb.ingress.iter().flatten());
    // With mode Proxy the load balancer wants to see the traffic, so it isn't cut short here.
    let virtual_ips = ingress.filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"));
    addresses(
        virtual_ips.filter_map(|ingress| ingress.ip.as_deref()),
        family,
        malformed,
    )
}
