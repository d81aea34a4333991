use super::repeated;
use crate::validate::shared::{self, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// Checks volumes; returns the names of those that may be mounted.
pub(super) fn volumes(volumes: &[Value], path: &Path, errors: &mut ErrorList) -> HashSet<String> {
    let mut seen = HashSet::new();
    let mut good = HashSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let mut found = source(volume, &path);
        let name = text(volume, &["name"]);
        if name.is_empty() {
            found.push(Error::required(&path.child("name"), ""));
        } else {
            found.extend(texts(&path.child("name"), name, names::dns1123_label(name)));
        }
        if repeated(&mut seen, name) {
            found.push(Error::duplicate(&path.child("name"), name));
        }
        // A volume that isn't right can't be mounted.
        if found.is_empty() {
            good.insert(name.to_owned());
        }
        errors.extend(found);
    }
    good
}

fn source(volume: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let sources: Vec<&String> = volume
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key)
        .filter(|key| *key != "name")
        .collect();
    if sources.is_empty() {
        errors.push(Error::required(path, "must specify a volume type"));
    }
    for extra in sources.iter().skip(1) {
        errors.push(Error::forbidden(
            &path.child(extra),
            "may not specify more than 1 volume type",
        ));
    }
    if let Some(kind) = sources.first() {
        errors.extend(volume_source(kind, at(volume, &[kind]), &path.child(kind)));
    }
    errors
}

/// One kind of source, in a pod's volume or in a PersistentVolume.
pub(in crate::validate) fn volume_source(kind: &str, value: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let required = |field: &str| {
        text(value, &[field])
            .is_empty()
            .then(|| Error::required(&path.child(field), ""))
    };
    match kind {
        "hostPath" => {
            errors.extend(required("path"));
            if text(value, &["path"]).split('/').any(|part| part == "..") {
                errors.push(Error::invalid(
                    &path.child("path"),
                    text(value, &["path"]),
                    "must not contain '..'",
                ));
            }
            const TYPES: &[&str] = &[
                "",
                "DirectoryOrCreate",
                "Directory",
                "FileOrCreate",
                "File",
                "Socket",
                "CharDevice",
                "BlockDevice",
            ];
            errors.extend(shared::maybe_one_of(
                &path.child("type"),
                at(value, &["type"]),
                TYPES,
            ));
        }
        "secret" => {
            errors.extend(required("secretName"));
            errors.extend(mode(value, "defaultMode", path));
            errors.extend(keys(value, path));
        }
        "configMap" => {
            errors.extend(required("name"));
            errors.extend(mode(value, "defaultMode", path));
            errors.extend(keys(value, path));
        }
        "persistentVolumeClaim" => errors.extend(required("claimName")),
        "emptyDir" => errors.extend(
            shared::amount(&path.child("sizeLimit"), at(value, &["sizeLimit"])).map(|error| Error {
                detail: "SizeLimit field must be a valid resource quantity".into(),
                ..error
            }),
        ),
        "downwardAPI" => errors.extend(mode(value, "defaultMode", path)),
        "projected" => errors.extend(projected(value, path)),
        "nfs" => {
            errors.extend(required("server"));
            errors.extend(required("path"));
            let place = text(value, &["path"]);
            if !place.is_empty() && !place.starts_with('/') {
                errors.push(Error::invalid(
                    &path.child("path"),
                    place,
                    "must be an absolute path",
                ));
            }
        }
        "local" => {
            errors.extend(required("path"));
            if text(value, &["path"]).split('/').any(|part| part == "..") {
                errors.push(Error::invalid(
                    &path.child("path"),
                    text(value, &["path"]),
                    "must not contain '..'",
                ));
            }
        }
        "csi" => errors.extend(required("driver")),
        _ => {}
    }
    errors
}

fn mode(value: &Value, field: &str, path: &Path) -> Option<Error> {
    let number = at(value, &[field]).as_i64()?;
    (!(0..=0o777).contains(&number)).then(|| {
        Error::invalid(
            &path.child(field),
            number,
            "must be a number between 0 and 0777 (octal), both inclusive",
        )
    })
}

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
        errors.extend(local_path(file, &path.child("path")));
        errors.extend(mode(item, "mode", &path));
    }
    errors
}

/// A relative path that stays below its volume.
pub(super) fn local_path(file: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if file.starts_with('/') {
        errors.push(Error::invalid(path, file, "must be a relative path"));
    }
    if file.split('/').any(|part| part == "..") {
        errors.push(Error::invalid(path, file, "must not contain '..'"));
    }
    if file.starts_with("..") && !file.starts_with("../") && file != ".." {
        errors.push(Error::invalid(path, file, "must not start with '..'"));
    }
    errors
}

fn projected(value: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(mode(value, "defaultMode", path));
    for (index, source) in list(value, &["sources"]).iter().enumerate() {
        let path = path.child("sources").index(index);
        let kinds: Vec<(&String, &Value)> = source.as_object().into_iter().flatten().collect();
        if kinds.is_empty() {
            errors.push(Error::required(&path, "must specify a projection type"));
        }
        for (kind, value) in kinds {
            let path = path.child(kind);
            match kind.as_str() {
                "secret" | "configMap" => {
                    if text(value, &["name"]).is_empty() {
                        errors.push(Error::required(&path.child("name"), ""));
                    }
                    errors.extend(keys(value, &path));
                }
                "serviceAccountToken" => {
                    let seconds = at(value, &["expirationSeconds"]).as_i64().unwrap_or(3600);
                    if seconds < 600 {
                        errors.push(Error::invalid(
                            &path.child("expirationSeconds"),
                            seconds,
                            "may not specify a duration less than 10 minutes",
                        ));
                    }
                    if text(value, &["path"]).is_empty() {
                        errors.push(Error::required(&path.child("path"), ""));
                    }
                }
                _ => {}
            }
        }
    }
    errors
}
