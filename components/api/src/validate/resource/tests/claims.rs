use super::*;

fn exactly() -> Value {
    json!({"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1})
}

fn request(name: &str, members: Value) -> Value {
    json!({"name": name, "exactly": with(&exactly(), members)})
}

fn claim(devices: Value) -> Value {
    json!({"spec": {"devices": devices}})
}

fn of_devices(devices: Value) -> Vec<String> {
    found("ResourceClaim", None, &claim(devices))
}

#[test]
fn requests() {
    let class = "spec.devices.requests[0].exactly.deviceClassName: ";
    let alternatives = |list: Value| json!([{"name": "a", "firstAvailable": list}]);
    let alternative = |name: &str| with(&exactly(), json!({"name": name}));
    for (requests, wrong) in [
        (json!([request("a", json!({}))]), vec![]),
        (json!([]), vec![]),
        (
            json!([{"name": "a"}]),
            vec!["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required".to_owned()],
        ),
        (
            json!([Value::Null]),
            vec![
                format!("spec.devices.requests[0].name: Invalid value: \"\": {LABEL}"),
                "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required".to_owned(),
            ],
        ),
        // What is in them is not looked at then.
        (
            json!([{"name": "a", "exactly": {}, "firstAvailable": [{}]}]),
            vec!["spec.devices.requests[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set".to_owned()],
        ),
        (
            json!([request("a", json!({"deviceClassName": null}))]),
            vec![format!("{class}Required value")],
        ),
        (
            json!([request("a", json!({"count": 0})), request("a", json!({"count": -1}))]),
            vec![
                "spec.devices.requests[0].exactly.count: Invalid value: 0: must be greater than zero".to_owned(),
                "spec.devices.requests[1].exactly.count: Invalid value: -1: must be greater than zero".to_owned(),
                "spec.devices.requests[1]: Duplicate value: \"a\"".to_owned(),
            ],
        ),
        (
            json!([request("a", json!({"allocationMode": "All"}))]),
            vec!["spec.devices.requests[0].exactly.count: Invalid value: 1: must not be specified when allocationMode is 'All'".to_owned()],
        ),
        (
            json!([request("a", json!({"allocationMode": "Odd"}))]),
            vec!["spec.devices.requests[0].exactly.allocationMode: Unsupported value: \"Odd\": supported values: \"All\", \"ExactCount\"".to_owned()],
        ),
        (
            many(33, |_| json!({"name": "!"})),
            vec!["spec.devices.requests: Too many: 33: must have at most 32 items".to_owned()],
        ),
        (
            alternatives(json!([alternative("x"), alternative("y")])),
            vec![],
        ),
        (
            alternatives(json!([alternative("x"), with(&alternative("x"), json!({"deviceClassName": ""}))])),
            vec![
                "spec.devices.requests[0].firstAvailable[1].deviceClassName: Required value".to_owned(),
                "spec.devices.requests[0].firstAvailable[1]: Duplicate value: \"x\"".to_owned(),
            ],
        ),
        (
            alternatives(json!([alternative("X")])),
            vec![format!("spec.devices.requests[0].firstAvailable[0].name: Invalid value: \"X\": {LABEL}")],
        ),
        (
            alternatives(many(9, |_| json!({}))),
            vec!["spec.devices.requests[0].firstAvailable: Too many: 9: must have at most 8 items".to_owned()],
        ),
        (
            json!([request("a", json!({"selectors": many(33, |_| json!({}))}))]),
            vec!["spec.devices.requests[0].exactly.selectors: Too many: 33: must have at most 32 items".to_owned()],
        ),
    ] {
        assert_eq!(of_devices(json!({"requests": requests})), wrong, "{requests}");
    }
}

#[test]
fn tolerations() {
    let path = "spec.devices.requests[0].exactly.tolerations[0]";
    for (toleration, wrong) in [
        (json!({"operator": "Exists"}), vec![]),
        (
            json!({"key": "a.example.com/b", "operator": "Equal", "value": "c", "effect": "None"}),
            vec![],
        ),
        (
            json!({"operator": "Exists", "value": "a"}),
            vec!["value: Invalid value: \"a\": must be empty for operator `Exists`"],
        ),
        (json!({}), vec!["operator: Required value"]),
        (
            json!({"operator": "Lt", "effect": "PreferNoSchedule"}),
            vec![
                "operator: Unsupported value: \"Lt\": supported values: \"Equal\", \"Exists\"",
                "effect: Unsupported value: \"PreferNoSchedule\": supported values: \"NoExecute\", \"NoSchedule\", \"None\"",
            ],
        ),
        (
            json!({"key": "a/b/c", "operator": "Equal", "value": "-"}),
            vec![
                "key: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                "value: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ],
        ),
    ] {
        let wrong: Vec<String> = wrong.iter().map(|wrong| format!("{path}.{wrong}")).collect();
        let requests = json!([request("a", json!({"tolerations": [toleration]}))]);
        assert_eq!(of_devices(json!({"requests": requests})), wrong, "{toleration}");
    }
}

/// The requests `a`, and `b` with the alternative `x`.
fn two_requests() -> Value {
    json!([
        request("a", json!({})),
        {"name": "b", "firstAvailable": [with(&exactly(), json!({"name": "x"}))]},
    ])
}

#[test]
fn references_to_requests() {
    const UNKNOWN: &str = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    let path = "spec.devices.constraints[0].requests";
    for (names, wrong) in [
        (json!(["a", "b", "b/x"]), vec![]),
        (
            json!(["a/x"]),
            vec![format!("{path}[0]: Invalid value: \"a/x\": {UNKNOWN}")],
        ),
        (
            json!(["b/y"]),
            vec![format!("{path}[0]: Invalid value: \"b/y\": {UNKNOWN}")],
        ),
        (
            json!(["b/x/z"]),
            vec![format!("{path}[0]: Invalid value: \"b/x/z\": {UNKNOWN}")],
        ),
        (
            json!(["b/"]),
            vec![
                format!("{path}[0]: Invalid value: \"\": {LABEL}"),
                format!("{path}[0]: Invalid value: \"b/\": {UNKNOWN}"),
            ],
        ),
        (
            json!(["c", "a", "a"]),
            vec![
                format!("{path}[0]: Invalid value: \"c\": {UNKNOWN}"),
                format!("{path}[2]: Duplicate value: \"a\""),
            ],
        ),
        (
            many(33, |_| json!("?")),
            vec![format!("{path}: Too many: 33: must have at most 32 items")],
        ),
    ] {
        let constraints = json!([{"requests": names, "matchAttribute": "example.com/a"}]);
        let devices = json!({"requests": two_requests(), "constraints": constraints});
        assert_eq!(of_devices(devices), wrong, "{names}");
    }
}

#[test]
fn constraints() {
    let path = "spec.devices.constraints";
    const NONE: &str = "Required value: exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
    const BARE: &str = "a fully qualified name must be a domain and a name separated by a slash";
    for (constraints, wrong) in [
        (
            json!([{"matchAttribute": "example.com/a"}, {"distinctAttribute": "example.com/a"}]),
            vec![],
        ),
        // The second is not looked at.
        (
            json!([{"matchAttribute": "example.com/a", "distinctAttribute": "b"}]),
            vec![],
        ),
        (json!([{}]), vec![format!("{path}[0]: {NONE}")]),
        (
            json!([{"matchAttribute": "a"}, {"distinctAttribute": "a"}]),
            vec![
                format!("{path}[0].matchAttribute: Invalid value: \"a\": {BARE}"),
                format!("{path}[1].distinctAttribute: Invalid value: \"a\": {BARE}"),
            ],
        ),
        (
            many(33, |_| json!({})),
            vec![format!("{path}: Too many: 33: must have at most 32 items")],
        ),
    ] {
        let devices = json!({"requests": [], "constraints": constraints});
        assert_eq!(of_devices(devices), wrong, "{constraints}");
    }
    let off = Features::default().with(Feature::DRAConsumableCapacity, false);
    let none = check("ResourceClaim", None, &claim(json!({"constraints": [{}]})), off);
    assert_eq!(
        told(none.unwrap()),
        [format!("{path}[0].matchAttribute: Required value")]
    );
}

#[test]
fn configurations() {
    let path = "spec.devices.config[0]";
    let opaque =
        |driver: &str, parameters: Value| json!({"opaque": {"driver": driver, "parameters": parameters}});
    // With its quotes and the braces and key around it, just what is allowed.
    let large = |extra: usize| json!({"a": "x".repeat(10 * 1024 - 8 + extra)});
    for (config, wrong) in [
        (opaque("a.example.com", json!({})), vec![]),
        (opaque("A.example.com", large(0)), vec![]),
        (json!({}), vec!["opaque: Required value"]),
        (
            opaque("", Value::Null),
            vec![
                "opaque.driver: Required value",
                "opaque.parameters: Required value",
            ],
        ),
        (
            opaque("a", json!([1])),
            vec!["opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object"],
        ),
        (
            opaque("a", large(1)),
            vec!["opaque.parameters: Too long: may not be more than 10240 bytes"],
        ),
        (
            with(&opaque("a", json!({})), json!({"requests": ["z"]})),
            vec![
                "requests[0]: Invalid value: \"z\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
            ],
        ),
    ] {
        let wrong: Vec<String> = wrong.iter().map(|wrong| format!("{path}.{wrong}")).collect();
        assert_eq!(of_devices(json!({"config": [config]})), wrong);
    }
    assert_eq!(
        of_devices(json!({"config": many(33, |_| json!({}))})),
        ["spec.devices.config: Too many: 33: must have at most 32 items"]
    );
}

#[test]
fn a_spec_that_is_there_is_not_looked_at_again() {
    let old = claim(json!({"requests": [{"name": "!"}]}));
    assert_eq!(found("ResourceClaim", Some(&old), &old), Vec::<String>::new());
    let new = claim(json!({"requests": []}));
    assert_eq!(
        found("ResourceClaim", Some(&old), &new),
        [
            r#"spec: Invalid value: {"Devices":{"Requests":[],"Constraints":null,"Config":null}}: field is immutable"#
        ]
    );
}

#[test]
fn templates() {
    let template = |metadata: Value, requests: Value| json!({"spec": {"metadata": metadata, "spec": {"devices": {"requests": requests}}}});
    let good = template(
        json!({"labels": {"a": "b"}, "annotations": {"a": "b"}, "creationTimestamp": null}),
        json!([request("a", json!({}))]),
    );
    for (old, new, wrong) in [
        (None, good.clone(), vec![]),
        (Some(&good), good.clone(), vec![]),
        (
            None,
            template(json!({"name": "a", "uid": "b", "finalizers": []}), json!([])),
            vec![
                "spec.metadata.name: Forbidden: cannot be set",
                "spec.metadata.uID: Forbidden: cannot be set",
                "spec.metadata.finalizers: Forbidden: cannot be set",
            ],
        ),
        (
            Some(&good),
            template(json!({"labels": {"a": "b"}}), json!([{"name": "a"}])),
            vec![
                "spec.spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
                r#"spec: Invalid value: {"labels":{"a":"b"},"Spec":{"Devices":{"Requests":[{"Name":"a","Exactly":null,"FirstAvailable":null}],"Constraints":null,"Config":null}}}: field is immutable"#,
            ],
        ),
    ] {
        assert_eq!(found("ResourceClaimTemplate", old, &new), wrong, "{new}");
    }
}
