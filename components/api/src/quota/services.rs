//! Services: ports of nodes, and load balancers.

use super::{Usage, count};
use crate::value::list;
use serde_json::Value;

pub(super) fn covers(name: &str) -> bool {
    matches!(name, "services" | "services.nodeports" | "services.loadbalancers")
}

/// Ports are counted by what is wanted: they aren't allocated yet. Where none are to be, those that were chosen count.
pub(super) fn usage(service: &Value) -> Usage {
    let spec = &service["spec"];
    let ports = list(spec, &["ports"]);
    let chosen = || {
        let chosen = |port: &&Value| port["nodePort"].as_i64().is_some_and(|port| port != 0);
        ports.iter().filter(chosen).count()
    };
    let (node_ports, balancers) = match spec["type"].as_str() {
        Some("NodePort") => (ports.len(), 0),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => (chosen(), 1),
        Some("LoadBalancer") => (ports.len(), 1),
        _ => (0, 0),
    };
    Usage::from([
        ("services".to_owned(), count(1)),
        ("services.nodeports".to_owned(), count(node_ports)),
        ("services.loadbalancers".to_owned(), count(balancers)),
    ])
}
