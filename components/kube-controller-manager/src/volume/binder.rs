//! Volumes' side of binding: phases, and what becomes of a volume whose claim has gone.

use std::sync::Arc;

use client::events::{Recorder, Type, reference};
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::{Api, Client};

use super::bind;
use crate::error::Result;
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "persistent-volume-binder";
pub(super) const SYNC: &str = "volume";

pub(super) struct Binder {
    pub volumes: Informer<PersistentVolume>,
    pub claims: Informer<PersistentVolumeClaim>,
    pub classes: Informer<StorageClass>,
    pub client: Client,
    pub recorder: Recorder,
    pub period: std::time::Duration,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let binder = Arc::new(Binder {
        volumes: context.informer(),
        claims: context.informer(),
        classes: context.informer(),
        client: context.client(ACCOUNT),
        recorder: context.recorder_as(ACCOUNT, "persistentvolume-controller"),
        period: context.flags.pvclaimbinder_sync_period,
    });
    async move {
        if !crate::synced!(binder.volumes, binder.claims, binder.classes) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        binder
            .volumes
            .on_change(move |change: &Change<PersistentVolume>| {
                let volume = change.object();
                keys.add((SYNC.to_owned(), volume.name().to_owned()));
                if let Some(claim) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) {
                    keys.add((
                        format!("/{}", claim.namespace.as_deref().unwrap_or_default()),
                        claim.name.clone().unwrap_or_default(),
                    ));
                }
            });
        let keys = queue.clone();
        binder
            .claims
            .on_change(move |change: &Change<PersistentVolumeClaim>| {
                let claim = change.object();
                let (namespace, name) = key_of(claim.as_ref());
                keys.add((format!("/{namespace}"), name));
                if let Some(volume) = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_ref()) {
                    keys.add((SYNC.to_owned(), volume.clone()));
                }
            });
        let (this, keys) = (binder.clone(), queue.clone());
        binder.classes.on_change(move |_: &Change<StorageClass>| {
            for claim in this.claims.list() {
                let (namespace, name) = key_of(claim.as_ref());
                keys.add((format!("/{namespace}"), name));
            }
        });
        // One worker for both kinds: two claims must not be given the same volume.
        work(
            "persistent-volume-binder",
            &context,
            queue,
            1,
            binder,
            |binder, key| async move {
                match key.0.strip_prefix('/') {
                    Some(namespace) => binder.sync_claim(namespace, &key.1).await,
                    None => binder.sync_volume(&key.1).await,
                }
            },
        )
        .await;
    }
    .boxed()
}

impl Binder {
    pub(super) fn volumes_api(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    async fn sync_volume(&self, name: &str) -> Result<Requeue> {
        let Some(volume) = self.volumes.get("", name) else {
            return Ok(Requeue::No);
        };
        let Some(claim_ref) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone()) else {
            return self.set_phase(&volume, "Available", None).await;
        };
        // Reserved by a user for a claim that has not taken it yet.
        if claim_ref.uid.as_deref().unwrap_or_default().is_empty() {
            return self.set_phase(&volume, "Available", None).await;
        }
        let (namespace, claim_name) = (
            claim_ref.namespace.unwrap_or_default(),
            claim_ref.name.unwrap_or_default(),
        );
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        let known = self
            .claims
            .get(&namespace, &claim_name)
            .filter(|claim| Some(claim.uid()) == claim_ref.uid.as_deref());
        let claim = match known {
            Some(claim) => Some(claim.as_ref().clone()),
            // Data may be deleted on this word, so the server is asked.
            None => claims
                .get_opt(&claim_name)
                .await?
                .filter(|claim| Some(claim.uid()) == claim_ref.uid.as_deref()),
        };
        match claim {
            Some(claim) if claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()) == Some(name) => {
                self.set_phase(&volume, "Bound", None).await
            }
            // Being bound, or taken back by the claim's side.
            Some(_) => Ok(Requeue::No),
            None => self.reclaim(&volume).await,
        }
    }

    async fn reclaim(&self, volume: &PersistentVolume) -> Result<Requeue> {
        let policy = volume
            .spec
            .as_ref()
            .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
        self.set_phase(volume, "Released", None).await?;
        if policy == Some("Delete") && volume.annotation("pv.kubernetes.io/provisioned-by").is_none() {
            let message =
                "error getting deleter volume plugin for volume: no deletable volume plugin matched";
            self.set_phase(volume, "Failed", Some(message)).await?;
            self.recorder
                .event(reference(volume), Type::Warning, "VolumeFailedDelete", message);
        }
        Ok(Requeue::No)
    }

    async fn set_phase(
        &self,
        volume: &PersistentVolume,
        phase: &str,
        message: Option<&str>,
    ) -> Result<Requeue> {
        let status = volume.status.clone().unwrap_or_default();
        if status.phase.as_deref() == Some(phase) && status.message.as_deref() == message {
            return Ok(Requeue::No);
        }
        // Reported once; what follows a release is final.
        if status.phase.as_deref() == Some("Failed") && phase == "Released" {
            return Ok(Requeue::No);
        }
        let mut updated = volume.clone();
        let status = updated.status.get_or_insert_default();
        if status.phase.as_deref() != Some(phase) {
            status.last_phase_transition_time = Some(Time(Timestamp::now()));
        }
        status.phase = Some(phase.to_owned());
        status.message = message.map(str::to_owned);
        self.volumes_api()
            .replace_status(volume.name(), &PostParams::default(), &updated)
            .await?;
        Ok(Requeue::No)
    }

    /// Writes the claim into the volume, which is what makes it taken.
    pub(super) async fn take(
        &self,
        volume: &PersistentVolume,
        claim: &PersistentVolumeClaim,
    ) -> Result<PersistentVolume> {
        let complete = volume
            .spec
            .as_ref()
            .and_then(|spec| spec.claim_ref.as_ref()?.uid.as_deref())
            == Some(claim.uid());
        if complete {
            return Ok(volume.clone());
        }
        let mut updated = volume.clone();
        let spec = updated.spec.get_or_insert_default();
        if spec.claim_ref.is_none() {
            let annotations = updated.metadata.annotations.get_or_insert_default();
            annotations.insert(bind::BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
        }
        spec.claim_ref = Some(reference(claim));
        Ok(self
            .volumes_api()
            .replace(volume.name(), &PostParams::default(), &updated)
            .await?)
    }
}
