//! Finalizers that keep claims while pods use them, and volumes while claims are bound to them.

use std::sync::Arc;

use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};

use crate::error::{Result, ignore_not_found};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};
use crate::workload::pods;

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

struct Claims {
    claims: Informer<PersistentVolumeClaim>,
    pods: Informer<Pod>,
    client: Client,
}

pub fn start_claims(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Claims {
        claims: context.informer(),
        pods: context.informer(),
        client: context.client("pvc-protection-controller"),
    });
    async move {
        if !crate::synced!(controller.claims, controller.pods) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller
            .claims
            .on_change(move |change: &Change<PersistentVolumeClaim>| {
                keys.add(key_of(change.object().as_ref()))
            });
        let keys = queue.clone();
        controller.pods.on_change(move |change: &Change<Pod>| {
            if change.new.as_ref().is_none_or(|pod| pods::is_terminal(pod)) {
                let pod = change.object();
                claims_of(pod).for_each(|name| keys.add((pod.namespace().to_owned(), name)));
            }
        });
        work(
            "pvc-protection",
            &context,
            queue,
            1,
            controller,
            |controller, key| async move { controller.reconcile(&key).await },
        )
        .await;
    }
    .boxed()
}

/// The claims that a pod mounts, generic ephemeral ones included.
fn claims_of(pod: &Pod) -> impl Iterator<Item = String> + '_ {
    let volumes = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.volumes.as_deref())
        .unwrap_or_default();
    volumes.iter().filter_map(
        |volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(source), _) => Some(source.claim_name.clone()),
            (None, Some(_)) => Some(format!("{}-{}", pod.name(), volume.name)),
            _ => None,
        },
    )
}

/// A pod that was never bound, or has ended, holds nothing.
fn uses(pod: &Pod, claim: &str) -> bool {
    !pods::is_terminal(pod) && pods::node_name(pod).is_some() && claims_of(pod).any(|name| name == claim)
}

pub(super) fn has(finalizers: &Option<Vec<String>>, finalizer: &str) -> bool {
    finalizers.iter().flatten().any(|own| own == finalizer)
}

/// The finalizers with one put in or taken out.
pub(super) fn with(finalizers: &Option<Vec<String>>, finalizer: &str, wanted: bool) -> Option<Vec<String>> {
    let mut list = finalizers.clone().unwrap_or_default();
    list.retain(|own| own != finalizer);
    if wanted {
        list.push(finalizer.to_owned());
    }
    Some(list)
}

impl Claims {
    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(claim) = self.claims.get(&key.0, &key.1) else {
            return Ok(Requeue::No);
        };
        let protected = has(&claim.metadata.finalizers, CLAIM_FINALIZER);
        let wanted = if claim.is_deleting() {
            protected && self.is_used(key).await?
        } else {
            true
        };
        if wanted == protected {
            return Ok(Requeue::No);
        }
        let mut updated = claim.as_ref().clone();
        updated.metadata.finalizers = with(&claim.metadata.finalizers, CLAIM_FINALIZER, wanted);
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.0);
        ignore_not_found(api.replace(&key.1, &PostParams::default(), &updated).await)?;
        Ok(Requeue::No)
    }

    /// Our copy first; before a claim is let go the server is asked, as our copy may be old.
    async fn is_used(&self, key: &Key) -> Result<bool> {
        if self
            .pods
            .list_namespace(&key.0)
            .iter()
            .any(|pod| uses(pod, &key.1))
        {
            return Ok(true);
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.0);
        let pods = api.list(&ListParams::default()).await?;
        Ok(pods.items.iter().any(|pod| uses(pod, &key.1)))
    }
}

struct Volumes {
    volumes: Informer<PersistentVolume>,
    client: Client,
}

pub fn start_volumes(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Volumes {
        volumes: context.informer(),
        client: context.client("pv-protection-controller"),
    });
    async move {
        if !crate::synced!(controller.volumes) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller
            .volumes
            .on_change(move |change: &Change<PersistentVolume>| keys.add(key_of(change.object().as_ref())));
        work(
            "pv-protection",
            &context,
            queue,
            1,
            controller,
            |controller, key| async move { controller.reconcile(&key.1).await },
        )
        .await;
    }
    .boxed()
}

impl Volumes {
    async fn reconcile(&self, name: &str) -> Result<Requeue> {
        let Some(volume) = self.volumes.get("", name) else {
            return Ok(Requeue::No);
        };
        let bound = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        let protected = has(&volume.metadata.finalizers, VOLUME_FINALIZER);
        let wanted = if volume.is_deleting() {
            protected && bound
        } else {
            true
        };
        if wanted != protected {
            let mut updated = volume.as_ref().clone();
            updated.metadata.finalizers = with(&volume.metadata.finalizers, VOLUME_FINALIZER, wanted);
            let api: Api<PersistentVolume> = Api::all(self.client.clone());
            ignore_not_found(api.replace(name, &PostParams::default(), &updated).await)?;
        }
        Ok(Requeue::No)
    }
}
