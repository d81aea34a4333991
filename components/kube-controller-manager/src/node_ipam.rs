//! Ranges of pod addresses for nodes.

pub mod ranges;

use std::sync::Arc;

use client::events::{Recorder, Type, reference};
use client::informer::{Change, Key};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::json;

use crate::error::{Error, Result, is_not_found, status};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};
use ranges::Ranges;

const ACCOUNT: &str = "node-controller";

struct Controller {
    nodes: Informer<Node>,
    client: Client,
    recorder: Recorder,
    ranges: Mutex<Ranges>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let flags = &context.flags.nodes;
    if !flags.allocate_node_cidrs {
        return futures::future::ready(()).boxed();
    }
    let ranges = match Ranges::new(flags) {
        Ok(ranges) => ranges,
        Err(error) => {
            tracing::error!(error, "node address ranges cannot be allocated");
            return futures::future::ready(()).boxed();
        }
    };
    let controller = Arc::new(Controller {
        nodes: context.informer(),
        client: context.client(ACCOUNT),
        recorder: context.recorder(ACCOUNT),
        ranges: Mutex::new(ranges),
    });
    async move {
        if !crate::synced!(controller.nodes) {
            return;
        }
        // All ranges that are in use are known before the first one is given out.
        for node in controller.nodes.list() {
            controller.occupy(&node);
        }
        let queue: Queue<Key> = Queue::new();
        let (this, keys) = (controller.clone(), queue.clone());
        controller
            .nodes
            .on_change(move |change: &Change<Node>| match &change.new {
                Some(node) => keys.add((String::new(), node.name().to_owned())),
                None => this.ranges.lock().release(cidrs(change.object())),
            });
        work(
            "node-ipam",
            &context,
            queue,
            5,
            controller,
            |controller, key| async move { controller.reconcile(&key.1).await },
        )
        .await;
    }
    .boxed()
}

fn cidrs(node: &Node) -> &[String] {
    node.spec
        .as_ref()
        .and_then(|spec| spec.pod_cidrs.as_deref())
        .unwrap_or_default()
}

impl Controller {
    fn occupy(&self, node: &Node) {
        for cidr in cidrs(node) {
            if !self.ranges.lock().occupy(cidr) {
                tracing::warn!(
                    node = node.name(),
                    cidr,
                    "the node's range is not in the cluster's"
                );
            }
        }
    }

    async fn reconcile(&self, name: &str) -> Result<Requeue> {
        let Some(node) = self.nodes.get("", name) else {
            return Ok(Requeue::No);
        };
        if !cidrs(&node).is_empty() {
            self.occupy(&node);
            return Ok(Requeue::No);
        }
        let Some(given) = self.ranges.lock().allocate() else {
            self.recorder.event(
                reference(node.as_ref()),
                Type::Normal,
                "CIDRNotAvailable",
                format!("Node {name} status is now: CIDRNotAvailable"),
            );
            return Err(Error::invalid(
                "node",
                name,
                "there is no free range left in --cluster-cidr",
            ));
        };
        let api: Api<Node> = Api::all(self.client.clone());
        let body =
            json!({"metadata": {"uid": node.uid()}, "spec": {"podCIDR": given.first(), "podCIDRs": given}});
        match api
            .patch(name, &PatchParams::default(), &Patch::Strategic(&body))
            .await
        {
            Ok(_) => {
                tracing::info!(node = name, cidrs = ?given, "node has its range");
                Ok(Requeue::No)
            }
            Err(error) => {
                // Without an answer it may have been written: the range then stays taken until it is seen.
                if status(&error).is_some() {
                    self.ranges.lock().release(&given);
                }
                if is_not_found(&error) {
                    Ok(Requeue::No)
                } else {
                    Err(error.into())
                }
            }
        }
    }
}
