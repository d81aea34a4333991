use super::*;
use serde_json::json;

const START: &str = "2026-01-01T00:00:00Z";
const END: &str = "2026-01-01T01:00:00Z";

/// A status with these conditions true, and these fields.
fn status(conditions: &[&str], fields: Value) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|kind| json!({"type": kind, "status": "True"}))
        .collect();
    let mut status = json!({"startTime": START, "conditions": conditions});
    for (field, value) in fields.as_object().into_iter().flatten() {
        status[field] = value.clone();
    }
    status
}

fn told(spec: &Value, old: &Value, new: &Value, features: Features) -> Vec<String> {
    let job = |status: &Value| json!({"spec": spec, "status": status});
    check(&job(old), &job(new), features)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_job_ends_once_and_in_one_way() {
    let running = status(&[], json!({"active": 1}));
    let complete = status(
        &["SuccessCriteriaMet", "Complete"],
        json!({"completionTime": END}),
    );
    let failed = status(&["FailureTarget", "Failed"], json!({}));
    for (old, new, wrong) in [
        (&running, complete.clone(), vec![]),
        (&running, failed.clone(), vec![]),
        (
            &running,
            status(&["Complete"], json!({"completionTime": END})),
            vec![
                "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            ],
        ),
        (
            &running,
            status(&["Failed"], json!({})),
            vec![
                "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
            ],
        ),
        (
            &running,
            status(&["SuccessCriteriaMet", "Complete"], json!({})),
            vec!["status.completionTime: Required value: completionTime is required for Complete jobs"],
        ),
        (
            &running,
            status(
                &["SuccessCriteriaMet", "Complete"],
                json!({"completionTime": "2025-01-01T00:00:00Z"}),
            ),
            vec![
                "status.completionTime: Invalid value: \"2025-01-01T00:00:00Z\": must be equal to or after `startTime`",
            ],
        ),
        (
            &running,
            status(
                &["FailureTarget", "Failed"],
                json!({"active": 2, "terminating": 1}),
            ),
            vec![
                "status.active: Invalid value: 2: active>0 is invalid for finished job",
                "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job",
            ],
        ),
        (
            &running,
            status(&["FailureTarget", "Failed"], json!({"startTime": null})),
            vec![
                "status.startTime: Required value: startTime is required for finished job",
                "status.startTime: Invalid value: null: field is immutable for unsuspended job once set",
            ],
        ),
        (
            &failed,
            running.clone(),
            vec![
                "status.conditions: Invalid value: cannot disable the terminal Failed=True condition",
                "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
            ],
        ),
        (
            &complete,
            status(
                &["SuccessCriteriaMet", "Complete"],
                json!({"completionTime": "2026-01-01T02:00:00Z"}),
            ),
            vec!["status.completionTime: Invalid value: \"2026-01-01T02:00:00Z\": field is immutable"],
        ),
    ] {
        assert_eq!(told(&json!({}), old, &new, Features::default()), wrong, "{new}");
    }
}

#[test]
fn numbers_and_indexes_fit_the_job() {
    let indexed = json!({"completionMode": "Indexed", "completions": 5, "backoffLimitPerIndex": 1});
    for (spec, old, new, wrong) in [
        (
            json!({}),
            json!({"failed": 2, "succeeded": 2}),
            json!({"failed": 1, "succeeded": 1}),
            vec![
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
                "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter",
            ],
        ),
        (
            json!({"completionMode": "Indexed", "completions": 1, "parallelism": 1}),
            json!({"succeeded": 2}),
            json!({"succeeded": 1}),
            vec![],
        ),
        (
            json!({}),
            json!({}),
            json!({"ready": 2, "active": 1}),
            vec!["status.ready: Invalid value: 2: cannot set more ready pods than active"],
        ),
        (
            indexed.clone(),
            json!({}),
            json!({"completedIndexes": "0-2", "failedIndexes": "2,4"}),
            vec![
                "status.failedIndexes: Invalid value: \"2,4\": failedIndexes and completedIndexes overlap at index: 2",
            ],
        ),
        (
            indexed.clone(),
            json!({}),
            json!({"completedIndexes": "9"}),
            vec![
                "status.completedIndexes: Invalid value: \"9\": error parsing completedIndexes: too large index: \"9\"",
            ],
        ),
        (
            indexed,
            json!({"completedIndexes": "9"}),
            json!({"completedIndexes": "9"}),
            vec![],
        ),
        (
            json!({}),
            json!({}),
            json!({"completedIndexes": "0", "failedIndexes": "1"}),
            vec![
                "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when non-indexed completion mode",
                "status.failedIndexes: Invalid value: \"1\": cannot set non-null failedIndexes when backoffLimitPerIndex is null",
            ],
        ),
        (
            json!({}),
            json!({}),
            json!({"uncountedTerminatedPods": {"succeeded": ["a", "", "a"], "failed": ["a"]}}),
            vec![
                "status.uncountedTerminatedPods.succeeded[1]: Invalid value: \"\": must not be empty",
                "status.uncountedTerminatedPods.succeeded[2]: Duplicate value: \"a\"",
                "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"",
            ],
        ),
    ] {
        assert_eq!(told(&spec, &old, &new, Features::default()), wrong, "{new}");
    }
}

#[test]
fn success_is_of_policies_where_nothing_else_is_known() {
    let plain = Features::default()
        .with(Feature::JobManagedBy, false)
        .with(Feature::JobPodReplacementPolicy, false);
    let met = status(&["SuccessCriteriaMet"], json!({}));
    let none = status(&[], json!({}));
    for (features, old, new, wrong) in [
        (Features::default(), &none, &met, vec![]),
        (plain, &met, &met, vec![]),
        (
            plain,
            &none,
            &met,
            vec![
                "status.conditions: Invalid value: cannot set SuccessCriteriaMet to NonIndexed Job",
                "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True for Job without SuccessPolicy",
            ],
        ),
        (
            plain,
            &met,
            &none,
            vec!["status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition"],
        ),
    ] {
        assert_eq!(told(&json!({}), old, new, features), wrong, "{new}");
    }
}
