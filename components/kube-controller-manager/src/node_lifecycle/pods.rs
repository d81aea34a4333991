//! Pods of nodes that are not ready count as not ready themselves, so that services leave them out.

use client::events::{Type, reference};
use client::informer::{Change, Key};
use client::workqueue::Requeue;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::PostParams;
use std::sync::Arc;

use super::monitor::Controller;
use crate::error::{Error, Result, is_not_found};
use crate::nodes;
use crate::owner::Meta as _;
use crate::workload::index::pods_of_node;
use crate::workload::pods;

/// The pod, when this change has bound it to a node.
pub(super) fn newly_bound(change: &Change<Pod>) -> Option<&Arc<Pod>> {
    let pod = change.new.as_ref()?;
    let node = pods::node_name(pod)?;
    let before = change.old.as_ref().and_then(|old| pods::node_name(old));
    (before != Some(node)).then_some(pod)
}

/// The pod with Ready turned to False; none when it is so or was never reported.
pub(super) fn not_ready(pod: &Pod, now: Timestamp) -> Option<Pod> {
    let mut pod = pod.clone();
    let conditions = pod.status.as_mut()?.conditions.as_mut()?;
    let ready = conditions
        .iter_mut()
        .find(|condition| condition.type_ == "Ready")?;
    if ready.status == "False" {
        return None;
    }
    ready.status = "False".to_owned();
    ready.last_transition_time = Some(Time(now));
    Some(pod)
}

impl Controller {
    pub(super) async fn mark_pods_not_ready(&self, node: &str) -> Result<()> {
        let mut outcomes = Vec::new();
        for pod in pods_of_node(&self.pods, node) {
            outcomes.push(self.mark(&pod).await);
        }
        Error::collect(outcomes)
    }

    /// A pod that was bound to a node that is not ready.
    pub(super) async fn mark_bound_pod(&self, key: &Key) -> Result<Requeue> {
        let Some(pod) = self.pods.get(&key.0, &key.1) else {
            return Ok(Requeue::No);
        };
        let node = pods::node_name(&pod).and_then(|name| self.nodes.get("", name));
        if node.is_some_and(|node| nodes::ready_status(&node).is_some_and(|ready| ready != "True")) {
            self.mark(&pod).await?;
        }
        Ok(Requeue::No)
    }

    async fn mark(&self, pod: &Pod) -> Result<()> {
        if let Some(updated) = not_ready(pod, Timestamp::now()) {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), pod.namespace());
            match api
                .replace_status(pod.name(), &PostParams::default(), &updated)
                .await
            {
                Ok(_) => {}
                Err(error) if is_not_found(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.recorder
            .event(reference(pod), Type::Warning, "NodeNotReady", "Node is not ready");
        Ok(())
    }
}
