use crate::validate::shared::{maybe_one_of, one_of, within};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashSet;

const MAX_ID: i64 = i32::MAX as i64;

/// The security context of a pod.
pub(super) fn pod(spec: &Value, path: &Path) -> ErrorList {
    let context = at(spec, &["securityContext"]);
    let mut errors = ErrorList::new();
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        errors.extend(within(&path.child(field), at(context, &[field]), 0, MAX_ID));
    }
    for (index, group) in list(context, &["supplementalGroups"]).iter().enumerate() {
        errors.extend(within(
            &path.child("supplementalGroups").index(index),
            group,
            0,
            MAX_ID,
        ));
    }
    let mut seen = HashSet::new();
    for (index, sysctl) in list(context, &["sysctls"]).iter().enumerate() {
        let path = path.child("sysctls").index(index).child("name");
        let name = text(sysctl, &["name"]);
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if !sysctl_name(name) {
            errors.push(Error::invalid(&path, name, r"must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"));
        } else if !seen.insert(name) {
            errors.push(Error::duplicate(&path, name));
        }
    }
    errors.extend(maybe_one_of(
        &path.child("fsGroupChangePolicy"),
        at(context, &["fsGroupChangePolicy"]),
        &["Always", "OnRootMismatch"],
    ));
    errors.extend(seccomp(
        at(context, &["seccompProfile"]),
        &path.child("seccompProfile"),
    ));
    errors
}

fn sysctl_name(name: &str) -> bool {
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|byte| lower(*byte))
            && bytes.last().is_some_and(|byte| lower(*byte))
            && bytes
                .iter()
                .all(|byte| lower(*byte) || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(part)
}

fn seccomp(profile: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !profile.is_object() {
        return errors;
    }
    match text(profile, &["type"]) {
        "" => errors.push(Error::required(
            &path.child("type"),
            "type is required when seccompProfile is set",
        )),
        "Localhost" if text(profile, &["localhostProfile"]).is_empty() => errors.push(Error::required(
            &path.child("localhostProfile"),
            "must be set when seccomp type is Localhost",
        )),
        _ => errors.extend(one_of(
            &path.child("type"),
            at(profile, &["type"]),
            &["Localhost", "RuntimeDefault", "Unconfined"],
        )),
    }
    errors
}

/// The security context of a container.
pub(super) fn container(context: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !context.is_object() {
        return errors;
    }
    for field in ["runAsUser", "runAsGroup"] {
        errors.extend(within(&path.child(field), at(context, &[field]), 0, MAX_ID));
    }
    errors.extend(maybe_one_of(
        &path.child("procMount"),
        at(context, &["procMount"]),
        &["Default", "Unmasked"],
    ));
    errors.extend(seccomp(
        at(context, &["seccompProfile"]),
        &path.child("seccompProfile"),
    ));
    if at(context, &["allowPrivilegeEscalation"]) == &Value::Bool(false) {
        if at(context, &["privileged"]) == &Value::Bool(true) {
            errors.push(Error::invalid(
                path,
                context,
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            ));
        }
        if list(context, &["capabilities", "add"])
            .iter()
            .any(|capability| capability == "CAP_SYS_ADMIN")
        {
            errors.push(Error::invalid(
                path,
                context,
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            ));
        }
    }
    errors
}
