use super::*;
use serde_json::json;

fn found(kind: &str, old: Option<Value>, new: Value) -> Vec<String> {
    check(kind, old.as_ref(), &new)
        .unwrap()
        .iter()
        .map(|error| format!("{} {}", error.field, error.detail))
        .collect()
}

#[test]
fn claims_want_named_devices_of_a_class() {
    let exactly = json!({"deviceClassName": "a", "allocationMode": "ExactCount", "count": 1});
    let claim = |requests: Value| json!({"spec": {"devices": {"requests": requests}}});
    let good = claim(json!([{"name": "a", "exactly": exactly}]));
    assert_eq!(found("ResourceClaim", None, good.clone()), Vec::<String>::new());
    for (requests, wrong) in [
        (
            json!([{"name": "a"}]),
            "spec.devices.requests[0] exactly one of `exactly` or `firstAvailable` is required",
        ),
        (
            json!([{"name": "a", "exactly": {"allocationMode": "All"}}]),
            "spec.devices.requests[0].exactly.deviceClassName ",
        ),
        (
            json!([{"name": "a", "exactly": exactly}, {"name": "a", "exactly": exactly}]),
            "spec.devices.requests[1] ",
        ),
        (
            json!([{"name": "a", "exactly": {"deviceClassName": "a", "allocationMode": "ExactCount"}}]),
            "spec.devices.requests[0].exactly.count must be greater than zero",
        ),
        (
            json!([{"name": "a", "exactly": {"deviceClassName": "a", "allocationMode": "Odd"}}]),
            "spec.devices.requests[0].exactly.allocationMode supported values: \"All\", \"ExactCount\"",
        ),
    ] {
        assert_eq!(found("ResourceClaim", None, claim(requests)), [wrong]);
    }
    assert_eq!(
        found("ResourceClaim", Some(good), claim(json!([]))),
        ["spec field is immutable"]
    );
}

#[test]
fn slices_name_pool_node_and_devices() {
    let slice = |spec: Value| json!({"spec": spec});
    let good = json!({"driver": "a.example.com", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}, "devices": [{"name": "d", "attributes": {"model": {"string": "x"}}}]});
    assert_eq!(
        found("ResourceSlice", None, slice(good.clone())),
        Vec::<String>::new()
    );
    for (field, value, wrong) in [
        ("driver", json!(""), "spec.driver "),
        (
            "pool",
            json!({"name": "p"}),
            "spec.pool.resourceSliceCount must be greater than zero",
        ),
        (
            "allNodes",
            json!(true),
            "spec exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
        ),
        (
            "devices",
            json!([{"name": "d", "attributes": {"model": {}}}]),
            "spec.devices[0].attributes[model] exactly one value must be specified",
        ),
        (
            "devices",
            json!([{"name": "d"}, {"name": "d"}]),
            "spec.devices[1] ",
        ),
    ] {
        let mut spec = good.clone();
        spec[field] = value;
        assert_eq!(found("ResourceSlice", None, slice(spec)), [wrong]);
    }
    let mut changed = good.clone();
    changed["pool"]["name"] = json!("q");
    assert_eq!(
        found("ResourceSlice", Some(slice(good)), slice(changed)),
        ["spec.pool.name field is immutable"]
    );
}

#[test]
fn selectors_have_expressions() {
    let class = |selectors: Value| json!({"spec": {"selectors": selectors}});
    assert_eq!(
        found("DeviceClass", None, class(json!([{}]))),
        ["spec.selectors[0].cel "]
    );
    assert_eq!(
        found(
            "DeviceClass",
            None,
            class(json!([{"cel": {"expression": "true"}}]))
        ),
        Vec::<String>::new()
    );
}

#[test]
fn selectors_are_expressions_about_a_device() {
    let class = |expression: &str| json!({"spec": {"selectors": [{"cel": {"expression": expression}}]}});
    for (expression, fits) in [
        ("device.driver == 'a.example.com'", true),
        (
            "device.attributes['a.example.com'].model == 'x' && 'a.example.com' in device.capacity",
            true,
        ),
        ("device.attributes['a.example.com'].healthy", true),
        ("device.name == 'x'", false),
        ("device.driver", false),
        ("changed", false),
        ("", false),
    ] {
        assert_eq!(
            found("DeviceClass", None, class(expression)).is_empty(),
            fits,
            "{expression}"
        );
    }
}
