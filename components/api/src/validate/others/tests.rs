use super::*;
use serde_json::json;

fn found(kind: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    let errors = check(kind, old, new, Features::default()).unwrap();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn domains_of_slices_are_whole() {
    let long = "x".repeat(64);
    for (address, wrong) in [
        ("example.com".to_owned(), vec![]),
        ("example.com.".to_owned(), vec![]),
        (String::new(), vec!["Required value".to_owned()]),
        (
            "com.".to_owned(),
            vec!["Invalid value: \"com\": should be a domain with at least two segments separated by dots".to_owned()],
        ),
        (
            "a.b..".to_owned(),
            vec!["Invalid value: \"a.b.\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".to_owned()],
        ),
        (
            format!("a.{long}"),
            vec![format!("Invalid value: \"{long}\": must be no more than 63 characters")],
        ),
    ] {
        let slice = json!({"addressType": "FQDN", "endpoints": [{"addresses": [address]}]});
        let wanted: Vec<String> = wrong
            .into_iter()
            .map(|wrong| format!("endpoints[0].addresses[0]: {wrong}"))
            .collect();
        assert_eq!(found("EndpointSlice", None, &slice), wanted, "{address}");
    }
}

#[test]
fn slices_have_limits() {
    let endpoint = |field: &str, value: Value| {
        let mut endpoint = json!({"addresses": ["10.0.0.1"]});
        endpoint[field] = value;
        json!({"addressType": "IPv4", "endpoints": [endpoint]})
    };
    let named = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|number| json!({"name": format!("n{number}")}))
            .collect()
    };
    let topology = |count: usize| -> Value {
        let keys = (0..count).map(|number| (format!("k{number}"), json!("v")));
        Value::Object(keys.collect())
    };
    let port = |number: usize| json!({"name": format!("p{number}"), "protocol": "TCP"});
    for (slice, wrong) in [
        (
            endpoint("hints", json!({"forZones": named(8), "forNodes": named(8)})),
            "",
        ),
        (
            endpoint("hints", json!({"forZones": named(9), "forNodes": named(9)})),
            "endpoints[0].hints.forZones: Too many: 9: must have at most 8 items",
        ),
        (
            endpoint("hints", json!({"forNodes": named(9)})),
            "endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items",
        ),
        (endpoint("deprecatedTopology", topology(16)), ""),
        (
            endpoint("deprecatedTopology", topology(17)),
            "endpoints[0].deprecatedTopology: Too many: 17: must have at most 16 items",
        ),
        (
            endpoint("addresses", json!(vec!["10.0.0.1"; 101])),
            "endpoints[0].addresses: Too many: 101: must have at most 100 items",
        ),
        (
            json!({"addressType": "IPv4", "endpoints": vec![json!({}); 1001]}),
            "endpoints: Too many: 1001: must have at most 1000 items",
        ),
        (
            json!({"addressType": "IPv4", "ports": (0..20_001).map(port).collect::<Vec<_>>()}),
            "ports: Too many: 20001: must have at most 20000 items",
        ),
    ] {
        let wanted: Vec<&str> = Some(wrong)
            .filter(|wrong| !wrong.is_empty())
            .into_iter()
            .collect();
        assert_eq!(found("EndpointSlice", None, &slice), wanted);
    }
    // Ports are told before endpoints.
    let both = json!({"addressType": "IPv4", "endpoints": [{}], "ports": [{"name": ""}]});
    assert_eq!(
        found("EndpointSlice", None, &both),
        [
            "ports[0].protocol: Required value",
            "endpoints[0].addresses: Required value: must contain at least 1 address",
        ]
    );
}

#[test]
fn leases_say_how_leaders_are_chosen() {
    for (spec, wrong) in [
        (
            json!({"strategy": "OldestEmulationVersion", "preferredHolder": "a"}),
            "",
        ),
        (json!({"strategy": "example.com/own"}), ""),
        (
            json!({"strategy": "Odd"}),
            "spec.strategy.strategy: Unsupported value: \"Odd\": supported values: \"OldestEmulationVersion\"",
        ),
        (
            json!({"preferredHolder": "a"}),
            "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
        ),
        (
            json!({"leaseDurationSeconds": 0}),
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        ),
    ] {
        let wanted: Vec<&str> = Some(wrong)
            .filter(|wrong| !wrong.is_empty())
            .into_iter()
            .collect();
        assert_eq!(found("Lease", None, &json!({ "spec": spec })), wanted, "{spec}");
    }
}
