//! Volumes, claims and classes of storage (pkg/api/persistentvolume, persistentvolumeclaim and storage, util.go).
use super::{containers, labels, plugins};
use crate::value::{at, list, text};
use apimachinery::meta;
use serde_json::Value;

const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn class_annotation(object: &Value) -> Option<String> {
    meta::annotation(object, CLASS).map(|_| {
        format!(r#"metadata.annotations[{CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead"#)
    })
}

/// A PersistentVolume.
pub(super) fn volume(volume: &Value) -> Vec<String> {
    let mut warnings: Vec<String> = class_annotation(volume).into_iter().collect();
    let spec = at(volume, &["spec"]);
    if text(spec, &["persistentVolumeReclaimPolicy"]) == "Recycle" {
        warnings.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."
                .into(),
        );
    }
    let terms = list(spec, &["nodeAffinity", "required", "nodeSelectorTerms"]);
    for (index, term) in terms.iter().enumerate() {
        let path = format!("spec.nodeAffinity.required.nodeSelectorTerms[{index}]");
        labels::term(term, false, &path, &mut warnings);
    }
    warnings.extend(plugins::of_volume(spec));
    warnings
}

/// A PersistentVolumeClaim.
pub(super) fn claim(claim: &Value) -> Vec<String> {
    let mut warnings = class_annotation(claim).into_iter().collect();
    claim_spec(at(claim, &["spec"]), || "spec".into(), &mut warnings);
    warnings
}

/// What a claim asks for.
pub(super) fn claim_spec(spec: &Value, path: impl Fn() -> String, warnings: &mut Vec<String>) {
    for amounts in ["requests", "limits"] {
        let holder = at(spec, &["resources", amounts]);
        let path = || format!("{}.resources.{amounts}", path());
        containers::fraction(holder, "storage", path, warnings);
    }
}

/// A StorageClass.
pub(super) fn class(class: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (index, topology) in list(class, &["allowedTopologies"]).iter().enumerate() {
        let expressions = list(topology, &["matchLabelExpressions"]).iter();
        for (key_index, expression) in expressions.enumerate() {
            if let Some(message) = labels::deprecated(text(expression, &["key"])) {
                warnings.push(format!(
                    "allowedTopologies[{index}].matchLabelExpressions[{key_index}].key: {message}"
                ));
            }
        }
    }
    warnings
}
