//! What only pods of one operating system can have.
use super::annotations::containers;
use crate::value::{at, flag, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// Fields of a pod and its context that Windows doesn't have, each with whether `false` and none count as unset.
const NOT_ON_WINDOWS: &[(&str, bool)] = &[
    ("securityContext.appArmorProfile", false),
    ("securityContext.seLinuxOptions", false),
    ("hostUsers", false),
    ("hostPID", true),
    ("hostIPC", true),
    ("securityContext.seccompProfile", false),
    ("securityContext.fsGroup", false),
    ("securityContext.fsGroupChangePolicy", false),
    ("securityContext.sysctls", true),
    ("shareProcessNamespace", false),
    ("securityContext.runAsUser", false),
    ("securityContext.runAsGroup", false),
    ("securityContext.supplementalGroups", false),
    ("securityContext.supplementalGroupsPolicy", false),
    ("securityContext.seLinuxChangePolicy", false),
];

/// Fields of a container's context that Windows doesn't have.
const NOT_IN_WINDOWS_CONTAINERS: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

pub(super) fn check(spec: &Value, path: &Path) -> ErrorList {
    if !at(spec, &["os"]).is_object() {
        return ErrorList::new();
    }
    match text(spec, &["os", "name"]) {
        "" => vec![Error::required(&path.child("os.name"), "cannot be empty")],
        "linux" => linux(spec, path),
        "windows" => windows(spec, path),
        other => vec![Error::not_supported(
            &path.child("os"),
            other,
            &["linux", "windows"],
        )],
    }
}

fn linux(spec: &Value, path: &Path) -> ErrorList {
    const FIELD: &[&str] = &["securityContext", "windowsOptions"];
    const WHY: &str = "windows options cannot be set for a linux pod";
    let own = (!at(spec, FIELD).is_null())
        .then(|| Error::forbidden(&path.child("securityContext.windowsOptions"), WHY));
    let of_containers = containers(spec)
        .filter(|(_, _, container)| !at(container, FIELD).is_null())
        .map(|(kind, index, _)| {
            let path = path.child(kind).index(index);
            Error::forbidden(&path.child("securityContext.windowsOptions"), WHY)
        });
    own.into_iter().chain(of_containers).collect()
}

fn windows(spec: &Value, path: &Path) -> ErrorList {
    const WHY: &str = "cannot be set for a windows pod";
    let mut errors = ErrorList::new();
    for (field, plain) in NOT_ON_WINDOWS {
        let parts: Vec<&str> = field.split('.').collect();
        let value = at(spec, &parts);
        let unset = value.is_null()
            || (*plain && (!flag(spec, &parts) && value.as_array().is_none_or(|items| items.is_empty())));
        if !unset {
            errors.push(Error::forbidden(&path.child(field), WHY));
        }
    }
    for (kind, index, container) in containers(spec) {
        let context = at(container, &["securityContext"]);
        for field in NOT_IN_WINDOWS_CONTAINERS
            .iter()
            .filter(|field| !at(context, &[field]).is_null())
        {
            let path = path.child(kind).index(index).child("securityContext");
            errors.push(Error::forbidden(&path.child(field), WHY));
        }
    }
    errors
}
