//! Whether a pod may run here: the kubelet's last word after the scheduler's.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::pod::members::PodView;
use crate::pod::phase::Phase;
use crate::pod::resources::pod_requests;

/// What the node has to give.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    pub labels: Option<BTreeMap<String, String>>,
    pub milli_cpu: i64,
    pub memory: i64,
    pub pods: i64,
}

/// A reason and message when the pod has to be refused.
pub fn admit(pod: &Pod, others: &[Arc<Pod>], node: &NodeFacts) -> Option<(String, String)> {
    // Static pods were put here by the node's owner.
    if crate::sources::is_static(pod) {
        return None;
    }
    if let (Some(labels), Some(selector)) = (&node.labels, &pod.view().node_selector) {
        if !selector.iter().all(|(key, value)| labels.get(key) == Some(value)) {
            let message = "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
            return Some(("NodeAffinity".to_owned(), message.to_owned()));
        }
    }
    let active: Vec<(i64, i64)> = others
        .iter()
        .filter(|other| other.uid() != pod.uid() && !is_over(other))
        .map(|other| pod_requests(other))
        .collect();
    let (cpu, memory) = pod_requests(pod);
    let used_cpu: i64 = active.iter().map(|(cpu, _)| cpu).sum();
    let used_memory: i64 = active.iter().map(|(_, memory)| memory).sum();
    let count = i64::try_from(active.len()).unwrap_or(i64::MAX);
    for (name, wanted, used, capacity) in
        [("pods", 1, count, node.pods), ("cpu", cpu, used_cpu, node.milli_cpu), ("memory", memory, used_memory, node.memory)]
    {
        if wanted > 0 && used.saturating_add(wanted) > capacity {
            let message = format!(
                "Pod was rejected: Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
            );
            return Some((format!("OutOf{name}"), message));
        }
    }
    None
}

fn is_over(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).and_then(Phase::parse).is_some_and(Phase::is_terminal)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, cpu: &str, selector: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": uid, "namespace": "n", "uid": uid},
            "spec": {"nodeSelector": selector, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}
        }))
        .unwrap()
    }

    #[test]
    fn pods_that_do_not_fit_are_refused_by_name() {
        let node = NodeFacts { labels: Some([("a".to_owned(), "b".to_owned())].into()), milli_cpu: 1000, memory: 1 << 30, pods: 2 };
        let others = [Arc::new(pod("1", "600m", json!({})))];
        let reason = |pod: &Pod, others: &[Arc<Pod>]| admit(pod, others, &node).map(|(reason, _)| reason);
        assert_eq!(reason(&pod("2", "400m", json!({"a": "b"})), &others), None);
        assert_eq!(reason(&pod("2", "401m", json!({})), &others).as_deref(), Some("OutOfcpu"));
        assert_eq!(reason(&pod("2", "1m", json!({"a": "c"})), &others).as_deref(), Some("NodeAffinity"));
        let two = [others[0].clone(), Arc::new(pod("3", "1m", json!({})))];
        assert_eq!(reason(&pod("2", "1m", json!({})), &two).as_deref(), Some("OutOfpods"));
    }
}
