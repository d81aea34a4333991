//! Tells kubelets by annotation how long they may keep secrets and config maps, by the cluster's size.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use client::informer::{Change, Key};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::error::{Result, ignore_not_found};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "ttl-controller";
const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";
/// From and up to so many nodes, and seconds. The steps overlap, so that one node more or less does not
/// change every annotation.
const STEPS: [(usize, usize, u32); 5] = [
    (0, 100, 0),
    (90, 500, 15),
    (450, 1000, 30),
    (900, 2000, 60),
    (1800, usize::MAX, 300),
];

struct Controller {
    nodes: Informer<Node>,
    client: Client,
    step: AtomicUsize,
}

fn next_step(step: usize, nodes: usize) -> usize {
    let (mut step, last) = (step.min(STEPS.len() - 1), STEPS.len() - 1);
    while step > 0 && nodes < STEPS[step].0 {
        step -= 1;
    }
    while step < last && nodes > STEPS[step].1 {
        step += 1;
    }
    step
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        nodes: context.informer(),
        client: context.client(ACCOUNT),
        step: AtomicUsize::new(0),
    });
    async move {
        if !crate::synced!(controller.nodes) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let (this, keys) = (controller.clone(), queue.clone());
        controller.nodes.on_change(move |change: &Change<Node>| {
            keys.add((String::new(), change.object().name().to_owned()));
            if change.old.is_none() || change.new.is_none() {
                let before = this.step.load(Ordering::Relaxed);
                let after = next_step(before, this.nodes.len());
                if after != before {
                    this.step.store(after, Ordering::Relaxed);
                    this.nodes
                        .list()
                        .iter()
                        .for_each(|node| keys.add((String::new(), node.name().to_owned())));
                }
            }
        });
        work(
            "ttl",
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

impl Controller {
    async fn reconcile(&self, name: &str) -> Result<Requeue> {
        let Some(node) = self.nodes.get("", name) else {
            return Ok(Requeue::No);
        };
        let wanted = STEPS[self.step.load(Ordering::Relaxed)].2.to_string();
        if node.annotation(ANNOTATION) != Some(wanted.as_str()) {
            let api: Api<Node> = Api::all(self.client.clone());
            let body = json!({"metadata": {"annotations": {ANNOTATION: wanted}}});
            ignore_not_found(
                api.patch(name, &PatchParams::default(), &Patch::Strategic(&body))
                    .await,
            )?;
        }
        Ok(Requeue::No)
    }
}

#[cfg(test)]
mod tests {
    use super::next_step;

    #[test]
    fn steps_change_with_some_slack() {
        for (step, nodes, want) in [
            (0, 100, 0),
            (0, 101, 1),
            (1, 95, 1),
            (1, 89, 0),
            (0, 5000, 4),
            (4, 3, 0),
        ] {
            assert_eq!(next_step(step, nodes), want, "{nodes} nodes at step {step}");
        }
    }
}
