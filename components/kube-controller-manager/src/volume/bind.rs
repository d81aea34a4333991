//! Which volume fits a claim.

use std::collections::BTreeSet;
use std::sync::Arc;

use apimachinery::quantity::Quantity;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use crate::owner::Meta as _;
use crate::selector::Selector;

pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
pub const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

const DEFAULT_ANNOTATIONS: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

pub fn class_of_claim(claim: &PersistentVolumeClaim) -> &str {
    claim
        .annotation(CLASS_ANNOTATION)
        .or_else(|| {
            claim
                .spec
                .as_ref()
                .and_then(|spec| spec.storage_class_name.as_deref())
        })
        .unwrap_or_default()
}

/// Whether the claim names a class, were it that of no name, which wants none.
pub fn has_class(claim: &PersistentVolumeClaim) -> bool {
    claim.annotation(CLASS_ANNOTATION).is_some()
        || claim
            .spec
            .as_ref()
            .is_some_and(|spec| spec.storage_class_name.is_some())
}

/// The class of claims that name none: of several the newest, of those as new the first by name.
pub fn default_class(classes: &[Arc<StorageClass>]) -> Option<Arc<StorageClass>> {
    let is_default = |class: &StorageClass| {
        DEFAULT_ANNOTATIONS
            .iter()
            .any(|key| class.annotation(key) == Some("true"))
    };
    let made = |class: &StorageClass| class.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let defaults = classes.iter().filter(|class| is_default(class));
    defaults
        .min_by(|a, b| made(b).cmp(&made(a)).then_with(|| a.name().cmp(b.name())))
        .cloned()
}

fn class_of_volume(volume: &PersistentVolume) -> &str {
    volume
        .annotation(CLASS_ANNOTATION)
        .or_else(|| {
            volume
                .spec
                .as_ref()
                .and_then(|spec| spec.storage_class_name.as_deref())
        })
        .unwrap_or_default()
}

fn capacity(volume: &PersistentVolume) -> Quantity {
    let capacity = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.capacity.as_ref())
        .and_then(|capacity| capacity.get("storage"));
    capacity.and_then(|text| text.0.parse().ok()).unwrap_or_default()
}

fn requested(claim: &PersistentVolumeClaim) -> Quantity {
    let requests = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.resources.as_ref())
        .and_then(|resources| resources.requests.as_ref());
    requests
        .and_then(|requests| requests.get("storage")?.0.parse().ok())
        .unwrap_or_default()
}

/// Whether the volume's claim reference is to this claim; one without uid was written by a user.
pub fn is_reserved_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    reference.is_some_and(|reference| {
        reference.name.as_deref() == Some(claim.name())
            && reference.namespace.as_deref() == Some(claim.namespace())
            && reference
                .uid
                .as_deref()
                .is_none_or(|uid| uid.is_empty() || uid == claim.uid())
    })
}

/// Whether the volume has what the claim asks for, whoever it belongs to.
fn fits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let (Some(volume_spec), Some(claim_spec)) = (&volume.spec, &claim.spec) else {
        return false;
    };
    let modes = |modes: &Option<Vec<String>>| modes.iter().flatten().cloned().collect::<BTreeSet<_>>();
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    mode(&volume_spec.volume_mode) == mode(&claim_spec.volume_mode)
        && class_of_volume(volume) == class_of_claim(claim)
        && modes(&claim_spec.access_modes).is_subset(&modes(&volume_spec.access_modes))
        && capacity(volume) >= requested(claim)
        && volume_spec
            .volume_attributes_class_name
            .as_deref()
            .unwrap_or_default()
            == claim_spec
                .volume_attributes_class_name
                .as_deref()
                .unwrap_or_default()
}

/// The best volume: one that was reserved for the claim, else the smallest free one that fits.
pub fn find(
    volumes: &[Arc<PersistentVolume>],
    claim: &PersistentVolumeClaim,
) -> Option<Arc<PersistentVolume>> {
    let usable = volumes.iter().filter(|volume| !volume.is_deleting());
    if let Some(reserved) = usable
        .clone()
        .find(|volume| is_reserved_for(volume, claim) && capacity(volume) >= requested(claim))
    {
        return Some(reserved.clone());
    }
    let selector = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref())
        .map(Selector::new);
    let selected = |volume: &PersistentVolume| match &selector {
        None => true,
        Some(Ok(selector)) => selector.matches(volume.metadata.labels.as_ref()),
        Some(Err(_)) => false,
    };
    let free = usable.filter(|volume| {
        let spec = volume.spec.as_ref();
        let phase = volume
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            .unwrap_or("Pending");
        spec.is_some_and(|spec| spec.claim_ref.is_none()) && ["Available", "Pending"].contains(&phase)
    });
    free.filter(|volume| fits(volume, claim) && selected(volume))
        .min_by(|a, b| capacity(a).cmp(&capacity(b)).then_with(|| a.name().cmp(b.name())))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn volume(name: &str, size: &str, class: &str, modes: &[&str]) -> Arc<PersistentVolume> {
        Arc::new(serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": size}, "storageClassName": class, "accessModes": modes}})).unwrap())
    }

    #[test]
    fn the_smallest_fitting_volume_is_found() {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {"name": "c", "namespace": "n", "uid": "u"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "a", "resources": {"requests": {"storage": "5Gi"}}}}))
        .unwrap();
        let volumes = [
            volume("large", "10Gi", "a", &["ReadWriteOnce"]),
            volume("right", "5Gi", "a", &["ReadWriteOnce", "ReadOnlyMany"]),
            volume("small", "4Gi", "a", &["ReadWriteOnce"]),
            volume("other-class", "5Gi", "b", &["ReadWriteOnce"]),
            volume("other-mode", "5Gi", "a", &["ReadOnlyMany"]),
        ];
        assert_eq!(find(&volumes, &claim).unwrap().name(), "right");
        let mut reserved = volumes[3].as_ref().clone();
        reserved.spec.as_mut().unwrap().claim_ref =
            serde_json::from_value(json!({"name": "c", "namespace": "n"})).unwrap();
        assert_eq!(
            find(&[volumes[1].clone(), Arc::new(reserved)], &claim)
                .unwrap()
                .name(),
            "other-class"
        );
        assert!(find(&volumes[2..], &claim).is_none());
    }

    #[test]
    fn the_newest_default_class_is_that_of_claims_without() {
        let class = |name: &str, made: &str, key: &str, value: &str| -> Arc<StorageClass> {
            let class = json!({"provisioner": "p", "metadata": {
                "name": name, "creationTimestamp": made, "annotations": {key: value}}});
            Arc::new(serde_json::from_value(class).unwrap())
        };
        let [usual, beta] = DEFAULT_ANNOTATIONS;
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let classes = [
            class("old", early, usual, "true"),
            class("b", late, usual, "true"),
            class("a", late, beta, "true"),
            class("0", late, usual, "false"),
        ];
        assert_eq!(default_class(&classes).unwrap().name(), "a");
        assert_eq!(default_class(&classes[..1]).unwrap().name(), "old");
        assert!(default_class(&classes[3..]).is_none());
    }

    #[test]
    fn a_class_may_be_named_to_want_none() {
        let claim =
            |value: serde_json::Value| -> PersistentVolumeClaim { serde_json::from_value(value).unwrap() };
        assert!(!has_class(&claim(json!({"spec": {}}))));
        assert!(has_class(&claim(json!({"spec": {"storageClassName": ""}}))));
        let annotated = json!({"metadata": {"annotations": {CLASS_ANNOTATION: ""}}});
        assert!(has_class(&claim(annotated)));
    }
}
