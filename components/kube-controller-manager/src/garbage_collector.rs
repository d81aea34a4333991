//! Deletes what has lost its owners, and carries out foreground deletion and orphaning.
//!
//! - [`graph`]: who owns whom, pure; fed by one metadata watch per resource ([`watches`])
//! - [`item`]: one object that may have to go
//! - [`orphan`]: one owner that leaves its dependents behind

mod graph;
mod item;
mod orphan;
mod resources;
#[cfg(test)]
mod tests;
mod watches;

use std::sync::Arc;

use client::Queue;
use client::workqueue::{self, Requeue};
use futures::future::{BoxFuture, FutureExt as _};
use kube::Client;
use parking_lot::Mutex;

use crate::runtime::Context;
use crate::runtime::census::Census;
use graph::{Effects, Graph, Identity};
use resources::Resources;

const ACCOUNT: &str = "generic-garbage-collector";

pub(crate) struct Collector {
    graph: Mutex<Graph>,
    resources: Resources,
    client: Client,
    /// Objects that may have to be deleted.
    deletions: Queue<Identity>,
    /// Owners that are to leave their dependents behind.
    orphanings: Queue<Identity>,
    /// Told what comes and goes, since everything is watched here anyway.
    census: Arc<Census>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    if !context.flags.enable_garbage_collector {
        return futures::future::ready(()).boxed();
    }
    let collector = Arc::new(Collector {
        graph: Mutex::default(),
        resources: Resources::default(),
        client: context.client(ACCOUNT),
        deletions: Queue::new(),
        orphanings: Queue::new(),
        census: context.census.clone(),
    });
    async move {
        let watching = watches::run(context.clone(), collector.clone());
        let workers = context.flags.concurrent_gc_syncs;
        let (this, queue) = (collector.clone(), collector.deletions.clone());
        let deleting = workqueue::run(
            "garbage-collector",
            queue,
            workers,
            context.shutdown.clone(),
            move |identity| {
                let collector = this.clone();
                async move { collector.attempt_to_delete(&identity).await }
            },
        );
        let (this, queue) = (collector.clone(), collector.orphanings.clone());
        let orphaning = workqueue::run(
            "garbage-collector-orphan",
            queue,
            workers,
            context.shutdown.clone(),
            move |identity| {
                let collector = this.clone();
                async move { collector.attempt_to_orphan(&identity).await }
            },
        );
        futures::join!(watching, deleting, orphaning);
    }
    .boxed()
}

impl Collector {
    /// Puts what a change of the graph has brought up into the queues.
    fn apply(&self, effects: Effects) {
        effects
            .delete
            .into_iter()
            .for_each(|identity| self.deletions.add(identity));
        effects
            .orphan
            .into_iter()
            .for_each(|identity| self.orphanings.add(identity));
    }

    /// The object turned out not to exist: its dependents have lost an owner.
    fn observe_absence(&self, identity: &Identity) -> Requeue {
        let effects = self.graph.lock().remove(&identity.uid);
        self.apply(effects);
        Requeue::No
    }
}
