//! Which routes there have to be. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use host::routing::{KnownRoute, LocalAddress, Route};
use ipnet::IpNet;

use crate::node::NodeNetwork;

/// The number under which our routes are known to the kernel; only routes with it are ever removed.
pub const ROUTE_PROTOCOL: u8 = 143;

/// What the routes are decided from.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    pub nodes: &'a [NodeNetwork],
    /// Name of this host's node.
    pub own_name: Option<&'a str>,
    pub cluster_cidrs: &'a [IpNet],
    pub addresses: &'a [LocalAddress],
    pub routes: &'a [KnownRoute],
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub replace: Vec<Route>,
    pub remove: Vec<KnownRoute>,
    pub problems: Vec<Problem>,
}

/// Why there is no route to a node's pods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("node {node}: pod range {range} is not within the cluster's pod ranges")]
    OutsideCluster { node: String, range: IpNet },
    #[error("node {node}: pod range {range} overlaps {other_range} of node {other}")]
    Overlap {
        node: String,
        range: IpNet,
        other: String,
        other_range: IpNet,
    },
    #[error("node {node} has no InternalIP of the address family of its pod range {range}")]
    NoAddress { node: String, range: IpNet },
    #[error(
        "node {node}: its address {address} is not on a network that this host is directly connected to, so packets to \
         {range} cannot be routed to it; put all hosts on one segment"
    )]
    NotConnected {
        node: String,
        address: IpAddr,
        range: IpNet,
    },
    #[error("node {node}: there is another route to {range} which pod-network did not make; remove it")]
    ForeignRoute { node: String, range: IpNet },
}

/// Decides which routes are missing, wrong or left over.
pub fn plan(snapshot: Snapshot<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut wanted: BTreeMap<IpNet, Option<Route>> = BTreeMap::new();
    let mut taken: Vec<(IpNet, &str)> = Vec::new();
    let mut nodes: Vec<&NodeNetwork> = snapshot.nodes.iter().collect();
    // The own range first: nobody else's may overlap it. Then by name, so that all hosts decide alike.
    nodes.sort_by_key(|node| (!is_own(node, &snapshot), &node.name));
    for node in nodes {
        for range in &node.pod_cidrs {
            let other = taken
                .iter()
                .find(|(other, _)| other.contains(range) || range.contains(other));
            if let Some((other_range, other)) = other {
                plan.problems.push(Problem::Overlap {
                    node: node.name.clone(),
                    range: *range,
                    other: (*other).to_owned(),
                    other_range: *other_range,
                });
                continue;
            }
            if !snapshot
                .cluster_cidrs
                .iter()
                .any(|cluster| cluster.contains(range))
            {
                plan.problems.push(Problem::OutsideCluster {
                    node: node.name.clone(),
                    range: *range,
                });
                continue;
            }
            taken.push((*range, &node.name));
            if is_own(node, &snapshot) {
                continue;
            }
            match route_to(node, *range, &snapshot) {
                Ok(route) => drop(wanted.insert(*range, route)),
                Err(problem) => {
                    // A node whose address is not usable right now keeps the route that it had.
                    wanted.insert(*range, None);
                    plan.problems.push(problem);
                }
            }
        }
    }
    let ours = || {
        snapshot
            .routes
            .iter()
            .filter(|route| route.protocol == ROUTE_PROTOCOL)
    };
    plan.remove = ours()
        .filter(|route| match wanted.get(&route.destination) {
            None => true,
            Some(None) => false,
            // Replaced in place if it is the only one; a second one to the same destination goes.
            Some(Some(wanted)) => {
                let same = |route: &KnownRoute| {
                    route.gateway == Some(wanted.gateway) && route.interface == Some(wanted.interface)
                };
                !same(route) && ours().any(|other| other.destination == route.destination && same(other))
            }
        })
        .copied()
        .collect();
    plan.replace = wanted
        .into_values()
        .flatten()
        .filter(|wanted| {
            !ours().any(|route| {
                route.destination == wanted.destination
                    && route.gateway == Some(wanted.gateway)
                    && route.interface == Some(wanted.interface)
            })
        })
        .collect();
    plan
}

fn is_own(node: &NodeNetwork, snapshot: &Snapshot<'_>) -> bool {
    snapshot.own_name == Some(node.name.as_str())
        || node.addresses.iter().any(|address| {
            snapshot
                .addresses
                .iter()
                .any(|own| own.network.addr() == *address)
        })
}

/// None when an equal route of somebody else is there already.
fn route_to(node: &NodeNetwork, range: IpNet, snapshot: &Snapshot<'_>) -> Result<Option<Route>, Problem> {
    let same_family = |address: &&IpAddr| address.is_ipv4() == matches!(range, IpNet::V4(_));
    let mut candidates = node.addresses.iter().filter(same_family).peekable();
    let Some(first) = candidates.peek().map(|address| **address) else {
        return Err(Problem::NoAddress {
            node: node.name.clone(),
            range,
        });
    };
    let connected = candidates.find_map(|address| {
        let local = snapshot
            .addresses
            .iter()
            .filter(|local| local.network.contains(address) && !local.network.addr().is_loopback())
            .max_by_key(|local| local.network.prefix_len())?;
        Some(Route {
            destination: range,
            gateway: *address,
            interface: local.interface,
        })
    });
    let Some(route) = connected else {
        return Err(Problem::NotConnected {
            node: node.name.clone(),
            address: first,
            range,
        });
    };
    let foreign = snapshot
        .routes
        .iter()
        .find(|known| known.destination == range && known.protocol != ROUTE_PROTOCOL);
    match foreign {
        None => Ok(Some(route)),
        Some(known) if known.gateway == Some(route.gateway) => Ok(None),
        Some(_) => Err(Problem::ForeignRoute {
            node: node.name.clone(),
            range,
        }),
    }
}

#[cfg(test)]
mod tests;
