use super::*;

fn found(kind: &str, new: &Value) -> Vec<String> {
    let errors = check(kind, None, new, Features::default()).unwrap();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn overheads_are_checked_as_limits() {
    for (name, amount, wrong) in [
        ("cpu", "100m", vec![]),
        ("example.com/gpu", "1", vec![]),
        (
            "memory",
            "-1",
            vec!["overhead.limits[memory]: Invalid value: \"-1\": must be greater than or equal to 0"],
        ),
        (
            "gpu",
            "1",
            vec![
                "overhead.limits[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified",
                "overhead.limits[gpu]: Invalid value: \"gpu\": must be a standard resource for containers",
            ],
        ),
        (
            "hugepages-2Mi",
            "2Mi",
            vec!["overhead: Forbidden: HugePages require cpu or memory"],
        ),
    ] {
        let class = json!({"handler": "a", "overhead": {"podFixed": {name: amount}}});
        assert_eq!(found("RuntimeClass", &class), wrong, "{name}");
    }
}

#[test]
fn tolerations_differ_by_what_they_tolerate() {
    let toleration = |seconds: i64| json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    let class = |tolerations: Value| json!({"handler": "a", "scheduling": {"tolerations": tolerations}});
    assert_eq!(
        found(
            "RuntimeClass",
            &class(json!([toleration(1), {"key": "b", "operator": "Odd"}, toleration(2)]))
        ),
        [
            "scheduling.tolerations[1].operator: Unsupported value: \"Odd\": supported values: \"Equal\", \"Exists\"",
            "scheduling.tolerations[2]: Duplicate value: {\"Key\":\"a\",\"Operator\":\"Exists\",\"Value\":\"\",\"Effect\":\"NoExecute\",\"TolerationSeconds\":2}",
        ]
    );
}

#[test]
fn services_of_apis_are_named_by_them() {
    let service = |name: &str| {
        let spec = json!({"group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1});
        json!({"metadata": {"name": name}, "spec": spec})
    };
    for (name, wrong) in [
        ("v1.a.b", vec![]),
        (
            "v2.a.b",
            vec![
                r#"metadata.name: Invalid value: "v2.a.b": must be `spec.version+"."+spec.group`: "v1.a.b""#,
            ],
        ),
        (
            "a/b",
            vec![r#"metadata.name: Invalid value: "a/b": may not contain '/'"#],
        ),
    ] {
        assert_eq!(found("APIService", &service(name)), wrong, "{name}");
    }
}
