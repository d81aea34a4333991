use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::plan::{Action, View, complete_rollout, status, step};

fn set(replicas: i32, policy: &str, start: i32) -> StatefulSet {
    serde_json::from_value(json!({
        "metadata": {"name": "db", "namespace": "n"},
        "spec": {"replicas": replicas, "podManagementPolicy": policy, "serviceName": "db", "selector": {}, "ordinals": {"start": start},
            "template": {"metadata": {}, "spec": {"containers": []}}, "updateStrategy": {"type": "RollingUpdate"}},
    }))
    .unwrap()
}

/// Ordinal, revision, and whether it is ready.
fn pods(list: &[(i32, &str, bool)]) -> Vec<Arc<Pod>> {
    list.iter()
        .map(|(ordinal, revision, ready)| {
            let name = format!("db-{ordinal}");
            Arc::new(
                serde_json::from_value(json!({
                    "metadata": {"name": name, "uid": name, "labels": {"controller-revision-hash": revision,
                        "statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": ordinal.to_string()}},
                    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if *ready {"True"} else {"False"}}]},
                }))
                .unwrap(),
            )
        })
        .collect()
}

fn steps(set: &StatefulSet, pods: &[Arc<Pod>]) -> Vec<String> {
    let view = View {
        set,
        spec: set.spec.as_ref().unwrap(),
        pods,
        claim: &|_| None,
        current: "old",
        update: "new",
        collisions: 0,
        now: Timestamp::UNIX_EPOCH,
    };
    step(&view)
        .into_iter()
        .map(|action| match action {
            Action::Create(ordinal, revision) => format!("+{ordinal}@{revision}"),
            Action::Delete(pod) => format!("-{}", pod.metadata.name.as_deref().unwrap()),
            Action::Correct(pod) => format!("~{}", pod.metadata.name.as_deref().unwrap()),
            Action::CreateClaims(ordinal) => format!("claims of {ordinal}"),
            Action::Own(pod, _) => format!("owner of claims of {}", pod.metadata.name.as_deref().unwrap()),
        })
        .collect()
}

#[test]
fn pods_come_go_and_are_replaced_in_order() {
    for (set, there, want) in [
        (set(2, "OrderedReady", 0), vec![], vec!["+0@new"]),
        (set(2, "OrderedReady", 0), vec![(0, "new", false)], vec![]),
        (set(2, "OrderedReady", 0), vec![(0, "new", true)], vec!["+1@new"]),
        (set(2, "Parallel", 5), vec![], vec!["+5@new", "+6@new"]),
        (
            set(1, "OrderedReady", 0),
            vec![(0, "new", true), (1, "new", true), (2, "new", true)],
            vec!["-db-2"],
        ),
        (
            set(1, "Parallel", 0),
            vec![(0, "new", true), (1, "new", false), (2, "new", true)],
            vec!["-db-2", "-db-1"],
        ),
        (
            set(2, "OrderedReady", 0),
            vec![(0, "old", true), (1, "old", true)],
            vec!["-db-1"],
        ),
        (
            set(2, "OrderedReady", 0),
            vec![(0, "old", true), (1, "new", false)],
            vec![],
        ),
        (
            set(2, "Parallel", 0),
            vec![(0, "old", true), (1, "new", false)],
            vec![],
        ),
        (
            set(2, "OrderedReady", 0),
            vec![(0, "old", true), (1, "new", true)],
            vec!["-db-0"],
        ),
    ] {
        assert_eq!(steps(&set, &pods(&there)), want, "{there:?}");
    }
}

/// It was enough that they were ready, so that two pods of a set that is short of them went at once.
#[test]
fn a_pod_beyond_the_range_goes_only_when_those_above_were_available() {
    let mut set = set(0, "OrderedReady", 0);
    set.spec.as_mut().unwrap().min_ready_seconds = Some(60);
    let mut pods = pods(&[(0, "new", true), (1, "new", true)]);
    // Ready, but for no time yet; the first of all that is short goes nevertheless.
    assert_eq!(steps(&set, &pods), Vec::<String>::new());
    pods.pop();
    assert_eq!(steps(&set, &pods), ["-db-0"]);
}

#[test]
fn a_partition_keeps_the_lower_ones_back() {
    let mut set = set(3, "OrderedReady", 0);
    set.spec.as_mut().unwrap().update_strategy =
        serde_json::from_value(json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})).unwrap();
    assert_eq!(
        steps(
            &set,
            &pods(&[(0, "old", true), (1, "old", true), (2, "new", true)])
        ),
        Vec::<String>::new()
    );
    assert_eq!(steps(&set, &pods(&[(0, "old", true)])), ["+1@old"]);
}

#[test]
fn the_new_revision_becomes_current_when_all_have_it() {
    let set = set(2, "OrderedReady", 0);
    for (there, want) in [
        (vec![(0, "new", true), (1, "new", true)], "new"),
        (vec![(0, "old", true), (1, "new", true)], "old"),
    ] {
        let pods = pods(&there);
        let view = View {
            set: &set,
            spec: set.spec.as_ref().unwrap(),
            pods: &pods,
            claim: &|_| None,
            current: "old",
            update: "new",
            collisions: 0,
            now: Timestamp::UNIX_EPOCH,
        };
        let mut status = status(&view);
        complete_rollout(&view, &mut status);
        assert_eq!(status.current_revision.as_deref(), Some(want));
    }
}
