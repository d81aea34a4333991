//! Pods that the API server has bound to this node.

use client::Informer;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc::UnboundedSender;

use super::Change;
use crate::pod::members::PodView;
use crate::runtime::annotation;

/// Whether a pod only shows a static pod to the API server.
pub fn is_mirror(pod: &Pod) -> bool {
    pod.annotation(annotation::CONFIG_MIRROR).is_some()
}

/// Passes on changes of the pods in `pods`. The channel is unbounded because a node has few pods and the
/// watch must not wait for workers.
pub async fn follow_api(pods: Informer<Pod>, changes: UnboundedSender<Change>) {
    let sender = changes.clone();
    pods.on_change(move |change| {
        if is_mirror(change.object()) {
            return;
        }
        if let Some(old) = &change.old {
            let replaced = change.new.as_ref().is_some_and(|new| new.uid() != old.uid());
            if change.new.is_none() || replaced {
                let _ = sender.send(Change::Remove(old.clone()));
            }
        }
        if let Some(new) = &change.new {
            let _ = sender.send(Change::Apply(new.clone()));
        }
    });
    if pods.synced().await {
        let _ = changes.send(Change::ApiSynced);
    }
}
