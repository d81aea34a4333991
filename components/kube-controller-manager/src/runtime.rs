//! What every controller gets: clients, shared informers, event recorders, and a queue to work on.

pub mod accounts;
pub mod census;
pub mod context;

pub use context::Context;

use std::future::Future;
use std::sync::Arc;

use client::Queue;
use client::informer::Key;
use client::workqueue::{self, Requeue};

use crate::error::Result;

/// Works `queue` until the context ends; `reconcile` gets the controller and one key.
pub async fn work<C, F, Fut>(
    name: &'static str,
    context: &Context,
    queue: Queue<Key>,
    workers: usize,
    controller: Arc<C>,
    reconcile: F,
) where
    C: Send + Sync + 'static,
    F: Fn(Arc<C>, Key) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Requeue>> + Send,
{
    workqueue::run(name, queue, workers, context.shutdown.clone(), move |key| {
        reconcile(controller.clone(), key)
    })
    .await;
}

/// Calls `tick` now and then every `period` until the context ends.
pub async fn every<F, Fut>(context: &Context, period: std::time::Duration, mut tick: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = ()>,
{
    let mut timer = tokio::time::interval(period);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            _ = timer.tick() => tick().await,
        }
    }
}
