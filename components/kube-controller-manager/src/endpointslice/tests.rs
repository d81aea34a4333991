use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use serde_json::json;

use super::endpoints::desired;
use super::plan::{PortKey, plan};

fn endpoint(number: usize) -> Endpoint {
    Endpoint {
        addresses: vec![format!("10.0.0.{number}")],
        ..Endpoint::default()
    }
}

fn slice(name: &str, endpoints: std::ops::Range<usize>) -> Arc<EndpointSlice> {
    let mut slice = EndpointSlice {
        address_type: "IPv4".to_owned(),
        endpoints: Some(endpoints.map(endpoint).collect()),
        ..EndpointSlice::default()
    };
    slice.metadata.name = Some(name.to_owned());
    Arc::new(slice)
}

fn wanted(endpoints: std::ops::Range<usize>) -> BTreeMap<PortKey, Vec<Endpoint>> {
    [(PortKey::new([]), endpoints.map(endpoint).collect())].into()
}

#[test]
fn as_few_slices_as_possible_are_written() {
    // existing, wanted endpoints, then: created, updated, kept, deleted
    let cases: Vec<(Vec<Arc<EndpointSlice>>, std::ops::Range<usize>, [usize; 4])> = vec![
        (vec![], 0..5, [2, 0, 0, 0]),
        (vec![slice("a", 0..2)], 0..3, [0, 1, 0, 0]),
        (vec![slice("a", 0..3)], 0..3, [0, 0, 1, 0]),
        (vec![slice("a", 0..3), slice("b", 3..6)], 0..6, [0, 0, 2, 0]),
        (vec![slice("a", 0..3), slice("b", 3..5)], 0..6, [0, 1, 1, 0]),
        (vec![slice("a", 0..3), slice("b", 3..6)], 0..3, [0, 0, 1, 1]),
        (vec![slice("a", 0..3)], 5..7, [0, 1, 0, 0]),
    ];
    for (existing, range, want) in cases {
        let writes = plan(&existing, wanted(range.clone()), 3);
        let got = [
            writes.create.len(),
            writes.update.len(),
            writes.keep.len(),
            writes.delete.len(),
        ];
        assert_eq!(got, want, "{} slices, {range:?}", existing.len());
    }
}

#[test]
fn a_service_without_endpoints_keeps_one_empty_slice() {
    let writes = plan(&[], BTreeMap::new(), 100);
    assert_eq!(writes.create.len(), 1);
    let writes = plan(&[slice("a", 0..0)], BTreeMap::new(), 100);
    assert_eq!(
        (writes.create.len(), writes.keep.len(), writes.delete.len()),
        (0, 1, 0)
    );
}

#[test]
fn named_ports_and_conditions_come_from_the_pod() {
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "n"},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }))
    .unwrap();
    let pod = |name: &str, ip: &str, ready: &str, port: i32| -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "n"},
                "spec": {"nodeName": "n1", "hostname": "h", "subdomain": "web",
                    "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]},
                "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap(),
        )
    };
    let behind = [
        pod("a", "10.0.0.1", "True", 8080),
        pod("b", "10.0.0.2", "False", 9090),
        pod("c", "fd00::1", "True", 8080),
    ];
    let made = desired(&service, &behind, "IPv4", |_| None);
    assert_eq!(made.len(), 2);
    let (ports, endpoints) = made.iter().next().unwrap();
    assert_eq!(ports.ports()[0].port, Some(8080));
    assert_eq!(endpoints[0].hostname.as_deref(), Some("h"));
    assert_eq!(endpoints[0].conditions.as_ref().unwrap().ready, Some(true));
}
