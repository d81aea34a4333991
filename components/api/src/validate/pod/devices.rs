//! Where volumes are in a container: mounts, and block devices.
use super::volumes::{backsteps, descending_path};
use crate::validate::shared;
use crate::value::{at, flag, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// The volumes that may be used, by their names.
pub(super) type Volumes<'a> = HashMap<&'a str, &'a Value>;

pub(super) fn mounts(volumes: &Volumes<'_>, container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    let devices = list(container, &["volumeDevices"]);
    for (index, mount) in list(container, &["volumeMounts"]).iter().enumerate() {
        let own = path.index(index);
        let (name, place) = (text(mount, &["name"]), text(mount, &["mountPath"]));
        let device =
            |field: &str, wanted: &str| devices.iter().any(|device| text(device, &[field]) == wanted);
        if name.is_empty() {
            errors.push(Error::required(&own.child("name"), ""));
        }
        if !volumes.contains_key(name) {
            errors.push(Error::not_found(&own.child("name"), name));
        }
        if place.is_empty() {
            errors.push(Error::required(&own.child("mountPath"), ""));
        }
        if !seen.insert(place) {
            errors.push(Error::invalid(&own.child("mountPath"), place, "must be unique"));
        }
        if device("name", name) {
            errors.push(Error::invalid(
                &own.child("name"),
                name,
                "must not already exist in volumeDevices",
            ));
        }
        if device("devicePath", place) {
            errors.push(Error::invalid(
                &own.child("mountPath"),
                place,
                "must not already exist as a path in volumeDevices",
            ));
        }
        // Upstream's paths of most of these have no index.
        let (sub, expression) = (text(mount, &["subPath"]), text(mount, &["subPathExpr"]));
        errors.extend(descending_path(sub, &path.child("subPath")));
        if !sub.is_empty() && !expression.is_empty() {
            errors.push(Error::invalid(
                &own.child("subPathExpr"),
                expression,
                "subPathExpr and subPath are mutually exclusive",
            ));
        }
        errors.extend(descending_path(expression, &path.child("subPathExpr")));
        errors.extend(propagation(container, mount, &path.child("mountPropagation")));
        errors.extend(recursive(mount, &path.child("recursiveReadOnly")));
    }
    errors
}

fn propagation(container: &Value, mount: &Value, path: &Path) -> ErrorList {
    let mode = at(mount, &["mountPropagation"]);
    if mode.is_null() {
        return ErrorList::new();
    }
    let known = &["Bidirectional", "HostToContainer", "None"];
    let mut errors: ErrorList = shared::one_of(path, mode, known).into_iter().collect();
    if mode == "Bidirectional" && !flag(container, &["securityContext", "privileged"]) {
        errors.push(Error::forbidden(
            path,
            "Bidirectional mount propagation is available only to privileged containers",
        ));
    }
    errors
}

fn recursive(mount: &Value, path: &Path) -> ErrorList {
    let mode = at(mount, &["recursiveReadOnly"]);
    let mut errors = ErrorList::new();
    match mode.as_str() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !flag(mount, &["readOnly"]) {
                errors.push(Error::forbidden(
                    path,
                    "may only be specified when readOnly is true",
                ));
            }
            if !matches!(at(mount, &["mountPropagation"]).as_str(), None | Some("None")) {
                errors.push(Error::forbidden(
                    path,
                    "may only be specified when mountPropagation is None or not specified",
                ));
            }
        }
        Some(other) => errors.push(Error::not_supported(
            path,
            other,
            &["Disabled", "Enabled", "IfPossible"],
        )),
    }
    errors
}

/// Block devices are of claims only.
pub(super) fn devices(volumes: &Volumes<'_>, container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (mut names, mut places) = (HashSet::new(), HashSet::new());
    let mounts = list(container, &["volumeMounts"]);
    let mounted = |field: &str, wanted: &str| mounts.iter().any(|mount| text(mount, &[field]) == wanted);
    for (index, device) in list(container, &["volumeDevices"]).iter().enumerate() {
        let (own, place_path) = (
            path.index(index).child("name"),
            path.index(index).child("devicePath"),
        );
        let (name, place) = (text(device, &["name"]), text(device, &["devicePath"]));
        if name.is_empty() {
            errors.push(Error::required(&own, ""));
        } else if !names.insert(name) {
            errors.push(Error::invalid(&own, name, "must be unique"));
        }
        match volumes.get(name) {
            None => errors.push(Error::not_found(&own, name)),
            Some(volume)
                if at(volume, &["persistentVolumeClaim"]).is_null()
                    && at(volume, &["ephemeral"]).is_null() =>
            {
                errors.push(Error::invalid(
                    &own,
                    name,
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                ));
            }
            Some(_) => {}
        }
        if place.is_empty() {
            errors.push(Error::required(&place_path, ""));
        }
        if places.contains(place) {
            errors.push(Error::invalid(&place_path, place, "must be unique"));
        }
        if backsteps(place) {
            errors.push(Error::invalid(
                &place_path,
                place,
                "can not contain backsteps ('..')",
            ));
        } else {
            places.insert(place);
        }
        if mounted("name", name) {
            errors.push(Error::invalid(
                &own,
                name,
                "must not already exist in volumeMounts",
            ));
        }
        if mounted("mountPath", place) {
            errors.push(Error::invalid(
                &place_path,
                place,
                "must not already exist as a path in volumeMounts",
            ));
        }
    }
    errors
}
