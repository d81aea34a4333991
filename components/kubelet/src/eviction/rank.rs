//! Which pods have to go first: pure.

use std::cmp::Reverse;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::signals::Signal;
use crate::pod::members::PodView;
use crate::pod::resources::requested;
use crate::sources::{is_mirror, is_static};

/// Pods of this priority keep the cluster itself going.
const SYSTEM_CRITICAL: i32 = 2_000_000_000;

/// What one pod uses.
#[derive(Clone, Debug)]
pub struct PodUse {
    pub pod: Arc<Pod>,
    /// Working set in bytes.
    pub memory: u64,
    /// Bytes of writable layers, logs and disk-backed emptyDirs; and their inodes.
    pub disk: u64,
    pub inodes: u64,
    pub processes: u64,
    /// Name, memory and disk of each container.
    pub containers: Vec<ContainerUse>,
}

#[derive(Clone, Debug)]
pub struct ContainerUse {
    pub name: String,
    pub memory: u64,
    pub disk: u64,
}

/// Whether a pod never has to leave: it was put here by the node's owner or the cluster depends on it.
pub fn is_critical(pod: &Pod) -> bool {
    is_static(pod)
        || is_mirror(pod)
        || pod
            .view()
            .priority
            .is_some_and(|priority| priority >= SYSTEM_CRITICAL)
}

/// Sorts by who goes first: those above what they requested, then by priority, then by how much they use.
pub fn rank(pods: &mut [PodUse], signal: Signal) {
    let priority = |used: &PodUse| used.pod.view().priority.unwrap_or(0);
    match signal.resource() {
        "memory" => pods.sort_by_key(|used| {
            let request = requested(&used.pod, "memory");
            let above = i128::from(used.memory) - i128::from(request);
            (above <= 0, priority(used), Reverse(above))
        }),
        "ephemeral-storage" => pods.sort_by_key(|used| {
            let request = requested(&used.pod, "ephemeral-storage");
            (
                i128::from(used.disk) <= i128::from(request),
                priority(used),
                Reverse(used.disk),
            )
        }),
        // Nobody can request inodes, so whoever uses any is above its request.
        "inodes" => pods.sort_by_key(|used| (used.inodes == 0, priority(used), Reverse(used.inodes))),
        _ => pods.sort_by_key(|used| (priority(used), Reverse(used.processes))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn used(name: &str, priority: i32, request: &str, memory: u64, disk: u64, processes: u64) -> PodUse {
        let pod = json!({
            "metadata": {"name": name},
            "spec": {"priority": priority, "containers": [{"name": "c", "resources": {"requests": {"memory": request, "ephemeral-storage": request}}}]}
        });
        PodUse {
            pod: Arc::new(serde_json::from_value(pod).unwrap()),
            memory,
            disk,
            inodes: disk,
            processes,
            containers: Vec::new(),
        }
    }

    #[test]
    fn pods_above_their_requests_go_first() {
        let pods = [
            used("modest", 0, "100", 50, 10, 9),
            used("greedy", 0, "100", 300, 150, 1),
            used("greedier", 0, "100", 400, 120, 2),
            used("important", 10, "0", 1000, 900, 50),
            used("large within its request", 0, "1000", 900, 0, 3),
        ];
        for (signal, want) in [
            (
                Signal::Memory,
                [
                    "greedier",
                    "greedy",
                    "important",
                    "modest",
                    "large within its request",
                ],
            ),
            (
                Signal::NodeFs,
                [
                    "greedy",
                    "greedier",
                    "important",
                    "modest",
                    "large within its request",
                ],
            ),
            (
                Signal::ImageFsInodes,
                [
                    "greedy",
                    "greedier",
                    "modest",
                    "important",
                    "large within its request",
                ],
            ),
            (
                Signal::Pids,
                [
                    "modest",
                    "large within its request",
                    "greedier",
                    "greedy",
                    "important",
                ],
            ),
        ] {
            let mut pods = pods.to_vec();
            rank(&mut pods, signal);
            let names: Vec<_> = pods.iter().map(|used| used.pod.name()).collect();
            assert_eq!(names, want, "{signal:?}");
        }
    }

    #[test]
    fn what_the_cluster_depends_on_stays() {
        for (metadata, priority, want) in [
            (json!({"name": "a"}), 1000, false),
            (json!({"name": "a"}), 2_000_001_000, true),
            (
                json!({"name": "a", "annotations": {"kubernetes.io/config.mirror": "x", "kubernetes.io/config.source": "api"}}),
                0,
                true,
            ),
            (
                json!({"name": "a", "annotations": {"kubernetes.io/config.source": "file"}}),
                0,
                true,
            ),
        ] {
            let pod: Pod = serde_json::from_value(
                json!({"metadata": metadata, "spec": {"priority": priority, "containers": []}}),
            )
            .unwrap();
            assert_eq!(is_critical(&pod), want, "{pod:?}");
        }
    }
}
