//! Which pods are to be collected.

use std::sync::Arc;

use ahash::AHashSet;
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::nodes;
use crate::owner::Meta as _;
use crate::workload::pods;

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Ended, and there are more of those than are kept.
    Ended,
    /// Its node no longer exists.
    NodeGone,
    /// Deleted before it was bound, so no kubelet will confirm it.
    NeverScheduled,
    /// Deleted on a node that an administrator has declared out of service.
    OutOfService,
}

#[derive(Debug)]
pub struct Doomed {
    pub pod: Arc<Pod>,
    pub cause: Cause,
}

/// Names of nodes that pods are bound to and that are not in `nodes`.
pub fn missing_nodes(all: &[Arc<Pod>], nodes: &[Arc<Node>]) -> AHashSet<String> {
    let known: AHashSet<&str> = nodes.iter().map(|node| node.name()).collect();
    let bound = all.iter().filter_map(|pod| pods::node_name(pod));
    bound
        .filter(|name| !known.contains(name))
        .map(str::to_owned)
        .collect()
}

/// `gone` are nodes that certainly do not exist; a threshold of 0 or less keeps all ended pods.
pub fn plan(all: &[Arc<Pod>], nodes: &[Arc<Node>], gone: &AHashSet<String>, threshold: i64) -> Vec<Doomed> {
    let mut doomed = Vec::new();
    let out_of_service: AHashSet<&str> = nodes
        .iter()
        .filter(|node| {
            nodes::taints(node)
                .iter()
                .any(|taint| taint.key == OUT_OF_SERVICE)
        })
        .filter(|node| nodes::ready_status(node) != Some("True"))
        .map(|node| node.name())
        .collect();
    let mut ended = Vec::new();
    for pod in all {
        let cause = match pods::node_name(pod) {
            Some(node) if gone.contains(node) => Some(Cause::NodeGone),
            Some(node) if pod.is_deleting() && out_of_service.contains(node) => Some(Cause::OutOfService),
            None if pod.is_deleting() => Some(Cause::NeverScheduled),
            _ => None,
        };
        match cause {
            Some(cause) => doomed.push(Doomed {
                pod: pod.clone(),
                cause,
            }),
            None if pods::is_terminal(pod) => ended.push(pod.clone()),
            None => {}
        }
    }
    let surplus = i64::try_from(ended.len()).unwrap_or(i64::MAX) - threshold;
    if threshold > 0 && surplus > 0 {
        ended.sort_by_key(|pod| {
            let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
            // Evicted ones tell less than others.
            let evicted = pod.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("Evicted");
            (!evicted, created, pod.name().to_owned())
        });
        let surplus = usize::try_from(surplus).unwrap_or(0);
        doomed.extend(ended.into_iter().take(surplus).map(|pod| Doomed {
            pod,
            cause: Cause::Ended,
        }));
    }
    doomed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, node: &str, phase: &str, deleting: bool) -> Arc<Pod> {
        let mut pod = json!({"metadata": {"name": name}, "spec": {"containers": [], "nodeName": node}, "status": {"phase": phase}});
        if deleting {
            pod["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");
        }
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn pods_that_nobody_else_removes() {
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "here"}})).unwrap();
        let all = [
            pod("fine", "here", "Running", false),
            pod("lost", "gone", "Running", false),
            pod("waits", "new", "Running", false),
            pod("unbound", "", "Pending", true),
            pod("old-1", "here", "Succeeded", false),
            pod("old-2", "here", "Failed", false),
        ];
        let nodes = [Arc::new(node)];
        assert_eq!(missing_nodes(&all, &nodes).len(), 2);
        let gone = ["gone".to_owned()].into_iter().collect();
        let got: Vec<_> = plan(&all, &nodes, &gone, 1)
            .iter()
            .map(|doomed| (doomed.pod.name().to_owned(), doomed.cause))
            .collect();
        let want = [
            ("lost", Cause::NodeGone),
            ("unbound", Cause::NeverScheduled),
            ("old-1", Cause::Ended),
        ];
        assert_eq!(got, want.map(|(name, cause)| (name.to_owned(), cause)));
        assert_eq!(plan(&all, &nodes, &AHashSet::new(), 0).len(), 1);
    }
}
