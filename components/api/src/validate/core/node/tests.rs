use super::*;
use serde_json::json;

fn told(errors: ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn annotations_for_the_scheduler_are_still_checked() {
    const TAINTS: &str = "scheduler.alpha.kubernetes.io/taints";
    const AVOIDED: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";
    for (key, value, wrong) in [
        (
            TAINTS,
            r#"[{"key":"a","value":"b","effect":"NoSchedule"}]"#,
            vec![],
        ),
        (TAINTS, "", vec![]),
        (TAINTS, "null", vec![]),
        (
            TAINTS,
            "{}",
            vec![
                "metadata.annotations: Invalid value: \"scheduler.alpha.kubernetes.io/taints\": json: cannot unmarshal object into Go value of type []v1.Taint",
            ],
        ),
        (
            TAINTS,
            "x",
            vec![
                "metadata.annotations: Invalid value: \"scheduler.alpha.kubernetes.io/taints\": invalid character 'x' looking for beginning of value",
            ],
        ),
        (
            TAINTS,
            r#"[{"key":"a"}]"#,
            vec!["metadata.annotations.scheduler.alpha.kubernetes.io/taints[0].effect: Required value"],
        ),
        (
            AVOIDED,
            r#"{"preferAvoidPods":[{"podSignature":{"podController":{"controller":true}}}]}"#,
            vec![],
        ),
        (
            AVOIDED,
            r#"{"preferAvoidPods":[{},{"podSignature":{"podController":{"controller":false}}}]}"#,
            vec![
                "metadata.annotations.scheduler.alpha.kubernetes.io/preferAvoidPods[0].PodSignature: Required value",
                "metadata.annotations.scheduler.alpha.kubernetes.io/preferAvoidPods[1].PodSignature.PodController.Controller: Invalid value: false: must point to a controller",
            ],
        ),
        (
            AVOIDED,
            "[]",
            vec![
                "metadata.annotations.AvoidPods: Invalid value: \"scheduler.alpha.kubernetes.io/preferAvoidPods\": json: cannot unmarshal array into Go value of type v1.AvoidPods",
            ],
        ),
    ] {
        let node = json!({"metadata": {"name": "n", "annotations": {key: value}}});
        assert_eq!(told(check(None, &node, Features::default())), wrong, "{value}");
    }
}

#[test]
fn features_are_named_in_order() {
    const FORM: &str = "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes";
    for (features, wrong) in [
        (json!(["A", "A/b", "B"]), vec![]),
        (
            json!(["b"]),
            vec![format!(
                "status.declaredFeatures[0]: Invalid value: \"b\": invalid feature name \"b\": {FORM}"
            )],
        ),
        (
            json!(["B", "A", "A"]),
            vec![
                "status.declaredFeatures[1]: Invalid value: \"A\": list must be sorted alphabetically"
                    .to_owned(),
                "status.declaredFeatures[2]: Duplicate value: \"A\"".to_owned(),
            ],
        ),
    ] {
        let node = json!({"status": {"declaredFeatures": features}});
        assert_eq!(told(check(None, &node, Features::default())), wrong, "{features}");
    }
}

#[test]
fn what_a_node_is_made_of_stays() {
    let node = |range: &str, provider: &str| json!({"spec": {"podCIDRs": [range], "providerID": provider}});
    const RANGE: &str =
        "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid";
    const PROVIDER: &str =
        "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid";
    for (old, new, wrong) in [
        (json!({}), node("10.0.0.0/24", "a"), vec![]),
        (node("10.0.0.0/24", "a"), node("10.0.0.0/24", "a"), vec![]),
        (
            node("10.0.0.0/24", "a"),
            node("10.0.1.0/24", "b"),
            vec![RANGE, PROVIDER],
        ),
        (node("10.0.0.0/24", "a"), json!({}), vec![RANGE, PROVIDER]),
        (
            json!({}),
            json!({"status": {"addresses": [
                {"type": "InternalIP", "address": "10.0.0.1"}, {"type": "InternalIP", "address": "10.0.0.1"}
            ]}}),
            vec!["status.addresses[1]: Duplicate value: {\"Type\":\"InternalIP\",\"Address\":\"10.0.0.1\"}"],
        ),
        (
            json!({}),
            json!({"spec": {"configSource": {}}, "status": {"config": {"active": {"configMap": {
                "name": "c", "namespace": "n", "kubeletConfigKey": "k"
            }}}}}),
            vec![
                "spec.configSource: Invalid value: {\"ConfigMap\":null}: exactly one reference subfield must be non-nil",
                "status.config.active.configMap.uid: Required value",
                "status.config.active.configMap.resourceVersion: Required value",
            ],
        ),
    ] {
        assert_eq!(told(change(&old, &new)), wrong, "{new}");
    }
}
