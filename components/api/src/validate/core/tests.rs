use super::*;
use serde_json::json;

fn told(kind: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    let errors = check(kind, old, new, Features::default()).unwrap();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn settings_of_registries_are_objects() {
    let told_of = |json: &str| {
        let secret = json!({
            "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": STANDARD.encode(json)},
        });
        told("Secret", None, &secret)
    };
    for (json, wanted) in [
        ("{}", None),
        ("null", None),
        (
            "[]",
            Some("json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ),
        (
            "1",
            Some("json: cannot unmarshal number into Go value of type map[string]interface {}"),
        ),
        (
            "\"a\"",
            Some("json: cannot unmarshal string into Go value of type map[string]interface {}"),
        ),
        (
            "true",
            Some("json: cannot unmarshal bool into Go value of type map[string]interface {}"),
        ),
        ("x", Some("invalid character 'x' looking for beginning of value")),
    ] {
        let wanted = wanted.map(|why| {
            format!("data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": {why}")
        });
        assert_eq!(told_of(json), Vec::from_iter(wanted), "{json}");
    }
}

#[test]
fn what_may_not_change_is_told_of_first() {
    let old = json!({"immutable": true, "data": {"a": "b"}});
    let new = json!({"immutable": true, "data": {"a b": "b"}});
    let wrong = told("ConfigMap", Some(&old), &new);
    assert_eq!(
        wrong[0],
        "data: Forbidden: field is immutable when `immutable` is set"
    );
    assert!(wrong[1].starts_with("data[a b]: Invalid value"), "{wrong:?}");
}

/// A service of a type, with parts of its spec.
fn service(kind: &str, parts: &Value, annotations: &Value) -> Value {
    let mut service = json!({
        "metadata": {"name": "s", "annotations": annotations},
        "spec": {
            "type": kind, "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"],
            "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}], "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
        },
    });
    for (field, value) in parts.as_object().unwrap() {
        service["spec"][field] = value.clone();
    }
    service
}

#[test]
fn services_are_told_of_in_order() {
    const SPECIAL: &str = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
    for (parts, wanted) in [
        (
            json!({
                "allocateLoadBalancerNodePorts": true, "loadBalancerClass": "a.b/c",
                "externalTrafficPolicy": "Local", "healthCheckNodePort": 1, "internalTrafficPolicy": "X",
                "trafficDistribution": "Y",
            }),
            vec![
                "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
                "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
                "spec.healthCheckNodePort: Invalid value: 1: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
                "spec.internalTrafficPolicy: Unsupported value: \"X\": supported values: \"Cluster\", \"Local\"",
                "spec.trafficDistribution: Unsupported value: \"Y\": supported values: \"PreferClose\", \"PreferSameZone\", \"PreferSameNode\"",
            ],
        ),
        (
            json!({"externalIPs": ["ff12::1"], "externalTrafficPolicy": "Cluster"}),
            vec![&*format!(
                "spec.externalIPs[0]: Invalid value: \"ff12::1\": {SPECIAL}"
            )],
        ),
        (
            json!({"externalIPs": ["0.0.0.0"]}),
            vec![
                "spec.externalIPs[0]: Invalid value: \"0.0.0.0\": may not be unspecified (0.0.0.0)",
                "spec.externalTrafficPolicy: Required value",
            ],
        ),
    ] {
        let service = service("ClusterIP", &parts, &Value::Null);
        assert_eq!(told("Service", None, &service), wanted, "{parts}");
    }
}

#[test]
fn ranges_in_annotations_stay_as_they_were() {
    let with = |ranges: &str| {
        let annotations = json!({"service.beta.kubernetes.io/load-balancer-source-ranges": ranges});
        let parts = json!({"externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": true});
        service("LoadBalancer", &parts, &annotations)
    };
    let wrong =
        "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Invalid value: \"x\"";
    let (good, bad) = (with("10.0.0.0/8"), with("x"));
    assert!(told("Service", None, &bad)[0].starts_with(wrong));
    assert!(told("Service", Some(&good), &bad)[0].starts_with(wrong));
    assert!(told("Service", Some(&bad), &bad).is_empty());
}

#[test]
fn what_is_stored_empty_is_not_what_is_sent_empty() {
    const FIXED: &str = "Forbidden: field is immutable when `immutable` is set";
    let map = |data: Value| json!({"immutable": true, "data": data});
    let none = || json!({"immutable": true});
    for (old, new, refused) in [
        (none(), none(), false),
        (none(), map(json!(null)), false),
        (none(), map(json!({})), true),
        (map(json!({})), none(), false),
        (map(json!({"a": "Yg=="})), map(json!({"a": "Yg=="})), false),
        (map(json!({"a": "Yg=="})), none(), true),
        (map(json!({"a": "Yg=="})), map(json!({})), true),
    ] {
        let wanted = if refused {
            vec![format!("data: {FIXED}")]
        } else {
            Vec::new()
        };
        for kind in ["ConfigMap", "Secret"] {
            let errors = check(kind, Some(&old), &new, Features::default()).unwrap();
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(told, wanted, "{kind} {old} {new}");
        }
    }
}
