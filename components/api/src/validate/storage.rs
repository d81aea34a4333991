//! Validation of volumes, claims, storage classes, attachments and drivers.
mod attachment;
mod claim;
mod class;
mod csi;
mod volume;

pub use claim::difference as claim_difference;
pub(super) use claim::{claim_spec, claim_status};

use super::pod::driver_name;
use crate::features::Features;
use crate::value::text;
use apimachinery::field::ErrorList;
use serde_json::Value;

const MODES: &[&str] = &[
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];

/// What is told of a change while the feature is off.
const NO_CLASSES: &str = "update is forbidden when the VolumeAttributesClass feature gate is disabled";

/// Storage kinds, new or changed. `existing` is what is stored, also where a changed object is checked as if it were new; `None` for other kinds.
pub(super) fn check(
    kind: &str,
    old: Option<&Value>,
    existing: Option<&Value>,
    new: &Value,
    features: Features,
) -> Option<ErrorList> {
    Some(match kind {
        "PersistentVolumeClaim" => claim::check(old, new, features),
        "PersistentVolume" => volume::check(old, existing, new, features),
        "StorageClass" => class::storage_class(old, new),
        "VolumeAttributesClass" => class::attributes_class(old, new),
        "VolumeAttachment" => attachment::check(old, new),
        "CSIDriver" => csi::driver(old, new),
        "CSINode" => csi::node(old, new, features),
        "CSIStorageCapacity" => csi::capacity(old, new),
        _ => return None,
    })
}

/// The driver of a class: a qualified name, which upstream checks and shows in lower case.
fn provisioner(value: &Value, field: &str) -> ErrorList {
    let (name, path) = (text(value, &[field]), apimachinery::field::Path::new(field));
    if name.is_empty() {
        return vec![apimachinery::field::Error::required(&path, "")];
    }
    let lower = name.to_lowercase();
    super::shared::texts(&path, &lower, apimachinery::names::qualified_name(&lower))
}

#[cfg(test)]
mod tests;
