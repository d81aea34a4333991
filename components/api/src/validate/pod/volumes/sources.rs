//! Sources of volumes by kind, in pods and in PersistentVolumes.
use super::disks::{azure_disk, fibre_channel, flocker, iscsi, quobyte, reserved_options};
use super::{backsteps, descending_path, keys, mode};
use crate::validate::pod::environment;
use crate::validate::shared::{self, maybe_one_of, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

/// Texts that must be given, by kind of source.
const REQUIRED: &[(&str, &[&str])] = &[
    ("gitRepo", &["repository"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("secret", &["secretName"]),
    ("configMap", &["name"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("nfs", &["server", "path"]),
    ("glusterfs", &["endpoints", "path"]),
    ("rbd", &["image"]),
    ("cinder", &["volumeID"]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
];

/// One kind of source.
pub(in crate::validate) fn volume_source(kind: &str, value: &Value, path: &Path) -> ErrorList {
    // Upstream's name of this field in its paths.
    let named;
    let path = if kind == "gcePersistentDisk" {
        named = Path::new(
            path.as_str()
                .strip_suffix(kind)
                .map(|parent| format!("{parent}persistentDisk"))
                .unwrap_or_default()
                .as_str(),
        );
        &named
    } else {
        path
    };
    let mut errors = ErrorList::new();
    if matches!(kind, "rbd" | "cephfs") && list(value, &["monitors"]).is_empty() {
        errors.push(Error::required(&path.child("monitors"), ""));
    }
    let required = REQUIRED.iter().find(|(name, _)| *name == kind);
    for field in required.map_or(&[][..], |(_, fields)| fields) {
        if text(value, &[field]).is_empty() {
            errors.push(Error::required(&path.child(field), ""));
        }
    }
    match kind {
        "hostPath" => errors.extend(host_path(value, path)),
        "local" => errors.extend(plain_path(value, path)),
        "gitRepo" => errors.extend(descending_path(
            text(value, &["directory"]),
            &path.child("directory"),
        )),
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            let partition = int(value, &["partition"]).unwrap_or(0);
            if !(0..=255).contains(&partition) {
                errors.push(Error::invalid(
                    &path.child("partition"),
                    partition,
                    "must be between 1 and 255, inclusive",
                ));
            }
        }
        "secret" | "configMap" => {
            errors.extend(mode(value, "defaultMode", path));
            errors.extend(keys(value, path));
        }
        "emptyDir" => {
            let size = apimachinery::Quantity::from_json(at(value, &["sizeLimit"]));
            if size.is_ok_and(|size| size.sign() < 0) {
                errors.push(Error::forbidden(
                    &path.child("sizeLimit"),
                    "SizeLimit field must be a valid resource quantity",
                ));
            }
        }
        "downwardAPI" => {
            errors.extend(mode(value, "defaultMode", path));
            let files = list(value, &["items"]).iter();
            errors.extend(files.flat_map(|file| environment::file(file, path)));
        }
        "nfs" if !text(value, &["path"]).starts_with('/') => errors.push(Error::invalid(
            &path.child("path"),
            text(value, &["path"]),
            "must be an absolute path",
        )),
        "iscsi" => errors.extend(iscsi(value, path)),
        "fc" => errors.extend(fibre_channel(value, path)),
        "quobyte" => errors.extend(quobyte(value, path)),
        "flocker" => errors.extend(flocker(value, path)),
        "flexVolume" => errors.extend(reserved_options(value, &path.child("options"))),
        "cinder" => errors.extend(secret_name(value, &path.child("secretRef"))),
        "azureDisk" => errors.extend(azure_disk(value, path)),
        "storageos" => {
            match text(value, &["volumeName"]) {
                "" => errors.push(Error::required(&path.child("volumeName"), "")),
                name => errors.extend(texts(&path.child("volumeName"), name, names::dns1123_label(name))),
            }
            let namespace = text(value, &["volumeNamespace"]);
            if !namespace.is_empty() {
                errors.extend(texts(
                    &path.child("volumeNamespace"),
                    namespace,
                    names::dns1123_label(namespace),
                ));
            }
            errors.extend(secret_name(value, &path.child("secretRef")));
        }
        "csi" => {
            errors.extend(driver_name(text(value, &["driver"]), &path.child("driver")));
            if at(value, &["nodePublishSecretRef"]).is_object() {
                match text(value, &["nodePublishSecretRef", "name"]) {
                    "" => errors.push(Error::required(&path.child("nodePublishSecretRef.name"), "")),
                    name => errors.extend(texts(&path.child("name"), name, names::dns1123_subdomain(name))),
                }
            }
        }
        _ => {}
    }
    errors
}

/// The name of a CSI driver: a domain of at most 63 bytes, whatever the case of its letters.
pub(in crate::validate) fn driver_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    if name.len() > 63 {
        errors.push(Error::too_long(path, 63));
    }
    errors.extend(texts(path, name, names::dns1123_subdomain(&name.to_lowercase())));
    errors
}

pub(super) fn pull_policy(policy: &Value, path: &Path) -> Option<Error> {
    match policy.as_str().unwrap_or("") {
        "" => Some(Error::required(path, "")),
        _ => shared::one_of(path, policy, &["Always", "IfNotPresent", "Never"]),
    }
}

fn plain_path(value: &Value, path: &Path) -> Option<Error> {
    let path = path.child("path");
    match text(value, &["path"]) {
        "" => Some(Error::required(&path, "")),
        place if backsteps(place) => Some(Error::invalid(&path, place, "must not contain '..'")),
        _ => None,
    }
}

fn host_path(value: &Value, path: &Path) -> ErrorList {
    const TYPES: &[&str] = &[
        "",
        "BlockDevice",
        "CharDevice",
        "Directory",
        "DirectoryOrCreate",
        "File",
        "FileOrCreate",
        "Socket",
    ];
    let mut errors: ErrorList = plain_path(value, path).into_iter().collect();
    if !text(value, &["path"]).is_empty() {
        errors.extend(maybe_one_of(&path.child("type"), at(value, &["type"]), TYPES));
    }
    errors
}

fn secret_name(value: &Value, path: &Path) -> Option<Error> {
    let given = at(value, &["secretRef"]).is_object();
    (given && text(value, &["secretRef", "name"]).is_empty())
        .then(|| Error::required(&path.child("name"), ""))
}
