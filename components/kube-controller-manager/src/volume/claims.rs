//! Claims' side of binding.

use client::events::{Type, reference};
use client::workqueue::Requeue;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::PostParams;

use super::bind;
use super::binder::Binder;
use crate::error::Result;
use crate::owner::Meta as _;

const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";

impl Binder {
    fn claims_api(&self, namespace: &str) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(super) async fn sync_claim(&self, namespace: &str, name: &str) -> Result<Requeue> {
        let Some(claim) = self.claims.get(namespace, name) else {
            return Ok(Requeue::No);
        };
        let chosen = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.clone())
            .filter(|name| !name.is_empty());
        if claim.annotation(bind::BIND_COMPLETED).is_some() {
            return self.sync_bound(&claim, chosen.as_deref()).await;
        }
        if claim.is_deleting() {
            return Ok(Requeue::No);
        }
        match chosen {
            Some(volume) => match self.volumes.get("", &volume) {
                Some(volume)
                    if volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_none())
                        || bind::is_reserved_for(&volume, &claim) =>
                {
                    self.bind(&volume, &claim).await
                }
                _ => {
                    self.set_claim_phase(&claim, "Pending").await?;
                    Ok(Requeue::After(self.period))
                }
            },
            None => {
                let late = self.waits_for_consumer(&claim);
                match bind::find(&self.volumes.list(), &claim)
                    .filter(|volume| !late || bind::is_reserved_for(volume, &claim))
                {
                    Some(volume) => self.bind(&volume, &claim).await,
                    // The change brings it here again.
                    None if self.set_default_class(&claim).await? => Ok(Requeue::No),
                    None => self.explain(&claim, late).await,
                }
            }
        }
    }

    async fn sync_bound(&self, claim: &PersistentVolumeClaim, volume: Option<&str>) -> Result<Requeue> {
        let volume = volume.and_then(|name| self.volumes.get("", name));
        match volume {
            Some(volume) if bind::is_reserved_for(&volume, claim) => {
                self.write_bound_status(claim, &volume).await?;
                Ok(Requeue::No)
            }
            found => {
                let (reason, message) = match found {
                    None => (
                        "ClaimLost",
                        "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
                    ),
                    Some(_) => (
                        "ClaimMisbound",
                        "Two claims are bound to the same volume, this one is bound incorrectly",
                    ),
                };
                if self.set_claim_phase(claim, "Lost").await? {
                    self.recorder
                        .event(reference(claim), Type::Warning, reason, message);
                }
                Ok(Requeue::No)
            }
        }
    }

    /// Volume first, then claim: a crash in between is finished by the next pass.
    async fn bind(&self, volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Result<Requeue> {
        let volume = self.take(volume, claim).await?;
        let mut updated = claim.clone();
        let spec = updated.spec.get_or_insert_default();
        let annotations = updated.metadata.annotations.get_or_insert_default();
        if spec.volume_name.as_deref() != Some(volume.name()) {
            spec.volume_name = Some(volume.name().to_owned());
            annotations.insert(bind::BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
        }
        annotations.insert(bind::BIND_COMPLETED.to_owned(), "yes".to_owned());
        let api = self.claims_api(claim.namespace());
        let bound = api
            .replace(claim.name(), &PostParams::default(), &updated)
            .await?;
        self.write_bound_status(&bound, &volume).await?;
        Ok(Requeue::No)
    }

    async fn write_bound_status(
        &self,
        claim: &PersistentVolumeClaim,
        volume: &PersistentVolume,
    ) -> Result<()> {
        let spec = volume.spec.clone().unwrap_or_default();
        let mut updated = claim.clone();
        let status = updated.status.get_or_insert_default();
        // A grown volume's size is written by whoever grew it.
        if status.phase.as_deref() == Some("Bound") {
            return Ok(());
        }
        status.phase = Some("Bound".to_owned());
        status.access_modes = spec.access_modes;
        status.capacity = spec.capacity.map(|capacity| {
            capacity
                .into_iter()
                .filter(|(name, _)| name == "storage")
                .collect()
        });
        let api = self.claims_api(claim.namespace());
        api.replace_status(claim.name(), &PostParams::default(), &updated)
            .await?;
        Ok(())
    }

    /// True when it was another one before.
    async fn set_claim_phase(&self, claim: &PersistentVolumeClaim, phase: &str) -> Result<bool> {
        if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(phase) {
            return Ok(false);
        }
        let mut updated = claim.clone();
        updated.status.get_or_insert_default().phase = Some(phase.to_owned());
        let api = self.claims_api(claim.namespace());
        api.replace_status(claim.name(), &PostParams::default(), &updated)
            .await?;
        Ok(true)
    }

    fn waits_for_consumer(&self, claim: &PersistentVolumeClaim) -> bool {
        let class = self.classes.get("", bind::class_of_claim(claim));
        let mode = class.and_then(|class| class.volume_binding_mode.clone());
        mode.as_deref() == Some("WaitForFirstConsumer") && claim.annotation(SELECTED_NODE).is_none()
    }

    /// A claim that was made when there was no default class gets the one that there is now.
    async fn set_default_class(&self, claim: &PersistentVolumeClaim) -> Result<bool> {
        if bind::has_class(claim) {
            return Ok(false);
        }
        let Some(class) = bind::default_class(&self.classes.list()) else {
            return Ok(false);
        };
        let mut updated = claim.clone();
        updated.spec.get_or_insert_default().storage_class_name = Some(class.name().to_owned());
        let api = self.claims_api(claim.namespace());
        api.replace(claim.name(), &PostParams::default(), &updated)
            .await?;
        Ok(true)
    }

    /// Says why a claim stays pending, and asks its class's provisioner for a volume.
    async fn explain(&self, claim: &PersistentVolumeClaim, late: bool) -> Result<Requeue> {
        let class_name = bind::class_of_claim(claim);
        let event = |kind, reason: &str, message: String| {
            self.recorder.event(reference(claim), kind, reason, message)
        };
        if late {
            event(
                Type::Normal,
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding".to_owned(),
            );
        } else if class_name.is_empty() {
            event(
                Type::Normal,
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set".to_owned(),
            );
        } else {
            match self.classes.get("", class_name) {
                None => event(
                    Type::Warning,
                    "ProvisioningFailed",
                    format!("storageclass.storage.k8s.io {class_name:?} not found"),
                ),
                Some(class) if class.provisioner == NO_PROVISIONER => {}
                Some(class) => {
                    self.request_provisioning(claim, &class.provisioner).await?;
                    event(
                        Type::Normal,
                        "ExternalProvisioning",
                        format!(
                            "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.",
                            class.provisioner
                        ),
                    );
                    return Ok(Requeue::After(self.period));
                }
            }
        }
        self.set_claim_phase(claim, "Pending").await?;
        Ok(Requeue::After(self.period))
    }

    async fn request_provisioning(&self, claim: &PersistentVolumeClaim, provisioner: &str) -> Result<()> {
        if claim.annotation(PROVISIONER) == Some(provisioner) {
            return Ok(());
        }
        let mut updated = claim.clone();
        let annotations = updated.metadata.annotations.get_or_insert_default();
        for key in [PROVISIONER, "volume.beta.kubernetes.io/storage-provisioner"] {
            annotations.insert(key.to_owned(), provisioner.to_owned());
        }
        let api = self.claims_api(claim.namespace());
        api.replace(claim.name(), &PostParams::default(), &updated)
            .await?;
        Ok(())
    }
}
