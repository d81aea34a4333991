use super::pod::pull_policy;
use crate::value::{Object, absent, items_mut, make, map_mut, zero};
use serde_json::{Value, json};

/// 0644.
const FILE_MODE: i32 = 420;

/// Defaults of a volume; one without a source is an empty directory.
pub(super) fn volume(volume: &mut Object) {
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
    for name in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = map_mut(volume, name) {
            absent(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(down) = map_mut(volume, "downwardAPI") {
        field_versions(down);
    }
    if let Some(projected) = map_mut(volume, "projected") {
        for source in items_mut(projected, "sources") {
            if let Some(token) = map_mut(source, "serviceAccountToken") {
                absent(token, "expirationSeconds", 3600);
            }
            if let Some(down) = map_mut(source, "downwardAPI") {
                field_versions(down);
            }
            if let Some(certificate) = map_mut(source, "podCertificate") {
                absent(certificate, "maxExpirationSeconds", 86400);
            }
        }
    }
    if let Some(image) = map_mut(volume, "image") {
        let reference = image.get("reference").and_then(Value::as_str).unwrap_or("");
        let policy = pull_policy(reference);
        zero(image, "pullPolicy", policy);
    }
    if let Some(template) =
        map_mut(volume, "ephemeral").and_then(|source| map_mut(source, "volumeClaimTemplate"))
    {
        absent(make(template, "spec"), "volumeMode", "Filesystem");
    }
    source(volume);
}

fn field_versions(source: &mut Object) {
    for item in items_mut(source, "items") {
        if let Some(field) = map_mut(item, "fieldRef") {
            zero(field, "apiVersion", "v1");
        }
    }
}

/// Defaults of sources that pods and persistent volumes share.
pub(super) fn source(map: &mut Object) {
    if let Some(path) = map_mut(map, "hostPath") {
        absent(path, "type", "");
    }
    if let Some(iscsi) = map_mut(map, "iscsi") {
        zero(iscsi, "iscsiInterface", "default");
    }
    if let Some(disk) = map_mut(map, "azureDisk") {
        absent(disk, "cachingMode", "ReadWrite");
        absent(disk, "kind", "Shared");
        absent(disk, "fsType", "ext4");
        absent(disk, "readOnly", false);
    }
    if let Some(scale) = map_mut(map, "scaleIO") {
        zero(scale, "storageMode", "ThinProvisioned");
        zero(scale, "fsType", "xfs");
    }
    if let Some(rbd) = map_mut(map, "rbd") {
        zero(rbd, "pool", "rbd");
        zero(rbd, "user", "admin");
        zero(rbd, "keyring", "/etc/ceph/keyring");
    }
}
