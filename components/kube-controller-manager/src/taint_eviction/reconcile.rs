//! Watches pods and taints, and deletes pods when their time on a node is over.

use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use client::events::{Recorder, Type, reference};
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::plan::{Stay, stay};
use crate::error::{Result, ignore_not_found};
use crate::nodes::{self, NO_EXECUTE};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};
use crate::workload::index::{pods_by_node, pods_of_node};
use crate::workload::{disruption, pods};

/// Taint eviction acts as the node controller, whose role has what it needs.
const ACCOUNT: &str = "node-controller";

struct Controller {
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    client: Client,
    recorder: Recorder,
    /// Since when a pod (by uid) stands under taints.
    since: Mutex<AHashMap<String, Instant>>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let client = context.client(ACCOUNT);
    let controller = Arc::new(Controller {
        nodes: context.informer(),
        pods: pods_by_node(&context),
        recorder: context.recorder_as(ACCOUNT, "taint-eviction-controller"),
        client,
        since: Mutex::default(),
    });
    async move {
        if !crate::synced!(controller.nodes, controller.pods) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let (this, keys) = (controller.clone(), queue.clone());
        controller.nodes.on_change(move |change: &Change<Node>| {
            let taints = |node: &Option<Arc<Node>>| {
                node.as_ref()
                    .map(|node| nodes::taints(node).to_vec())
                    .unwrap_or_default()
            };
            if taints(&change.old) != taints(&change.new) {
                let pods = pods_of_node(&this.pods, change.object().name());
                pods.iter().for_each(|pod| keys.add(key_of(pod.as_ref())));
            }
        });
        let keys = queue.clone();
        controller.pods.on_change(move |change: &Change<Pod>| {
            let relevant = |pod: &Pod| {
                (
                    pods::node_name(pod).map(str::to_owned),
                    pod.spec.as_ref().and_then(|spec| spec.tolerations.clone()),
                )
            };
            let old = change.old.as_deref().map(relevant);
            if change.new.as_deref().is_none_or(|pod| Some(relevant(pod)) != old) {
                keys.add(key_of(change.object().as_ref()));
            }
        });
        work(
            "taint-eviction",
            &context,
            queue,
            8,
            controller,
            |controller, key| async move { controller.reconcile(&key).await },
        )
        .await;
    }
    .boxed()
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(pod) = self.pods.get(&key.0, &key.1) else {
            return Ok(Requeue::No);
        };
        if pod.is_deleting() {
            self.since.lock().remove(pod.uid());
            return Ok(Requeue::No);
        }
        let node = pods::node_name(&pod).and_then(|name| self.nodes.get("", name));
        let taints = node.as_deref().map(nodes::taints).unwrap_or_default();
        let tainted = taints.iter().any(|taint| taint.effect == NO_EXECUTE);
        let seconds = match stay(&pod, taints) {
            Stay::Seconds(seconds) if tainted => seconds,
            _ => {
                if self.since.lock().remove(pod.uid()).is_some() {
                    let message = format!("Cancelling deletion of Pod {}/{}", key.0, key.1);
                    self.recorder.event(
                        reference(pod.as_ref()),
                        Type::Normal,
                        "TaintManagerEviction",
                        message,
                    );
                }
                return Ok(Requeue::No);
            }
        };
        let now = Instant::now();
        let since = *self.since.lock().entry(pod.uid().to_owned()).or_insert(now);
        let until = since + Duration::from_secs(seconds);
        if until > now {
            return Ok(Requeue::After(until - now));
        }
        self.evict(&pod).await?;
        self.since.lock().remove(pod.uid());
        Ok(Requeue::No)
    }

    async fn evict(&self, pod: &Pod) -> Result<()> {
        let message = format!("Marking for deletion Pod {}/{}", pod.namespace(), pod.name());
        self.recorder
            .event(reference(pod), Type::Normal, "TaintManagerEviction", message);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), pod.namespace());
        disruption::announce(
            &api,
            pod,
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
            false,
        )
        .await?;
        let parameters = DeleteParams::default().preconditions(Preconditions {
            uid: Some(pod.uid().to_owned()),
            resource_version: None,
        });
        ignore_not_found(api.delete(pod.name(), &parameters).await)
    }
}
