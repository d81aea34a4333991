use super::*;
use crate::Registry;

fn cells_of(group: &str, version: &str, plural: &str, object: Value) -> Vec<Value> {
    let registry = Registry::built_in();
    let resource = registry.resource(group, version, plural).unwrap();
    let cells = cells(resource, &object, "2026-01-01T00:10:00Z".parse().unwrap());
    assert!(cells.len() >= resource.columns.len(), "{plural}");
    cells
}

#[test]
fn pods() {
    let meta = json!({"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"});
    for (status, ready, state, restarts) in [
        (json!({"phase": "Pending"}), "0/1", "Pending", "0"),
        (
            json!({"phase": "Running", "containerStatuses": [{"name": "a", "ready": true, "restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:05:00Z"}}}]}),
            "1/1",
            "Running",
            "2 (5m ago)",
        ),
        (
            json!({"phase": "Running", "containerStatuses": [{"name": "a", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            "0/1",
            "CrashLoopBackOff",
            "1",
        ),
        (
            json!({"phase": "Succeeded", "containerStatuses": [{"name": "a", "state": {"terminated": {"reason": "Completed", "exitCode": 0}}}]}),
            "0/1",
            "Completed",
            "0",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            "0/1",
            "Init:0/0",
            "0",
        ),
    ] {
        let cells = cells_of(
            "",
            "v1",
            "pods",
            json!({"metadata": meta, "spec": {"containers": [{"name": "a"}]}, "status": status}),
        );
        assert_eq!(
            cells[1..5],
            [json!(ready), json!(state), json!(restarts), json!("10m")]
        );
    }
}

#[test]
fn nodes_services_and_the_rest() {
    let node = json!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}}, "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.36.2"}}});
    assert_eq!(
        cells_of("", "v1", "nodes", node)[1..5],
        [
            json!("Ready,SchedulingDisabled"),
            json!("control-plane"),
            json!("<unknown>"),
            json!("v1.36.2")
        ]
    );
    let service = json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "ports": [{"port": 80, "nodePort": 30000, "protocol": "TCP"}]}});
    assert_eq!(
        cells_of("", "v1", "services", service)[1..5],
        [
            json!("NodePort"),
            json!("10.0.0.1"),
            json!("<none>"),
            json!("80:30000/TCP")
        ]
    );
    for resource in Registry::built_in()
        .iter()
        .filter(|resource| !resource.columns.is_empty() && resource.is_stored())
    {
        let object = json!({"metadata": {"name": "x"}});
        assert!(
            cells(resource, &object, Timestamp::now()).len() >= resource.columns.len(),
            "{}",
            resource.plural
        );
    }
}
