//! What a service's slices are to contain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};

use super::plan::PortKey;
use crate::owner::Meta as _;
use crate::services;
use crate::workload::pods;

const ZONE: &str = "topology.kubernetes.io/zone";

/// The address types that a service's slices are to have.
pub fn address_types(service: &Service) -> BTreeSet<&'static str> {
    let spec = service.spec.as_ref();
    let families = spec
        .and_then(|spec| spec.ip_families.as_deref())
        .unwrap_or_default();
    let mut types: BTreeSet<_> = families
        .iter()
        .filter_map(|family| address_type(family))
        .collect();
    if types.is_empty() {
        // From before there were families: the cluster address tells.
        let ipv6 = spec
            .and_then(|spec| spec.cluster_ip.as_deref())
            .is_some_and(|address| address.contains(':'));
        types.insert(if ipv6 { "IPv6" } else { "IPv4" });
    }
    types
}

fn address_type(family: &str) -> Option<&'static str> {
    match family {
        "IPv4" => Some("IPv4"),
        "IPv6" => Some("IPv6"),
        _ => None,
    }
}

/// The endpoints of one address type by their ports.
pub fn desired(
    service: &Service,
    behind: &[Arc<Pod>],
    address_type: &str,
    node: impl Fn(&str) -> Option<Arc<Node>>,
) -> BTreeMap<PortKey, Vec<Endpoint>> {
    let mut by_ports: BTreeMap<PortKey, Vec<Endpoint>> = BTreeMap::new();
    for pod in behind.iter().filter(|pod| services::belongs(pod, true)) {
        let Some(address) = services::address(pod, address_type == "IPv6") else {
            continue;
        };
        let zone = pods::node_name(pod)
            .and_then(&node)
            .and_then(|node| node.label(ZONE).map(str::to_owned));
        let endpoint = endpoint(service, pod, address, zone);
        by_ports
            .entry(PortKey::new(ports(service, pod)))
            .or_default()
            .push(endpoint);
    }
    by_ports
}

fn endpoint(service: &Service, pod: &Pod, address: String, zone: Option<String>) -> Endpoint {
    let serving = pods::is_ready(pod);
    let terminating = pod.is_deleting();
    Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(services::publishes_not_ready(service) || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: services::host_name(pod, service),
        node_name: pods::node_name(pod).map(str::to_owned),
        target_ref: Some(services::target_reference(pod)),
        zone,
        ..Endpoint::default()
    }
}

/// The service's ports as this pod has them; named ones that it lacks are left out.
fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    services::ports(service)
        .iter()
        .filter_map(|port| {
            Some(EndpointPort {
                app_protocol: port.app_protocol.clone(),
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(services::target_port(pod, port)?),
                protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            })
        })
        .collect()
}
