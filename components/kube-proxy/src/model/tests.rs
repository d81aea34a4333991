use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

fn service(spec: Value) -> Service {
    serde_json::from_value(json!({ "metadata": { "namespace": "ns", "name": "web" }, "spec": spec })).unwrap()
}

fn slice(endpoints: Value) -> Arc<EndpointSlice> {
    let value = json!({
        "metadata": { "name": "web-1" }, "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
    });
    Arc::new(serde_json::from_value(value).unwrap())
}

fn node() -> ThisNode {
    ThisNode {
        name: "n1".to_owned(),
        zone: Some("z1".to_owned()),
        ..ThisNode::default()
    }
}

fn one(spec: Value, endpoints: Value) -> Frontend {
    let mut found = frontends(&service(spec), &[slice(endpoints)], Family::V4, &node());
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn spec() -> Value {
    json!({ "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00::1"], "ports": [{ "name": "http", "port": 80 }] })
}

fn texts(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn endpoints_are_chosen_by_condition() {
    let address = |last: u8, conditions: Value, node: &str| json!({ "addresses": [format!("10.1.0.{last}")], "conditions": conditions, "nodeName": node });
    let ready = json!({ "ready": true });
    let not_ready = json!({ "ready": false, "serving": false, "terminating": false });
    let leaving = json!({ "ready": false, "serving": true, "terminating": true });
    let gone = json!({ "ready": false, "serving": false, "terminating": true });
    type Row<'a> = (&'a str, Value, &'a [&'a str], &'a [&'a str]);
    let table: &[Row<'_>] = &[
        ("none", json!([]), &[], &[]),
        (
            "no conditions means ready",
            json!([address(1, json!({}), "n1")]),
            &["10.1.0.1:8080"],
            &["10.1.0.1:8080"],
        ),
        (
            "ready ones only",
            json!([
                address(1, ready.clone(), "n2"),
                address(2, not_ready, "n1"),
                address(3, leaving.clone(), "n2")
            ]),
            &["10.1.0.1:8080"],
            &[],
        ),
        (
            "leaving ones when none is ready",
            json!([address(1, leaving.clone(), "n1"), address(2, gone, "n1")]),
            &["10.1.0.1:8080"],
            &["10.1.0.1:8080"],
        ),
        (
            "locally leaving while ready elsewhere",
            json!([address(1, leaving, "n1"), address(2, ready, "n2")]),
            &["10.1.0.2:8080"],
            &["10.1.0.1:8080"],
        ),
    ];
    for (name, endpoints, cluster, local) in table {
        let found = one(spec(), endpoints.clone());
        assert_eq!(texts(&found.endpoints), *cluster, "{name}: cluster");
        assert_eq!(texts(&found.local_endpoints), *local, "{name}: local");
    }
}

#[test]
fn hints_count_only_when_they_are_complete() {
    let address = |last: u8, zone: Option<&str>, node: Option<&str>| {
        let hints = json!({
            "forZones": zone.map(|zone| vec![json!({ "name": zone })]),
            "forNodes": node.map(|node| vec![json!({ "name": node })]),
        });
        json!({ "addresses": [format!("10.1.0.{last}")], "hints": hints })
    };
    type Row<'a> = (&'a str, Value, &'a [&'a str]);
    let both: &[&str] = &["10.1.0.1:8080", "10.1.0.2:8080"];
    let table: &[Row<'_>] = &[
        (
            "zone",
            json!([address(1, Some("z1"), None), address(2, Some("z2"), None)]),
            &["10.1.0.1:8080"],
        ),
        (
            "one has no hint",
            json!([address(1, Some("z1"), None), address(2, None, None)]),
            both,
        ),
        (
            "none is for here",
            json!([address(1, Some("z2"), None), address(2, Some("z3"), None)]),
            both,
        ),
        (
            "node",
            json!([
                address(1, Some("z1"), Some("n2")),
                address(2, Some("z1"), Some("n1"))
            ]),
            &["10.1.0.2:8080"],
        ),
        (
            "node elsewhere, zone here",
            json!([
                address(1, Some("z1"), Some("n2")),
                address(2, Some("z2"), Some("n3"))
            ]),
            &["10.1.0.1:8080"],
        ),
    ];
    for (name, endpoints, expected) in table {
        assert_eq!(
            texts(&one(spec(), endpoints.clone()).endpoints),
            *expected,
            "{name}"
        );
    }
}

#[test]
fn what_is_not_proxied_has_no_frontends() {
    for changed in [
        json!({ "clusterIP": "None", "ports": [{ "port": 80 }] }),
        json!({ "clusterIP": "", "ports": [{ "port": 80 }] }),
        json!({ "type": "ExternalName", "externalName": "x", "ports": [{ "port": 80 }] }),
        json!({ "clusterIP": "fd00::1", "ports": [{ "port": 80 }] }),
        json!({ "clusterIP": "nonsense", "ports": [{ "port": 80 }] }),
        json!({ "clusterIP": "10.0.0.1", "ports": [{ "port": 80000 }] }),
    ] {
        assert_eq!(
            frontends(&service(changed.clone()), &[], Family::V4, &node()),
            [],
            "{changed}"
        );
    }
}

#[test]
fn everything_a_service_says_is_taken() {
    let mut object = service(json!({
        "type": "LoadBalancer", "clusterIP": "10.96.0.1", "externalIPs": ["192.0.2.1", "bad", "fd00::9"],
        "ports": [{ "name": "http", "port": 80, "nodePort": 30080 }, { "name": "dns", "port": 53, "protocol": "UDP" }],
        "sessionAffinity": "ClientIP", "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local",
        "loadBalancerSourceRanges": ["10.0.0.1/8", "fd00::/8", "x"],
    }));
    object.status = Some(
        serde_json::from_value(json!({ "loadBalancer": { "ingress": [
            { "ip": "198.51.100.1" }, { "ip": "198.51.100.2", "ipMode": "Proxy" }, { "hostname": "h" },
        ] } }))
        .unwrap(),
    );
    let found = frontends(&object, &[], Family::V4, &node());
    assert_eq!(found[0].name, "ns/web:http");
    assert_eq!(found[0].external_ips, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(
        found[0].load_balancer_ips,
        ["198.51.100.1".parse::<IpAddr>().unwrap()]
    );
    assert_eq!(found[0].source_ranges, ["10.0.0.0/8".parse::<IpNet>().unwrap()]);
    assert_eq!(
        (found[0].node_port, found[0].affinity),
        (Some(30080), Some(10800))
    );
    assert!(found[0].external_local && found[0].internal_local);
    assert_eq!((found[1].protocol, found[1].node_port), (Protocol::Udp, None));
}
