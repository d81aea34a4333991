//! Profiles of the kernel's guards, and its settings, that the baseline leaves free.

use super::{Pod, Violation, bad_values, containers, items, name, plural, quoted, setters};
use serde_json::Value;
use std::collections::BTreeSet;

/// Each with the minor version since which it is safe.
const SAFE_SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];
/// Types of SELinux that a pod may have, likewise.
const SELINUX_TYPES: [(&str, u32); 5] = [
    ("", 0),
    ("container_t", 0),
    ("container_init_t", 0),
    ("container_kvm_t", 0),
    ("container_engine_t", 31),
];
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
/// Annotations that said which seccomp profile, before 1.19.
const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

fn is_listed(list: &[(&str, u32)], text: &str, minor: u32) -> bool {
    list.iter().any(|(name, since)| *name == text && *since <= minor)
}

/// The type of a profile that is set and is neither the runtime's nor the node's.
pub(super) fn bad_profile<'p>(context: &'p Value, field: &str) -> Option<&'p str> {
    let profile = &context[field];
    let kind = profile["type"].as_str().unwrap_or("");
    (profile.is_object() && !matches!(kind, "RuntimeDefault" | "Localhost")).then_some(kind)
}

pub(super) fn app_armor(pod: Pod<'_>) -> Option<Violation> {
    let (of_pod, names, kinds) = bad_values(pod, |context| bad_profile(context, "appArmorProfile"));
    let allowed =
        |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let annotations: BTreeSet<String> = pod
        .annotations
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(key, value)| key.starts_with(APP_ARMOR) && !allowed(value))
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    let by_annotation =
        (!annotations.is_empty()).then(|| plural("annotation", "annotations", annotations.len()).to_owned());
    let setters: Vec<String> = setters(of_pod, &names).into_iter().chain(by_annotation).collect();
    if setters.is_empty() {
        return None;
    }
    let values: Vec<&str> = kinds
        .into_iter()
        .chain(annotations.iter().map(String::as_str))
        .collect();
    let detail = format!(
        "{} must not set AppArmor profile type to {}",
        setters.join(" and "),
        quoted(values.iter().copied())
    );
    let reason = plural(
        "forbidden AppArmor profile",
        "forbidden AppArmor profiles",
        values.len(),
    );
    Violation::new(reason, detail)
}

pub(super) fn selinux(pod: Pod<'_>) -> Option<Violation> {
    let said = |context: &Value, field: &str| {
        let text = context["seLinuxOptions"][field].as_str();
        text.is_some_and(|text| !text.is_empty())
    };
    let kind = |context: &'_ Value| {
        let kind = context["seLinuxOptions"]["type"].as_str().unwrap_or("");
        !is_listed(&SELINUX_TYPES, kind, pod.minor)
    };
    let bad = |context: &Value| kind(context) || said(context, "user") || said(context, "role");
    let contexts = || {
        let of_containers = containers(pod.spec).map(|container| &container["securityContext"]);
        std::iter::once(&pod.spec["securityContext"]).chain(of_containers)
    };
    let names: Vec<&str> = containers(pod.spec)
        .filter(|container| bad(&container["securityContext"]))
        .map(name)
        .collect();
    let setters = setters(bad(pod.context()), &names)?;
    let kinds: BTreeSet<&str> = contexts()
        .filter(|context| kind(context))
        .filter_map(|context| context["seLinuxOptions"]["type"].as_str())
        .collect();
    let mut data = Vec::new();
    if !kinds.is_empty() {
        let noun = plural("type", "types", kinds.len());
        data.push(format!("{noun} {}", quoted(kinds)));
    }
    for field in ["user", "role"] {
        if contexts().any(|context| said(context, field)) {
            data.push(format!("{field} may not be set"));
        }
    }
    let detail = format!(
        "{setters} set forbidden securityContext.seLinuxOptions: {}",
        data.join("; ")
    );
    Violation::new("seLinuxOptions", detail)
}

pub(super) fn seccomp(pod: Pod<'_>) -> Option<Violation> {
    if pod.minor < 19 {
        return annotated_seccomp(pod);
    }
    set_seccomp(pod)
}

/// A profile that was chosen, and must not be.
pub(super) fn set_seccomp(pod: Pod<'_>) -> Option<Violation> {
    let (of_pod, names, kinds) = bad_values(pod, |context| bad_profile(context, "seccompProfile"));
    let detail = format!(
        "{} must not set securityContext.seccompProfile.type to {}",
        setters(of_pod, &names)?,
        quoted(kinds)
    );
    Violation::new("seccompProfile", detail)
}

fn annotated_seccomp(pod: Pod<'_>) -> Option<Violation> {
    let allowed = |value: &str| {
        matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/")
    };
    let of_containers =
        containers(pod.spec).map(|container| format!("{SECCOMP_OF_CONTAINER}{}", name(container)));
    let forbidden: BTreeSet<String> = std::iter::once(SECCOMP_OF_POD.to_owned())
        .chain(of_containers)
        .filter_map(|key| {
            let value = pod.annotations?.get(&key)?.as_str()?;
            (!allowed(value)).then(|| format!("{key}={value:?}"))
        })
        .collect();
    if forbidden.is_empty() {
        return None;
    }
    let noun = plural("annotation", "annotations", forbidden.len());
    let all: Vec<String> = forbidden.into_iter().collect();
    Violation::new("seccompProfile", format!("forbidden {noun} {}", all.join(", ")))
}

pub(super) fn sysctls(pod: Pod<'_>) -> Option<Violation> {
    let unsafe_ones: Vec<&str> = items(pod.context(), "sysctls")
        .iter()
        .map(name)
        .filter(|sysctl| !is_listed(&SAFE_SYSCTLS, sysctl, pod.minor))
        .collect();
    if unsafe_ones.is_empty() {
        return None;
    }
    Violation::new("forbidden sysctls", unsafe_ones.join(", "))
}
