use super::*;
use serde_json::json;

fn told(kind: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    let errors = check(kind, old, new, Features::default()).unwrap();
    errors.iter().map(ToString::to_string).collect()
}

/// A set or the like, with parts of its spec set.
fn controller(parts: &[(&str, Value)]) -> Value {
    let mut object = json!({"spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "c", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
                }],
            },
        },
    }});
    for (pointer, value) in parts {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(&format!("/spec{parent}")).unwrap()[field] = value.clone();
    }
    object
}

#[test]
fn pods_of_controllers_are_selected_and_last() {
    let unselected = "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`";
    let no_containers = ("/template/spec/containers", json!([]));
    for (kind, parts, wanted) in [
        ("StatefulSet", vec![], vec![]),
        ("DaemonSet", vec![], vec![]),
        ("DaemonSet", vec![("/selector", Value::Null)], vec![unselected]),
        (
            "StatefulSet",
            vec![("/selector", Value::Null)],
            vec!["spec.selector: Required value", unselected],
        ),
        (
            "StatefulSet",
            vec![("/selector", json!({})), no_containers.clone()],
            vec![
                "spec.selector: Invalid value: {}: empty selector is invalid for statefulset",
                "spec.template.spec.containers: Required value",
            ],
        ),
        // The pods of a selector that is wrong are not looked at.
        (
            "StatefulSet",
            vec![
                (
                    "/selector",
                    json!({"matchExpressions": [{"key": "a", "operator": "X"}]}),
                ),
                no_containers.clone(),
                ("/template/spec/activeDeadlineSeconds", json!(1)),
            ],
            vec![
                "spec.selector.matchExpressions[0].operator: Invalid value: \"X\": not a valid selector operator",
                "spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"X\"}]}",
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not Supported",
            ],
        ),
        (
            "ReplicaSet",
            vec![
                (
                    "/selector",
                    json!({"matchExpressions": [{"key": "a", "operator": "X"}]}),
                ),
                no_containers.clone(),
                ("/template/spec/activeDeadlineSeconds", json!(1)),
            ],
            vec![
                "spec.selector.matchExpressions[0].operator: Invalid value: \"X\": not a valid selector operator",
                "spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"X\"}]}: invalid label selector",
            ],
        ),
        (
            "DaemonSet",
            vec![("/template/spec/restartPolicy", json!("Never"))],
            vec![
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            ],
        ),
        (
            "DaemonSet",
            vec![(
                "/updateStrategy/rollingUpdate",
                json!({"maxUnavailable": "101%", "maxSurge": "99999999999999999999%"}),
            )],
            vec![
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: \"99999999999999999999%\": must not be greater than 100%",
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: \"99999999999999999999%\": may not be set when maxUnavailable is non-zero",
            ],
        ),
    ] {
        assert_eq!(told(kind, None, &controller(&parts)), wanted, "{kind} {parts:?}");
    }
}

#[test]
fn stateful_sets_are_checked_as_they_run() {
    const MOST: &str = "/updateStrategy/rollingUpdate/maxUnavailable";
    let cost = json!({"controller.kubernetes.io/pod-deletion-cost": "x"});
    let bad_cost = "spec.template.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"x\": must be a 32bit integer";
    for (parts, wanted) in [
        (
            vec![(MOST, json!(0))],
            vec!["spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0"],
        ),
        (
            vec![(MOST, json!("0%"))],
            vec!["spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": cannot be 0"],
        ),
        (
            vec![(MOST, json!("101%"))],
            vec![
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
            ],
        ),
        (
            vec![("/updateStrategy/type", json!("OnDelete"))],
            vec![
                "spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":0,\"MaxUnavailable\":1}: only allowed for updateStrategy 'RollingUpdate'",
            ],
        ),
        // The controller gives the pods names of their own.
        (
            vec![
                ("/template/spec/hostname", json!("Not_A_Name")),
                ("/template/spec/subdomain", json!("Not_A_Name")),
            ],
            vec![],
        ),
        (
            vec![("/template/metadata/annotations", cost)],
            vec![bad_cost, bad_cost],
        ),
        (
            vec![
                ("/replicas", json!(-1)),
                ("/ordinals", json!({"start": -1})),
                ("/serviceName", json!("A")),
            ],
            vec![
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
                "spec.serviceName: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
    ] {
        assert_eq!(
            told("StatefulSet", None, &controller(&parts)),
            wanted,
            "{parts:?}"
        );
    }
}

#[test]
fn pods_of_a_set_that_was_wrong_are_left_alone() {
    let image = ("/template/spec/containers/0/name", json!("Not_A_Name"));
    let wrong = controller(std::slice::from_ref(&image));
    assert!(!told("StatefulSet", Some(&controller(&[])), &wrong).is_empty());
    let scaled = controller(&[image, ("/replicas", json!(2))]);
    assert!(told("StatefulSet", Some(&wrong), &scaled).is_empty());
    let named = controller(&[("/serviceName", json!("Not_A_Name"))]);
    assert!(told("StatefulSet", Some(&named), &named).is_empty());
}

#[test]
fn daemon_sets_keep_label_values_no_label_has() {
    let term = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "k", "labelSelector": {"matchLabels": {"a": "b c"}},
    }]}});
    let affinity = ("/template/spec/affinity", term);
    let values = json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b c"]}]});
    let before = controller(&[affinity.clone(), ("/selector", values.clone())]);
    let after = controller(&[affinity, ("/selector", values), ("/minReadySeconds", json!(1))]);
    let all = told("DaemonSet", None, &before);
    assert!(
        all[0].starts_with("spec.selector.matchExpressions[0].values[0]"),
        "{all:?}"
    );
    assert!(
        told("DaemonSet", Some(&before), &after)
            .iter()
            .all(|error| !error.starts_with("spec.selector"))
    );
}
