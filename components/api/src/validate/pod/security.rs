use super::annotations::containers;
use super::{Allowed, volumes, windows};
use crate::validate::internal;
use crate::validate::shared::{maybe_one_of, one_of, within};
use crate::value::{at, flag, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

const MAX_ID: i64 = i32::MAX as i64;

/// Whether the whole server lets containers be privileged: `--allow-privileged`.
static ALLOW_PRIVILEGED: AtomicBool = AtomicBool::new(true);

/// Says whether containers may be privileged, once for the process.
pub fn allow_privileged(allowed: bool) {
    ALLOW_PRIVILEGED.store(allowed, Ordering::Relaxed);
}

pub(super) fn privileged_is_allowed() -> bool {
    ALLOW_PRIVILEGED.load(Ordering::Relaxed)
}

/// The security context of a pod.
pub(super) fn pod(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
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
    let shares = at(spec, &["shareProcessNamespace"]);
    if shares == &Value::Bool(true) && flag(spec, &["hostPID"]) {
        errors.push(Error::invalid(
            &path.child("shareProcessNamespace"),
            shares,
            "ShareProcessNamespace and HostPID cannot both be enabled",
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
        let shared = shared_with_host(spec, name).filter(|_| !allowed.host_sysctls);
        errors.extend(shared.map(|field| {
            Error::invalid(
                &path,
                name,
                format!("may not be specified when '{field}' is true"),
            )
        }));
    }
    errors.extend(maybe_one_of(
        &path.child("fsGroupChangePolicy"),
        at(context, &["fsGroupChangePolicy"]),
        &["Always", "OnRootMismatch"],
    ));
    errors.extend(profiles(context, path));
    errors.extend(maybe_one_of(
        &path.child("supplementalGroupsPolicy"),
        at(context, &["supplementalGroupsPolicy"]),
        &["Merge", "Strict"],
    ));
    errors.extend(maybe_one_of(
        &path.child("seLinuxChangePolicy"),
        at(context, &["seLinuxChangePolicy"]),
        if allowed.label_by_mount {
            &["MountOption", "Recursive"]
        } else {
            &["Recursive"]
        },
    ));
    errors
}

/// How processes are confined, in a pod's context or a container's.
fn profiles(context: &Value, path: &Path) -> ErrorList {
    let mut errors = seccomp(at(context, &["seccompProfile"]), &path.child("seccompProfile"));
    errors.extend(windows::options(
        at(context, &["windowsOptions"]),
        &path.child("windowsOptions"),
    ));
    errors.extend(app_armor(
        at(context, &["appArmorProfile"]),
        &path.child("appArmorProfile"),
    ));
    errors
}

/// The field by which a pod shares with the host what this setting is of.
fn shared_with_host(spec: &Value, sysctl: &str) -> Option<&'static str> {
    let dotted = sysctl.replace('/', ".");
    let of_ipc = dotted == "kernel.sem"
        || ["kernel.shm", "kernel.msg", "fs.mqueue."]
            .iter()
            .any(|prefix| dotted.starts_with(prefix));
    if dotted.starts_with("net.") && flag(spec, &["hostNetwork"]) {
        Some("hostNetwork")
    } else {
        (of_ipc && flag(spec, &["hostIPC"])).then_some("hostIPC")
    }
}

/// Whether sysctls are set of what is shared with the host, which older servers took.
pub(super) fn sets_host_sysctls(spec: &Value) -> bool {
    list(spec, &["securityContext", "sysctls"])
        .iter()
        .any(|sysctl| shared_with_host(spec, text(sysctl, &["name"])).is_some())
}

/// A pod with users of its own shares none of these with the host, and has no block devices, which can't be mapped.
pub(super) fn user_namespace(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    if at(spec, &["hostUsers"]) != &Value::Bool(false) {
        return ErrorList::new();
    }
    const WHY: &str = "when `hostUsers` is false";
    let shared = [
        ("hostNetwork", "hostNetwork"),
        ("hostPID", "HostPID"),
        ("hostIPC", "HostIPC"),
    ]
    .into_iter()
    .filter(|(field, _)| flag(spec, &[field]))
    .filter(|(field, _)| *field != "hostNetwork" || !allowed.host_network_with_own_users)
    .map(|(_, shown)| Error::forbidden(&path.child(shown), WHY));
    let devices = containers(spec)
        .filter(|_| !allowed.devices_with_own_users)
        .filter(|(_, _, container)| !list(container, &["volumeDevices"]).is_empty())
        .map(|(kind, index, _)| {
            let path = path.child(kind).index(index);
            Error::forbidden(&path.child("volumeDevices"), WHY)
        });
    shared.chain(devices).collect()
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
    let (kind, file) = (
        text(profile, &["type"]),
        at(profile, &["localhostProfile"]).as_str(),
    );
    if kind.is_empty() {
        errors.push(Error::required(
            &path.child("type"),
            "type is required when seccompProfile is set",
        ));
    } else {
        errors.extend(one_of(&path.child("type"), at(profile, &["type"]), PROFILES));
    }
    let path = path.child("localhostProfile");
    match file {
        None if kind == "Localhost" => errors.push(Error::required(
            &path,
            "must be set when seccomp type is Localhost",
        )),
        Some(file) if kind == "Localhost" => errors.extend(volumes::descending_path(file, &path)),
        Some(_) => errors.push(Error::invalid(
            &path,
            internal::shown(internal::PROFILE, profile),
            "can only be set when seccomp type is Localhost",
        )),
        None => {}
    }
    errors
}

const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

/// The longest path that the kernel takes.
const MAX_PROFILE: usize = 4095;

/// An AppArmor profile of a pod or a container.
pub(crate) fn app_armor(profile: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !profile.is_object() {
        return errors;
    }
    let file = at(profile, &["localhostProfile"]).as_str();
    let own = path.child("localhostProfile");
    match text(profile, &["type"]) {
        "Localhost" => match file {
            Some(file) if !file.is_empty() => {
                if file.trim() != file {
                    errors.push(Error::invalid(&own, file, "must not be padded with whitespace"));
                }
                if file.len() > MAX_PROFILE {
                    errors.push(Error::too_long(&own, MAX_PROFILE));
                }
            }
            _ => errors.push(Error::required(
                &own,
                "must be set when AppArmor type is Localhost",
            )),
        },
        "RuntimeDefault" | "Unconfined" => errors.extend(
            file.map(|file| Error::invalid(&own, file, "can only be set when AppArmor type is Localhost")),
        ),
        "" => errors.push(Error::required(
            &path.child("type"),
            "type is required when appArmorProfile is set",
        )),
        other => errors.push(Error::not_supported(&path.child("type"), other, PROFILES)),
    }
    errors
}

/// The security context of a container.
pub(super) fn container(spec: &Value, context: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !context.is_object() {
        return errors;
    }
    if flag(context, &["privileged"]) && !privileged_is_allowed() {
        errors.push(Error::forbidden(
            &path.child("privileged"),
            "disallowed by cluster policy",
        ));
    }
    for field in ["runAsUser", "runAsGroup"] {
        errors.extend(within(&path.child(field), at(context, &[field]), 0, MAX_ID));
    }
    errors.extend(maybe_one_of(
        &path.child("procMount"),
        at(context, &["procMount"]),
        &["Default", "Unmasked"],
    ));
    if at(context, &["procMount"]) == "Unmasked" && at(spec, &["hostUsers"]) != &Value::Bool(false) {
        errors.push(Error::invalid(
            &path.child("procMount"),
            "Unmasked",
            "`hostUsers` must be false to use `Unmasked`",
        ));
    }
    errors.extend(seccomp(
        at(context, &["seccompProfile"]),
        &path.child("seccompProfile"),
    ));
    if at(context, &["allowPrivilegeEscalation"]) == &Value::Bool(false) {
        let refused = |other: &str| {
            let detail = format!("cannot set `allowPrivilegeEscalation` to false and {other}");
            Error::invalid(
                path,
                internal::shown(internal::CONTAINER_SECURITY, context),
                detail,
            )
        };
        if flag(context, &["privileged"]) {
            errors.push(refused("`privileged` to true"));
        }
        for capability in list(context, &["capabilities", "add"]) {
            if capability == "CAP_SYS_ADMIN" {
                errors.push(refused("`capabilities.Add` CAP_SYS_ADMIN"));
            }
        }
    }
    errors.extend(windows::options(
        at(context, &["windowsOptions"]),
        &path.child("windowsOptions"),
    ));
    errors.extend(app_armor(
        at(context, &["appArmorProfile"]),
        &path.child("appArmorProfile"),
    ));
    errors
}
