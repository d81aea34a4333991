//! Labels and annotations that upstream's kubelet puts on sandboxes and containers, so that either kubelet
//! can take over what the other one started.

use std::collections::HashMap;

/// Label keys.
pub mod label {
    pub const POD_NAME: &str = "io.kubernetes.pod.name";
    pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    pub const POD_UID: &str = "io.kubernetes.pod.uid";
    pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
}

/// Annotation keys.
pub mod annotation {
    pub const HASH: &str = "io.kubernetes.container.hash";
    pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
    pub const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
    pub const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
    pub const PRE_STOP_HANDLER: &str = "io.kubernetes.container.preStopHandler";
    pub const POD_DELETION_GRACE_PERIOD: &str = "io.kubernetes.pod.deletionGracePeriod";
    pub const POD_TERMINATION_GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";
    pub const PORTS: &str = "io.kubernetes.container.ports";
    pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
    pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";
    pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
    pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
}

/// A label selector for everything that belongs to one pod.
pub(super) fn of_pod(uid: &str) -> HashMap<String, String> {
    [(label::POD_UID.to_owned(), uid.to_owned())].into()
}

/// What a container's labels and annotations tell about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerRecord {
    pub pod_uid: String,
    pub pod_name: String,
    pub pod_namespace: String,
    pub name: String,
    pub hash: String,
    pub restart_count: Option<u32>,
    pub termination_message_path: String,
    pub termination_message_policy: String,
    pub termination_grace_period: Option<i64>,
}

impl ContainerRecord {
    pub fn read(labels: &HashMap<String, String>, annotations: &HashMap<String, String>) -> Self {
        let text = |map: &HashMap<String, String>, key: &str| map.get(key).cloned().unwrap_or_default();
        Self {
            pod_uid: text(labels, label::POD_UID),
            pod_name: text(labels, label::POD_NAME),
            pod_namespace: text(labels, label::POD_NAMESPACE),
            name: text(labels, label::CONTAINER_NAME),
            hash: text(annotations, annotation::HASH),
            restart_count: annotations
                .get(annotation::RESTART_COUNT)
                .and_then(|count| count.parse().ok()),
            termination_message_path: text(annotations, annotation::TERMINATION_MESSAGE_PATH),
            termination_message_policy: text(annotations, annotation::TERMINATION_MESSAGE_POLICY),
            termination_grace_period: annotations
                .get(annotation::POD_TERMINATION_GRACE_PERIOD)
                .and_then(|seconds| seconds.parse().ok()),
        }
    }
}
