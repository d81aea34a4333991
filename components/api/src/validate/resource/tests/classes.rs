use super::*;

fn class(spec: Value) -> Value {
    json!({"spec": spec})
}

#[test]
fn selectors_are_expressions_about_a_device() {
    let selectors = |expression: &str| class(json!({"selectors": [{"cel": {"expression": expression}}]}));
    for (expression, fits) in [
        ("device.driver == 'a.example.com'", true),
        (
            "device.attributes['a.example.com'].model == 'x' && 'a.example.com' in device.capacity",
            true,
        ),
        ("device.attributes['a.example.com'].healthy", true),
        ("device.allowMultipleAllocations", true),
        ("device.name == 'x'", false),
        ("device.driver", false),
        ("changed", false),
        ("", false),
    ] {
        assert_eq!(
            found("DeviceClass", None, &selectors(expression)).is_empty(),
            fits,
            "{expression}"
        );
    }
    let shares = selectors("device.allowMultipleAllocations");
    let off = Features::default().with(Feature::DRAConsumableCapacity, false);
    assert_eq!(check("DeviceClass", None, &shares, off).unwrap().len(), 1);
    assert_eq!(
        found("DeviceClass", None, &class(json!({"selectors": [{}]}))),
        ["spec.selectors[0].cel: Required value"]
    );
    assert_eq!(
        found("DeviceClass", None, &selectors(&" ".repeat(10 * 1024 + 1))),
        ["spec.selectors[0].cel.expression: Too long: may not be more than 10240 bytes"]
    );
}

#[test]
fn names_of_extended_resources() {
    for (name, fits) in [
        ("example.com/gpu", true),
        ("gpu", false),
        ("kubernetes.io/gpu", false),
        ("requests.example.com/gpu", false),
        ("example.com/-", false),
        ("", false),
    ] {
        let wrong = format!(
            "spec.extendedResourceName: Invalid value: {name:?}: must be a valid extended resource name"
        );
        let wrong: Vec<String> = Some(wrong).filter(|_| !fits).into_iter().collect();
        let class = class(json!({"extendedResourceName": name}));
        assert_eq!(found("DeviceClass", None, &class), wrong);
    }
}

#[test]
fn configurations_that_are_stored_may_be_long() {
    let config =
        |text: String| class(json!({"config": [{"opaque": {"driver": "a", "parameters": {"a": text}}}]}));
    let (long, longer) = (config("x".repeat(11_000)), config("x".repeat(12_000)));
    let wrong = "spec.config[0].opaque.parameters: Too long: may not be more than 10240 bytes";
    assert_eq!(found("DeviceClass", None, &long), [wrong]);
    assert_eq!(found("DeviceClass", Some(&long), &long), Vec::<String>::new());
    assert_eq!(found("DeviceClass", Some(&long), &longer), [wrong]);
    let many = class(json!({"config": many(33, |_| json!({}))}));
    assert_eq!(
        found("DeviceClass", Some(&many), &many),
        ["spec.config: Too many: 33: must have at most 32 items"]
    );
}
