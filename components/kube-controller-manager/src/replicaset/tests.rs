use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::plan::{Action, Observed, action, status};

#[test]
fn the_difference_is_made_up_in_bounded_steps() {
    let cases = [
        (3, 3, Action::Nothing),
        (3, 1, Action::Create(2)),
        (0, 2, Action::Delete(2)),
        (2000, 0, Action::Create(500)),
        (-1, 0, Action::Nothing),
    ];
    for (wanted, active, want) in cases {
        assert_eq!(action(wanted, active), want, "{wanted} wanted, {active} there");
    }
}

fn pod(ready: &str, since: i64, app: &str) -> Arc<Pod> {
    let time = Timestamp::from_second(since).unwrap().to_string();
    let pod = json!({
        "metadata": {"labels": {"app": app}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": time}]},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

#[test]
fn status_counts_pods_and_keeps_the_first_failure() {
    let spec: ReplicaSetSpec = serde_json::from_value(json!({
        "minReadySeconds": 10, "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}},
    }))
    .unwrap();
    let active = [pod("True", 0, "a"), pod("True", 95, "a"), pod("False", 0, "b")];
    let observed = |failure| Observed {
        spec: &spec,
        generation: 2,
        active: &active,
        terminating: 1,
        failure,
        now: Timestamp::from_second(100).unwrap(),
    };
    let first = status(
        &ReplicaSetStatus::default(),
        &observed(Some(("quota".to_owned(), true))),
    );
    assert_eq!(
        (
            first.replicas,
            first.ready_replicas,
            first.available_replicas,
            first.fully_labeled_replicas
        ),
        (3, Some(2), Some(1), Some(2))
    );
    assert_eq!(
        (first.terminating_replicas, first.observed_generation),
        (Some(1), Some(2))
    );
    let condition = &first.conditions.as_ref().unwrap()[0];
    assert_eq!(condition.reason.as_deref(), Some("FailedCreate"));
    let second = status(&first, &observed(Some(("other".to_owned(), true))));
    assert_eq!(second.conditions, first.conditions);
    assert_eq!(status(&second, &observed(None)).conditions, None);
}
