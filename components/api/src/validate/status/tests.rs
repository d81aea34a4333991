use super::*;
use serde_json::json;

fn found(kind: &str, old: Value, new: Value) -> Vec<String> {
    let (old, new) = (json!({"status": old}), json!({"status": new}));
    check(kind, "status", &old, &new, Features::default())
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn numbers_of_workloads_fit_together() {
    for (kind, old, new, wrong) in [
        (
            "Deployment",
            json!({}),
            json!({"replicas": 3, "readyReplicas": 2, "availableReplicas": 2}),
            vec![],
        ),
        (
            "Deployment",
            json!({"collisionCount": 2}),
            json!({"replicas": -1, "collisionCount": 1}),
            vec![
                "status.replicas: Invalid value: -1: must be greater than or equal to 0",
                "status.updatedReplicas: Invalid value: 0: cannot be greater than status.replicas",
                "status.readyReplicas: Invalid value: 0: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 0: cannot be greater than status.replicas",
                "status.collisionCount: Invalid value: 1: cannot be decremented",
            ],
        ),
        (
            "ReplicaSet",
            json!({}),
            json!({"replicas": 1, "availableReplicas": 1}),
            vec!["status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas"],
        ),
        (
            "Job",
            json!({}),
            json!({"active": -1, "uncountedTerminatedPods": {"succeeded": ["a", "a"], "failed": ["a"]}}),
            vec![
                "status.active: Invalid value: -1: must be greater than or equal to 0",
                "status.uncountedTerminatedPods.succeeded[1]: Duplicate value: \"a\"",
                "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"",
            ],
        ),
        (
            "Namespace",
            json!({"phase": "Active"}),
            json!({"phase": "Terminating"}),
            vec![
                "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty",
            ],
        ),
        (
            "PodDisruptionBudget",
            json!({}),
            json!({"conditions": [{"type": "A", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}], "expectedPods": -1}),
            vec!["status.expectedPods: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            "PodDisruptionBudget",
            json!({}),
            json!({"conditions": [{"type": "A", "status": "True"}]}),
            vec![
                "status.conditions[0].lastTransitionTime: Required value",
                "status.conditions[0].reason: Required value",
            ],
        ),
    ] {
        assert_eq!(found(kind, old, new.clone()), wrong, "{kind} {new}");
    }
}

#[test]
fn conditions_of_apis_say_yes_or_no() {
    for (status, wrong) in [
        ("True", vec![]),
        (
            "Odd",
            vec![
                "status.conditions[0].status: Unsupported value: \"Odd\": supported values: \"True\", \"False\", \"Unknown\"",
            ],
        ),
    ] {
        let new = json!({"conditions": [{"type": "Available", "status": status}]});
        assert_eq!(found("APIService", json!({}), new), wrong, "{status}");
    }
}
