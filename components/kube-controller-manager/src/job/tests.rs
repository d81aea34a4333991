use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::outcome::{decide, missing_indexes, wanted_active};
use super::{policy, track};

fn spec(fields: Value) -> JobSpec {
    let mut spec = json!({"parallelism": 1, "completions": 1, "backoffLimit": 2, "template": {"spec": {"restartPolicy": "Never", "containers": []}}});
    spec.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn pod(name: &str, phase: &str, code: i32, index: i32) -> Arc<Pod> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "n", "uid": name, "finalizers": ["batch.kubernetes.io/job-tracking"],
                "annotations": {"batch.kubernetes.io/job-completion-index": index.to_string()}},
            "status": {"phase": phase, "containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": code}}}]},
        }))
        .unwrap(),
    )
}

fn untracked(pod: &Arc<Pod>) -> Arc<Pod> {
    let mut pod = pod.as_ref().clone();
    pod.metadata.finalizers = None;
    Arc::new(pod)
}

#[test]
fn an_ended_pod_is_counted_once_after_its_finalizer_is_off() {
    let spec = spec(json!({"completions": 2}));
    let mut status = JobStatus::default();
    let all = [
        pod("a", "Succeeded", 0, 0),
        pod("b", "Failed", 1, 0),
        pod("c", "Running", 0, 0),
    ];
    assert_eq!(track::write_down(&mut status, &spec, &all, false).len(), 2);
    assert_eq!(track::write_down(&mut status, &spec, &all, false).len(), 2);
    track::settle(&mut status, &spec, &all);
    assert_eq!((status.succeeded, status.failed), (None, None));
    let released = [untracked(&all[0]), untracked(&all[1]), all[2].clone()];
    track::settle(&mut status, &spec, &released);
    track::settle(&mut status, &spec, &released);
    assert_eq!((status.succeeded, status.failed), (Some(1), Some(1)));
    assert_eq!(wanted_active(&spec, &status, 1), 1);
}

#[test]
fn jobs_end_for_their_reasons() {
    let now = Timestamp::from_second(100).unwrap();
    let start = "1970-01-01T00:00:10Z";
    let fail_on_42 = json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}});
    let cases = [
        (
            json!({}),
            json!({"succeeded": 1}),
            vec![],
            Some("CompletionsReached"),
        ),
        (json!({}), json!({"failed": 2}), vec![], None),
        (
            json!({}),
            json!({"failed": 3}),
            vec![],
            Some("BackoffLimitExceeded"),
        ),
        (
            json!({"activeDeadlineSeconds": 80}),
            json!({"startTime": start}),
            vec![],
            Some("DeadlineExceeded"),
        ),
        (
            json!({"activeDeadlineSeconds": 95}),
            json!({"startTime": start}),
            vec![],
            None,
        ),
        (
            fail_on_42.clone(),
            json!({}),
            vec![pod("a", "Failed", 42, 0)],
            Some("PodFailurePolicy"),
        ),
        (fail_on_42, json!({}), vec![pod("a", "Failed", 41, 0)], None),
        (
            json!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [{"succeededIndexes": "0-1", "succeededCount": 1}]}}),
            json!({"completedIndexes": "1"}),
            vec![],
            Some("SuccessPolicy"),
        ),
    ];
    for (fields, status, all, want) in cases {
        let status: JobStatus = serde_json::from_value(status).unwrap();
        let end = decide(&spec(fields.clone()), &status, &all, &BTreeSet::new(), now);
        assert_eq!(end.map(|end| end.reason), want, "{fields}");
    }
    let verdict = policy::judge(
        &spec(
            json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}}]}}),
        ),
        &pod("a", "Failed", 42, 0),
    );
    assert_eq!(
        verdict,
        policy::Verdict::FailJob(
            "Container main for pod n/a failed with exit code 42 matching FailJob rule at index 0".to_owned()
        )
    );
}

#[test]
fn indexes_are_made_lowest_first_and_once() {
    let spec = spec(json!({"completionMode": "Indexed", "completions": 5}));
    let status: JobStatus = serde_json::from_value(json!({"completedIndexes": "0"})).unwrap();
    let all = [pod("a", "Running", 0, 2), pod("b", "Failed", 1, 3)];
    assert_eq!(
        missing_indexes(&spec, &status, &all, &BTreeSet::from([1]), 5),
        [3, 4]
    );
    let mut status = JobStatus::default();
    track::write_down(
        &mut status,
        &spec,
        &[
            pod("a", "Succeeded", 0, 0),
            pod("b", "Succeeded", 0, 1),
            pod("c", "Succeeded", 0, 1),
        ],
        false,
    );
    assert_eq!(
        (status.completed_indexes.as_deref(), status.succeeded),
        (Some("0,1"), Some(2))
    );
}
