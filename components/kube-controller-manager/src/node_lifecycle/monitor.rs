//! The loop over all nodes, every monitor period.

use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use client::events::{Recorder, Type};
use client::informer::{Change, Key};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::health::{Health, silent_conditions};
use super::taints::Tainter;
use crate::error::Result;
use crate::nodes;
use crate::owner::Meta as _;
use crate::runtime::{Context, every, work};
use crate::workload::index::pods_by_node;

const ACCOUNT: &str = "node-controller";
const LEASES: &str = "kube-node-lease";
/// Nodes whose status is written at once.
const AT_ONCE: usize = 16;

pub(super) struct Controller {
    pub nodes: Informer<Node>,
    pub pods: Informer<Pod>,
    leases: Informer<Lease>,
    pub client: Client,
    pub recorder: Recorder,
    health: Mutex<AHashMap<String, Health>>,
    /// Nodes whose pods could not all be marked.
    unmarked: Mutex<AHashSet<String>>,
    known: Mutex<AHashMap<String, String>>,
    tainter: Tainter,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let client = context.client(ACCOUNT);
    let controller = Arc::new(Controller {
        nodes: context.informer(),
        pods: pods_by_node(&context),
        leases: context.informer(),
        recorder: context.recorder(ACCOUNT),
        health: Mutex::default(),
        unmarked: Mutex::default(),
        known: Mutex::default(),
        tainter: Tainter::new(client.clone(), &context.flags.nodes),
        client,
    });
    async move {
        if !crate::synced!(controller.nodes, controller.pods, controller.leases) {
            return;
        }
        let node_queue: Queue<Key> = Queue::new();
        let keys = node_queue.clone();
        controller.nodes.on_change(move |change: &Change<Node>| {
            if let Some(node) = &change.new {
                keys.add((String::new(), node.name().to_owned()));
            }
        });
        let pod_queue: Queue<Key> = Queue::new();
        let keys = pod_queue.clone();
        controller.pods.on_change(move |change| {
            if let Some(pod) = super::pods::newly_bound(change) {
                keys.add((pod.namespace().to_owned(), pod.name().to_owned()));
            }
        });
        let this = controller.clone();
        let monitor = every(&context, context.flags.nodes.node_monitor_period, || {
            this.monitor(&context)
        });
        let this = controller.clone();
        let tainting = every(&context, std::time::Duration::from_millis(100), || async {
            this.tainter.pass(&this.nodes).await
        });
        let taint_nodes = work(
            "node-taints",
            &context,
            node_queue,
            8,
            controller.clone(),
            |controller, key| async move { controller.follow_conditions(&key.1).await },
        );
        let mark_pods = work(
            "node-pods",
            &context,
            pod_queue,
            4,
            controller.clone(),
            |controller, key| async move { controller.mark_bound_pod(&key).await },
        );
        futures::join!(monitor, tainting, taint_nodes, mark_pods);
    }
    .boxed()
}

impl Controller {
    pub(super) fn api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// NoSchedule taints follow conditions at once; nobody is hurt by them.
    async fn follow_conditions(&self, name: &str) -> Result<Requeue> {
        let Some(node) = self.nodes.get("", name) else {
            return Ok(Requeue::No);
        };
        let now = Timestamp::now();
        nodes::change_taints(&self.api(), &node, |present| {
            super::plan::no_schedule_taints(&node, present, now)
        })
        .await?;
        Ok(Requeue::No)
    }

    async fn monitor(&self, context: &Context) {
        let nodes = self.nodes.list();
        self.note_membership(&nodes);
        for chunk in nodes.chunks(AT_ONCE) {
            let checks: Vec<_> = chunk
                .iter()
                .map(|node| self.check_logged(context, node))
                .collect();
            futures::future::join_all(checks).await;
        }
        self.tainter.update_zones(&self.nodes.list());
    }

    async fn check_logged(&self, context: &Context, node: &Arc<Node>) {
        if let Err(error) = self.check(context, node).await {
            tracing::warn!(node = node.name(), %error, "cannot update the node's health, trying again");
        }
    }

    async fn check(&self, context: &Context, node: &Arc<Node>) -> Result<()> {
        let now = Timestamp::now();
        let lease = self.leases.get(LEASES, node.name());
        let health = {
            let mut all = self.health.lock();
            let health = Health::observe(all.get(node.name()), node, lease.as_deref(), now);
            all.insert(node.name().to_owned(), health.clone());
            health
        };
        let observed = nodes::ready_status(node).map(str::to_owned);
        let flags = &context.flags.nodes;
        let grace = if observed.is_some() {
            flags.node_monitor_grace_period
        } else {
            flags.node_startup_grace_period
        };
        let mut current = node.as_ref().clone();
        if health.is_silent(grace, now)
            && let Some(conditions) = silent_conditions(node, now)
        {
            let mut updated = node.as_ref().clone();
            updated.status.get_or_insert_default().conditions = Some(conditions);
            current = self
                .api()
                .replace_status(node.name(), &PostParams::default(), &updated)
                .await?;
        }
        let Some(ready) = nodes::ready_status(&current) else {
            return Ok(());
        };
        self.tainter.note(&current, ready).await?;
        let went_silent = ready != "True" && observed.as_deref() == Some("True");
        if went_silent {
            self.node_event(&current, "NodeNotReady", "NodeNotReady");
        }
        let retry = ready != "True" && self.unmarked.lock().remove(node.name());
        if (went_silent || retry)
            && let Err(error) = self.mark_pods_not_ready(node.name()).await
        {
            self.unmarked.lock().insert(node.name().to_owned());
            return Err(error);
        }
        Ok(())
    }

    fn note_membership(&self, nodes: &[Arc<Node>]) {
        let now: AHashMap<String, String> = nodes
            .iter()
            .map(|node| (node.name().to_owned(), node.uid().to_owned()))
            .collect();
        let mut known = self.known.lock();
        for node in nodes
            .iter()
            .filter(|node| known.get(node.name()).map(String::as_str) != Some(node.uid()))
        {
            self.health.lock().remove(node.name());
            let message = format!("Registered Node {} in Controller", node.name());
            self.event(node.name(), node.uid(), "RegisteredNode", &message);
        }
        for (name, uid) in known.iter().filter(|(name, _)| !now.contains_key(*name)) {
            self.health.lock().remove(name);
            self.unmarked.lock().remove(name);
            self.tainter.forget(name);
            self.event(
                name,
                uid,
                "RemovingNode",
                &format!("Removing Node {name} from Controller"),
            );
        }
        *known = now;
    }

    fn node_event(&self, node: &Node, reason: &str, status: &str) {
        let message = format!("Node {} status is now: {status}", node.name());
        self.recorder.event(
            node_reference(node.name(), node.uid()),
            Type::Normal,
            reason,
            message,
        );
    }

    fn event(&self, name: &str, uid: &str, reason: &str, message: &str) {
        let message = format!("Node {name} event: {message}");
        self.recorder
            .event(node_reference(name, uid), Type::Normal, reason, message);
    }
}

fn node_reference(name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}
