//! The finalizer that keeps a class of volume attributes while claims or volumes have it.

use std::sync::Arc;

use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};

use super::protection::{has, with};
use crate::error::{Result, ignore_not_found};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const FINALIZER: &str = "kubernetes.io/vac-protection";

struct Classes {
    classes: Informer<VolumeAttributesClass>,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    client: Client,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Classes {
        classes: context.informer(),
        claims: context.informer(),
        volumes: context.informer(),
        client: context.client("volumeattributesclass-protection-controller"),
    });
    async move {
        if !crate::synced!(controller.classes, controller.claims, controller.volumes) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller
            .classes
            .on_change(move |change: &Change<VolumeAttributesClass>| {
                keys.add(key_of(change.object().as_ref()))
            });
        // A class is looked at again when something that had it has it no longer.
        let keys = queue.clone();
        controller
            .claims
            .on_change(move |change: &Change<PersistentVolumeClaim>| {
                for claim in change.old.iter() {
                    of_claim(claim).for_each(|class| keys.add((String::new(), class.to_owned())));
                }
            });
        let keys = queue.clone();
        controller
            .volumes
            .on_change(move |change: &Change<PersistentVolume>| {
                for volume in change.old.iter() {
                    of_volume(volume).for_each(|class| keys.add((String::new(), class.to_owned())));
                }
            });
        work(
            "volumeattributesclass-protection",
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

/// The classes that a claim has, wants, or is being brought to.
fn of_claim(claim: &PersistentVolumeClaim) -> impl Iterator<Item = &str> {
    let status = claim.status.as_ref();
    let wanted = claim.spec.as_ref();
    [
        wanted.and_then(|spec| spec.volume_attributes_class_name.as_deref()),
        status.and_then(|status| status.current_volume_attributes_class_name.as_deref()),
        status
            .and_then(|status| status.modify_volume_status.as_ref())
            .and_then(|modify| modify.target_volume_attributes_class_name.as_deref()),
    ]
    .into_iter()
    .flatten()
}

fn of_volume(volume: &PersistentVolume) -> impl Iterator<Item = &str> {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.volume_attributes_class_name.as_deref())
        .into_iter()
}

impl Classes {
    async fn reconcile(&self, name: &str) -> Result<Requeue> {
        let Some(class) = self.classes.get("", name) else {
            return Ok(Requeue::No);
        };
        let protected = has(&class.metadata.finalizers, FINALIZER);
        let wanted = if class.is_deleting() {
            protected && self.is_used(name).await?
        } else {
            true
        };
        if wanted != protected {
            let mut updated = class.as_ref().clone();
            updated.metadata.finalizers = with(&class.metadata.finalizers, FINALIZER, wanted);
            let api: Api<VolumeAttributesClass> = Api::all(self.client.clone());
            ignore_not_found(api.replace(name, &PostParams::default(), &updated).await)?;
        }
        Ok(Requeue::No)
    }

    /// Our copy first; before a class is let go the server is asked, as our copy may be old.
    async fn is_used(&self, name: &str) -> Result<bool> {
        let claimed = |claim: &PersistentVolumeClaim| of_claim(claim).any(|class| class == name);
        let given = |volume: &PersistentVolume| of_volume(volume).any(|class| class == name);
        if self.claims.list().iter().any(|claim| claimed(claim))
            || self.volumes.list().iter().any(|volume| given(volume))
        {
            return Ok(true);
        }
        let claims: Api<PersistentVolumeClaim> = Api::all(self.client.clone());
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let all = ListParams::default();
        Ok(claims.list(&all).await?.items.iter().any(claimed)
            || volumes.list(&all).await?.items.iter().any(given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_has_what_it_wants_and_what_it_is_brought_to() {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "spec": {"volumeAttributesClassName": "gold"},
            "status": {
                "currentVolumeAttributesClassName": "silver",
                "modifyVolumeStatus": {"status": "InProgress", "targetVolumeAttributesClassName": "bronze"},
            },
        }))
        .unwrap();
        assert_eq!(of_claim(&claim).collect::<Vec<_>>(), ["gold", "silver", "bronze"]);
    }
}
