//! Volumes of pods: their names, and exactly one source each.
mod disks;
mod projected;
mod sources;

pub(in crate::validate) use disks::iscsi_of_volume;
pub(super) use projected::projects_tokens_elsewhere;
pub(in crate::validate) use sources::{driver_name, volume_source};

use super::{Part, devices::Volumes};
use crate::validate::shared::texts;
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// Kinds of sources in the order in which upstream looks for them.
const KINDS: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// Checks volumes; returns those that may be mounted.
pub(super) fn volumes<'a>(
    volumes: &'a [Value],
    part: Part<'_>,
    path: &Path,
    errors: &mut ErrorList,
) -> Volumes<'a> {
    let made: HashSet<String> = volumes
        .iter()
        .filter(|volume| !part.name.is_empty() && at(volume, &["ephemeral"]).is_object())
        .map(|volume| format!("{}-{}", part.name, text(volume, &["name"])))
        .collect();
    let mut good = Volumes::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let name = text(volume, &["name"]);
        let mut found = source(volume, part, &path);
        if name.is_empty() {
            found.push(Error::required(&path.child("name"), ""));
        } else {
            found.extend(texts(&path.child("name"), name, names::dns1123_label(name)));
        }
        if good.contains_key(name) {
            found.push(Error::duplicate(&path.child("name"), name));
        }
        // A volume that isn't right can't be mounted, and its name is nobody's.
        if found.is_empty() {
            good.insert(name, volume);
        }
        errors.extend(found);
        let claim = text(volume, &["persistentVolumeClaim", "claimName"]);
        if !made.is_empty() && made.contains(claim) {
            errors.push(Error::invalid(
                &path.child("persistentVolumeClaim.claimName"),
                claim,
                "must not reference a PVC that gets created for an ephemeral volume",
            ));
        }
    }
    good
}

fn source(volume: &Value, part: Part<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut any = false;
    let name = text(volume, &["name"]);
    for kind in KINDS {
        let value = at(volume, &[kind]);
        if value.is_null() {
            continue;
        }
        let own = path.child(kind);
        if any {
            // Two of upstream's paths are not those of the fields.
            let shown = match kind {
                "cephfs" => "cephFS",
                "downwardAPI" => "downwarAPI",
                other => other,
            };
            errors.push(Error::forbidden(
                &path.child(shown),
                "may not specify more than 1 volume type",
            ));
        } else {
            errors.extend(match kind {
                "ephemeral" => ephemeral(value, name, part, path),
                "image" => image(value, part, &own),
                "projected" => projected::check(value, part.allowed.any_token_path, &own),
                _ => volume_source(kind, value, &own),
            });
        }
        any = true;
        if kind == "iscsi" && disks::is_iscsi_name_too_long(value, name) {
            errors.push(Error::invalid(
                &path.child("name"),
                name,
                disks::ISCSI_NAME_TOO_LONG,
            ));
        }
    }
    if !any {
        errors.push(Error::required(path, "must specify a volume type"));
    }
    errors
}

/// A claim that is made for the pod, named after both.
fn ephemeral(value: &Value, name: &str, part: Part<'_>, path: &Path) -> ErrorList {
    let template = at(value, &["volumeClaimTemplate"]);
    let own = path.child("ephemeral.volumeClaimTemplate");
    let mut errors = ErrorList::new();
    if template.is_object() {
        errors.extend(crate::validate::metadata::template(
            template,
            &own.child("metadata"),
        ));
        errors.extend(crate::validate::storage::claim_spec(
            at(template, &["spec"]),
            &own.child("spec"),
        ));
    } else {
        errors.push(Error::required(&own, ""));
    }
    if !part.name.is_empty() && !name.is_empty() {
        let claim = format!("{}-{name}", part.name);
        for message in names::dns1123_subdomain(&claim) {
            errors.push(Error::invalid(
                &path.child("name"),
                name,
                format!("PVC name {claim:?}: {message}"),
            ));
        }
    }
    errors
}

fn image(value: &Value, part: Part<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if part.is_pod && text(value, &["reference"]).is_empty() {
        errors.push(Error::required(&path.child("reference"), ""));
    }
    errors.extend(sources::pull_policy(
        at(value, &["pullPolicy"]),
        &path.child("pullPolicy"),
    ));
    errors
}

/// A pod without an account has no tokens.
pub(super) fn tokens_of_nobody(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, volume) in list(spec, &["volumes"]).iter().enumerate() {
        for (place, source) in list(volume, &["projected", "sources"]).iter().enumerate() {
            if !at(source, &["serviceAccountToken"]).is_null() {
                let path = path.index(index).child("projected.sources").index(place);
                errors.push(Error::forbidden(
                    &path.child("serviceAccountToken"),
                    "must not be specified when serviceAccountName is not set",
                ));
            }
        }
    }
    errors
}

pub(super) fn mode(value: &Value, field: &str, path: &Path) -> Option<Error> {
    let number = at(value, &[field]).as_i64()?;
    (!(0..=0o777).contains(&number)).then(|| {
        Error::invalid(
            &path.child(field),
            number,
            "must be a number between 0 and 0777 (octal), both inclusive",
        )
    })
}

/// Files that get certain names.
fn keys(value: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, item) in list(value, &["items"]).iter().enumerate() {
        let path = path.child("items").index(index);
        if text(item, &["key"]).is_empty() {
            errors.push(Error::required(&path.child("key"), ""));
        }
        let file = text(item, &["path"]);
        if file.is_empty() {
            errors.push(Error::required(&path.child("path"), ""));
        }
        errors.extend(reserved_path(file, &path.child("path")));
        errors.extend(mode(item, "mode", &path));
    }
    errors
}

/// Whether a path leads up somewhere.
pub(super) fn backsteps(file: &str) -> bool {
    file.split('/').any(|part| part == "..")
}

/// A relative path that stays below where it begins.
pub(super) fn descending_path(file: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if file.starts_with('/') {
        errors.push(Error::invalid(path, file, "must be a relative path"));
    }
    if backsteps(file) {
        errors.push(Error::invalid(path, file, "must not contain '..'"));
    }
    errors
}

/// A relative path whose first part is not one of those that the kubelet uses itself.
pub(super) fn reserved_path(file: &str, path: &Path) -> ErrorList {
    let mut errors = descending_path(file, path);
    if file.starts_with("..") && !file.starts_with("../") {
        errors.push(Error::invalid(path, file, "must not start with '..'"));
    }
    errors
}

#[cfg(test)]
mod tests;
