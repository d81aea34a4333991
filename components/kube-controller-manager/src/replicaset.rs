//! ReplicaSets and ReplicationControllers: as many pods as asked for.

mod kinds;
pub mod plan;
mod reconcile;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;

use crate::runtime::Context;

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let workers = context.flags.concurrent_replicaset_syncs;
    reconcile::start::<ReplicaSet>(context, "replicaset", workers)
}

pub fn start_replication(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let workers = context.flags.concurrent_rc_syncs;
    reconcile::start::<ReplicationController>(context, "replicationcontroller", workers)
}
