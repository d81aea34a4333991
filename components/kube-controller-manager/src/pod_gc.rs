//! Removes pods that nobody will remove: of nodes that have gone, never scheduled, or too many ended ones.

pub mod plan;

use std::sync::Arc;
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use client::Informer;
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::{Result, ignore_not_found};
use crate::owner::Meta as _;
use crate::runtime::{Context, every};
use crate::workload::disruption;
use plan::{Cause, Doomed};

const ACCOUNT: &str = "pod-garbage-collector";
const PERIOD: Duration = Duration::from_secs(20);
/// A node that is missing may only not have been seen yet.
const QUARANTINE: Duration = Duration::from_secs(40);

struct Controller {
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    client: Client,
    threshold: i64,
    /// Nodes that are missing, and since when.
    missing: Mutex<AHashMap<String, Instant>>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Controller {
        nodes: context.informer(),
        pods: context.informer(),
        client: context.client(ACCOUNT),
        threshold: context.flags.terminated_pod_gc_threshold,
        missing: Mutex::default(),
    };
    async move {
        if crate::synced!(controller.nodes, controller.pods) {
            every(&context, PERIOD, || controller.collect()).await;
        }
    }
    .boxed()
}

impl Controller {
    async fn collect(&self) {
        let pods = self.pods.list();
        let nodes = self.nodes.list();
        let gone = self.gone_nodes(&pods, &nodes).await;
        for doomed in plan::plan(&pods, &nodes, &gone, self.threshold) {
            if let Err(error) = self.delete(&doomed).await {
                tracing::warn!(namespace = doomed.pod.namespace(), pod = doomed.pod.name(), %error, "cannot collect the pod");
            }
        }
    }

    /// Nodes that pods are bound to and that have been missing for long enough; asked for once more.
    async fn gone_nodes(&self, pods: &[Arc<Pod>], nodes: &[Arc<Node>]) -> AHashSet<String> {
        let missing = plan::missing_nodes(pods, nodes);
        let now = Instant::now();
        let due: Vec<String> = {
            let mut since = self.missing.lock();
            since.retain(|name, _| missing.contains(name));
            for name in &missing {
                since.entry(name.clone()).or_insert(now);
            }
            let old = |entry: &(&String, &Instant)| now.duration_since(*entry.1) >= QUARANTINE;
            since.iter().filter(old).map(|(name, _)| name.clone()).collect()
        };
        let api: Api<Node> = Api::all(self.client.clone());
        let mut gone = AHashSet::new();
        for name in due {
            match api.get_opt(&name).await {
                Ok(None) => {
                    gone.insert(name);
                }
                Ok(Some(_)) => {}
                Err(error) => tracing::warn!(node = name, %error, "cannot tell whether the node exists"),
            }
        }
        gone
    }

    async fn delete(&self, doomed: &Doomed) -> Result<()> {
        let pod = doomed.pod.as_ref();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), pod.namespace());
        tracing::info!(namespace = pod.namespace(), pod = pod.name(), cause = ?doomed.cause, "collecting pod");
        match doomed.cause {
            Cause::NodeGone => {
                disruption::announce(&api, pod, "DeletionByPodGC", "PodGC: node no longer exists", true)
                    .await?;
            }
            Cause::Ended | Cause::NeverScheduled | Cause::OutOfService => {
                crate::pod_gc::mark_failed(&api, pod, &doomed.cause).await?;
            }
        }
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: Some(pod.uid().to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        ignore_not_found(api.delete(pod.name(), &parameters).await)
    }
}

/// A pod that leaves without having ended is written down as failed first, for whoever counts.
async fn mark_failed(api: &Api<Pod>, pod: &Pod, cause: &Cause) -> Result<()> {
    if *cause == Cause::Ended || crate::workload::pods::is_terminal(pod) {
        return Ok(());
    }
    let body = serde_json::json!({"metadata": {"uid": pod.uid()}, "status": {"phase": "Failed"}});
    let patch = kube::api::Patch::Strategic(&body);
    ignore_not_found(
        api.patch_status(pod.name(), &kube::api::PatchParams::default(), &patch)
            .await,
    )
}
