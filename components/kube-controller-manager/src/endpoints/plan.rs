//! What a service's Endpoints object is to contain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Pod, Service};

use crate::services;
use crate::workload::pods;

/// An object holds no more addresses than this; slices hold all.
pub const CAPACITY: usize = 1000;

type Port = (String, i32, String, Option<String>);

/// An address that can be compared: text, pod uid, and whether it is ready.
type Place = (String, String);

/// The subsets, and whether addresses had to be left out.
pub fn subsets(service: &Service, behind: &[Arc<Pod>]) -> (Vec<EndpointSubset>, bool) {
    let publish = services::publishes_not_ready(service);
    let ipv6 = is_ipv6(service);
    let mut addresses: BTreeMap<Place, EndpointAddress> = BTreeMap::new();
    // Ports, and who has them ready or not; ports with the same addresses become one subset.
    let mut by_port: BTreeMap<Option<Port>, (BTreeSet<Place>, BTreeSet<Place>)> = BTreeMap::new();
    for pod in behind.iter().filter(|pod| services::belongs(pod, publish)) {
        let Some(ip) = services::address(pod, ipv6) else {
            continue;
        };
        let place = (ip.clone(), pod.metadata.uid.clone().unwrap_or_default());
        addresses.insert(
            place.clone(),
            EndpointAddress {
                ip,
                hostname: services::host_name(pod, service),
                node_name: pods::node_name(pod).map(str::to_owned),
                target_ref: Some(services::target_reference(pod)),
            },
        );
        let ready = publish || pods::is_ready(pod);
        for port in ports(service, pod) {
            let entry = by_port.entry(port).or_default();
            if ready {
                entry.0.insert(place.clone())
            } else {
                entry.1.insert(place.clone())
            };
        }
    }
    let truncated = truncate(&mut by_port);
    let mut groups: BTreeMap<(BTreeSet<Place>, BTreeSet<Place>), Vec<Port>> = BTreeMap::new();
    for (port, places) in by_port {
        groups.entry(places).or_default().extend(port);
    }
    let list = |places: BTreeSet<Place>| -> Option<Vec<EndpointAddress>> {
        let list: Vec<_> = places
            .iter()
            .filter_map(|place| addresses.get(place).cloned())
            .collect();
        Some(list).filter(|list| !list.is_empty())
    };
    let subset =
        |((ready, not_ready), ports): ((BTreeSet<Place>, BTreeSet<Place>), Vec<Port>)| EndpointSubset {
            addresses: list(ready),
            not_ready_addresses: list(not_ready),
            ports: Some(ports.into_iter().map(port).collect::<Vec<_>>()).filter(|ports| !ports.is_empty()),
        };
    (groups.into_iter().map(subset).collect(), truncated)
}

/// The family of the service's first address.
fn is_ipv6(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    match spec.and_then(|spec| spec.ip_families.as_ref()?.first()) {
        Some(family) => family == "IPv6",
        None => spec
            .and_then(|spec| spec.cluster_ip.as_deref())
            .is_some_and(|address| address.contains(':')),
    }
}

/// A headless service without ports has one entry without a port.
fn ports(service: &Service, pod: &Pod) -> Vec<Option<Port>> {
    let ports = services::ports(service);
    if ports.is_empty() && services::is_headless(service) {
        return vec![None];
    }
    ports
        .iter()
        .filter_map(|port| {
            Some(Some((
                port.name.clone().unwrap_or_default(),
                services::target_port(pod, port)?,
                port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port.app_protocol.clone(),
            )))
        })
        .collect()
}

fn port((name, port, protocol, app_protocol): Port) -> EndpointPort {
    EndpointPort {
        name: Some(name).filter(|name| !name.is_empty()),
        port,
        protocol: Some(protocol),
        app_protocol,
    }
}

/// Keeps ready addresses before others. True when something was left out.
fn truncate(by_port: &mut BTreeMap<Option<Port>, (BTreeSet<Place>, BTreeSet<Place>)>) -> bool {
    let mut left = CAPACITY;
    let ready: BTreeSet<Place> = by_port
        .values()
        .flat_map(|places| places.0.iter().cloned())
        .collect();
    let not_ready: BTreeSet<Place> = by_port
        .values()
        .flat_map(|places| places.1.iter().cloned())
        .collect();
    if ready.len() + not_ready.len() <= left {
        return false;
    }
    let keep_ready: BTreeSet<Place> = ready.into_iter().take(left).collect();
    left -= keep_ready.len();
    let keep_not_ready: BTreeSet<Place> = not_ready.into_iter().take(left).collect();
    for places in by_port.values_mut() {
        places.0.retain(|place| keep_ready.contains(place));
        places.1.retain(|place| keep_not_ready.contains(place));
    }
    by_port.retain(|_, places| !places.0.is_empty() || !places.1.is_empty());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, ip: &str, ready: &str, port: i32) -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "uid": name},
                "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]},
                "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap(),
        )
    }

    #[test]
    fn ports_with_the_same_addresses_share_a_subset() {
        let service: Service = serde_json::from_value(json!({"spec": {"ports": [
            {"name": "http", "port": 80, "targetPort": "http"}, {"name": "fixed", "port": 81, "targetPort": 9000}]}}))
        .unwrap();
        let same = [
            pod("a", "10.0.0.1", "True", 8080),
            pod("b", "10.0.0.2", "False", 8080),
        ];
        let (subsets, truncated) = subsets(&service, &same);
        assert_eq!((subsets.len(), truncated), (1, false));
        assert_eq!(subsets[0].ports.as_ref().unwrap().len(), 2);
        assert_eq!(
            (
                subsets[0].addresses.as_ref().unwrap().len(),
                subsets[0].not_ready_addresses.as_ref().unwrap().len()
            ),
            (1, 1)
        );
        let (split, _) = super::subsets(
            &service,
            &[
                pod("a", "10.0.0.1", "True", 8080),
                pod("b", "10.0.0.2", "True", 8081),
            ],
        );
        assert_eq!(split.len(), 3);
    }

    #[test]
    fn too_many_addresses_are_cut_ready_ones_last() {
        let service: Service = serde_json::from_value(json!({"spec": {"ports": [{"port": 80}]}})).unwrap();
        let many: Vec<_> = (0..1100)
            .map(|number| {
                pod(
                    &format!("p{number}"),
                    &format!("10.0.{}.{}", number / 250, number % 250 + 1),
                    if number < 300 { "False" } else { "True" },
                    1,
                )
            })
            .collect();
        let (subsets, truncated) = subsets(&service, &many);
        assert!(truncated);
        assert_eq!(
            (
                subsets[0].addresses.as_ref().unwrap().len(),
                subsets[0].not_ready_addresses.as_ref().unwrap().len()
            ),
            (800, 200)
        );
    }
}
