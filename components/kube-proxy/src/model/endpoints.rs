//! Which endpoints traffic may go to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::{Family, Protocol, ThisNode};

/// The choice for one port.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    pub cluster: Vec<SocketAddr>,
    pub local: Vec<SocketAddr>,
    pub on_this_node: Vec<IpAddr>,
}

#[derive(Clone, Copy)]
struct Candidate<'a> {
    endpoint: &'a Endpoint,
    ready: bool,
    /// Not ready for new traffic, but able to take it when there is nothing better.
    last_resort: bool,
    local: bool,
}

impl<'a> Candidate<'a> {
    fn new(endpoint: &'a Endpoint, node: &ThisNode) -> Candidate<'a> {
        let conditions = endpoint.conditions.as_ref();
        let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
        let serving = conditions
            .and_then(|conditions| conditions.serving)
            .unwrap_or(ready);
        let terminating = conditions
            .and_then(|conditions| conditions.terminating)
            .unwrap_or(false);
        Candidate {
            endpoint,
            ready,
            last_resort: serving && terminating,
            local: endpoint.node_name.as_deref() == Some(node.name.as_str()),
        }
    }

    fn usable(&self) -> bool {
        self.ready || self.last_resort
    }
}

/// Chooses among the endpoints of the slices for one port.
pub fn choose(
    slices: &[Arc<EndpointSlice>],
    port_name: &str,
    protocol: Protocol,
    family: Family,
    node: &ThisNode,
) -> Chosen {
    // The same endpoint may be in two slices while it moves; a ready one wins.
    let mut all: BTreeMap<SocketAddr, Candidate<'_>> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| is_of_family(slice, family)) {
        let Some(port) = port_number(slice, port_name, protocol) else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten() {
            // More than one address per endpoint has no meaning; the first counts.
            let Some(address) = endpoint
                .addresses
                .first()
                .and_then(|address| address.parse::<IpAddr>().ok())
            else {
                continue;
            };
            if Family::of(&address) != family {
                continue;
            }
            let candidate = Candidate::new(endpoint, node);
            let known = all.entry(SocketAddr::new(address, port)).or_insert(candidate);
            if candidate.ready && !known.ready {
                *known = candidate;
            }
        }
    }
    let addresses = |filter: &dyn Fn(&Candidate<'_>) -> bool| -> Vec<SocketAddr> {
        all.iter()
            .filter(|(_, candidate)| filter(candidate))
            .map(|(address, _)| *address)
            .collect()
    };
    let or_else = |first: Vec<SocketAddr>, second: &dyn Fn(&Candidate<'_>) -> bool| {
        if first.is_empty() {
            addresses(second)
        } else {
            first
        }
    };
    let near = topology(all.values(), node);
    let mut on_this_node: Vec<IpAddr> = addresses(&|candidate| candidate.local && candidate.usable())
        .iter()
        .map(SocketAddr::ip)
        .collect();
    on_this_node.dedup();
    Chosen {
        cluster: or_else(
            addresses(&|candidate| candidate.ready && near.allows(candidate)),
            &|candidate| candidate.last_resort,
        ),
        local: or_else(
            addresses(&|candidate| candidate.local && candidate.ready),
            &|candidate| candidate.local && candidate.last_resort,
        ),
        on_this_node,
    }
}

/// How many ready endpoints of a Service are on this node, for health checks of load balancers.
pub fn local_endpoint_count(slices: &[Arc<EndpointSlice>], node: &ThisNode) -> usize {
    let mut addresses: Vec<&String> = slices
        .iter()
        .flat_map(|slice| slice.endpoints.iter().flatten())
        .filter(|endpoint| {
            let candidate = Candidate::new(endpoint, node);
            candidate.ready && candidate.local
        })
        .filter_map(|endpoint| endpoint.addresses.first())
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses.len()
}

fn is_of_family(slice: &EndpointSlice, family: Family) -> bool {
    matches!(
        (slice.address_type.as_str(), family),
        ("IPv4", Family::V4) | ("IPv6", Family::V6)
    )
}

fn port_number(slice: &EndpointSlice, name: &str, protocol: Protocol) -> Option<u16> {
    let matching = slice.ports.iter().flatten().find(|port| {
        port.name.as_deref().unwrap_or_default() == name
            && Protocol::parse(port.protocol.as_deref()) == Some(protocol)
    });
    matching
        .and_then(|port| port.port)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port != 0)
}

enum Topology<'a> {
    Everywhere,
    Node(&'a str),
    Zone(&'a str),
}

impl Topology<'_> {
    fn allows(&self, candidate: &Candidate<'_>) -> bool {
        match self {
            Topology::Everywhere => true,
            Topology::Node(name) => hinted_nodes(candidate).any(|hint| hint == *name),
            Topology::Zone(zone) => hinted_zones(candidate).any(|hint| hint == *zone),
        }
    }
}

fn hinted_nodes<'a>(candidate: &Candidate<'a>) -> impl Iterator<Item = &'a str> {
    let hints = candidate
        .endpoint
        .hints
        .iter()
        .flat_map(|hints| hints.for_nodes.iter().flatten());
    hints.map(|hint| hint.name.as_str())
}

fn hinted_zones<'a>(candidate: &Candidate<'a>) -> impl Iterator<Item = &'a str> {
    let hints = candidate
        .endpoint
        .hints
        .iter()
        .flat_map(|hints| hints.for_zones.iter().flatten());
    hints.map(|hint| hint.name.as_str())
}

/// Hints count only when every ready endpoint has one and at least one leads here: anything else means that
/// they are out of date, and traffic must not be lost over them.
fn topology<'n>(
    candidates: std::collections::btree_map::Values<'_, SocketAddr, Candidate<'_>>,
    node: &'n ThisNode,
) -> Topology<'n> {
    let ready: Vec<_> = candidates.filter(|candidate| candidate.ready).collect();
    let all_and_here = |has_hint: &dyn Fn(&Candidate<'_>) -> bool, topology: &Topology<'_>| {
        !ready.is_empty()
            && ready.iter().all(|candidate| has_hint(candidate))
            && ready.iter().any(|candidate| topology.allows(candidate))
    };
    let by_node = Topology::Node(&node.name);
    if all_and_here(&|candidate| hinted_nodes(candidate).next().is_some(), &by_node) {
        return by_node;
    }
    if let Some(zone) = &node.zone {
        let by_zone = Topology::Zone(zone);
        if all_and_here(&|candidate| hinted_zones(candidate).next().is_some(), &by_zone) {
            return by_zone;
        }
    }
    Topology::Everywhere
}
