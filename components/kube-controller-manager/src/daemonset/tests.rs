use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;

use super::plan::{Fit, fit, manage, roll, status};
use super::template;

fn set(surge: i32, unavailable: i32) -> DaemonSet {
    serde_json::from_value(json!({
        "metadata": {"name": "agent", "namespace": "n", "uid": "u", "generation": 2},
        "spec": {"selector": {}, "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [], "nodeSelector": {"zone": "a"}}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}},
    }))
    .unwrap()
}

fn node(name: &str, zone: &str, taint: Option<(&str, &str)>) -> Arc<Node> {
    let taints: Vec<_> = taint
        .iter()
        .map(|(key, effect)| json!({"key": key, "effect": effect}))
        .collect();
    Arc::new(
        serde_json::from_value(
            json!({"metadata": {"name": name, "labels": {"zone": zone}}, "spec": {"taints": taints}}),
        )
        .unwrap(),
    )
}

fn pod(name: &str, node: &str, hash: &str, ready: &str) -> Arc<Pod> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": name, "labels": {"controller-revision-hash": hash}},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap(),
    )
}

#[test]
fn daemons_bear_what_others_do_not() {
    let pod = template::pod(&set(0, 1), "h");
    for (node, runs, stays) in [
        (node("n", "a", None), true, true),
        (node("n", "b", None), false, false),
        (
            node("n", "a", Some(("node.kubernetes.io/unschedulable", "NoSchedule"))),
            true,
            true,
        ),
        (
            node("n", "a", Some(("node.kubernetes.io/not-ready", "NoExecute"))),
            true,
            true,
        ),
        (node("n", "a", Some(("mine", "NoSchedule"))), false, true),
        (node("n", "a", Some(("mine", "NoExecute"))), false, false),
    ] {
        assert_eq!(fit(&pod, &node), Fit { runs, stays }, "{node:?}");
    }
}

#[test]
fn one_pod_where_one_belongs() {
    let now = Timestamp::UNIX_EPOCH;
    let fits: Vec<_> = [("n1", true), ("n2", true), ("n3", false)]
        .map(|(name, runs)| (node(name, "a", None), Fit { runs, stays: runs }))
        .to_vec();
    let all = [
        pod("a", "n1", "h", "True"),
        pod("b", "n1", "h", "True"),
        pod("c", "n3", "h", "True"),
    ];
    let changes = manage(&set(0, 1), &fits, &all, "h", now);
    assert_eq!(changes.create, ["n2"]);
    assert_eq!(changes.delete.len(), 2);
    let status = status(&set(0, 1), &fits, &all, "h", now);
    assert_eq!(
        (
            status.desired_number_scheduled,
            status.current_number_scheduled,
            status.number_misscheduled
        ),
        (2, 1, 1)
    );
}

#[test]
fn updates_keep_to_their_bounds() {
    let now = Timestamp::UNIX_EPOCH;
    let fits: Vec<_> = ["n1", "n2", "n3"]
        .map(|name| {
            (
                node(name, "a", None),
                Fit {
                    runs: true,
                    stays: true,
                },
            )
        })
        .to_vec();
    let old = [
        pod("a", "n1", "old", "True"),
        pod("b", "n2", "old", "True"),
        pod("c", "n3", "old", "True"),
    ];
    assert_eq!(roll(&set(0, 2), &fits, &old, "new", now).delete.len(), 2);
    assert_eq!(roll(&set(1, 0), &fits, &old, "new", now).create.len(), 1);
    let midway = [
        pod("a", "n1", "new", "False"),
        pod("b", "n2", "old", "False"),
        pod("c", "n3", "old", "True"),
    ];
    let changes = roll(&set(0, 1), &fits, &midway, "new", now);
    let names: Vec<_> = changes
        .delete
        .iter()
        .map(|pod| pod.metadata.name.clone().unwrap())
        .collect();
    assert_eq!(names, ["b"]);
}
