//! Fields that selectors name.

use crate::Bench;
use serde_json::json;

/// One event, and how the two groups that serve it let it be chosen: what is found, or a refusal.
#[tokio::test]
async fn events_are_selected_by_the_names_of_their_own_group() {
    let bench = Bench::start().await;
    let old = "/api/v1/namespaces/default/events";
    let new = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({
        "metadata": {"name": "of-a-pod"}, "eventTime": "2026-01-01T00:00:00.000000Z", "action": "Do", "reason": "Test", "type": "Normal",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}, "reportingController": "tester", "reportingInstance": "here",
    });
    bench.post(new, &event).await;
    let event = json!({
        "metadata": {"name": "of-a-node"}, "reason": "Old", "type": "Normal",
        "involvedObject": {"kind": "Node", "name": "n", "namespace": "default"}, "source": {"component": "kubelet"},
    });
    bench.post(old, &event).await;
    for (path, selector, expected) in [
        (old, "source=tester", Some("of-a-pod")),
        (old, "source=kubelet", Some("of-a-node")),
        (old, "source!=kubelet", Some("of-a-pod")),
        (old, "reportingComponent=tester", Some("of-a-pod")),
        (old, "involvedObject.kind=Node", Some("of-a-node")),
        (old, "regarding.kind=Node", None),
        (new, "regarding.kind=Node", Some("of-a-node")),
        (
            new,
            "regarding.kind=Pod,reason=Test,type=Normal",
            Some("of-a-pod"),
        ),
        (new, "reportingController=tester", Some("of-a-pod")),
        (new, "metadata.name=of-a-node", Some("of-a-node")),
        (new, "involvedObject.kind=Node", None),
        (new, "reportingComponent=tester", None),
        (new, "source=kubelet", None),
    ] {
        let answered = bench.get(&format!("{path}?fieldSelector={selector}")).await;
        let items = answered.body["items"].as_array();
        let names: Option<Vec<&str>> = items.map(|items| {
            let names = items.iter().map(|item| item["metadata"]["name"].as_str());
            names.map(Option::unwrap).collect()
        });
        match expected {
            Some(name) => assert_eq!(names, Some(vec![name]), "{path} {selector}"),
            None => assert_eq!(answered.code, 400, "{path} {selector}: {}", answered.body),
        }
    }
}
