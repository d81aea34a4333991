//! What gives a container rights that it doesn't have by default.

use super::{Pod, Violation, containers, failing, named, quoted, texts};
use serde_json::Value;
use std::collections::BTreeSet;

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Who adds capabilities that aren't allowed, and which.
pub(super) fn added<'p>(pod: Pod<'p>, allowed: &[&str]) -> Option<String> {
    let forbidden = |container: &'p Value| {
        texts(&container["securityContext"]["capabilities"], "add")
            .filter(|capability| !allowed.contains(capability))
    };
    let names = failing(pod.spec, |container| {
        texts(&container["securityContext"]["capabilities"], "add").any(|added| !allowed.contains(&added))
    });
    if names.is_empty() {
        return None;
    }
    let all: BTreeSet<&str> = containers(pod.spec).flat_map(forbidden).collect();
    Some(format!(
        "{} must not include {} in securityContext.capabilities.add",
        named(&names),
        quoted(all)
    ))
}

pub(super) fn capabilities(pod: Pod<'_>) -> Option<Violation> {
    Violation::new("non-default capabilities", added(pod, &CAPABILITIES)?)
}

pub(super) fn privileged(pod: Pod<'_>) -> Option<Violation> {
    let names = failing(pod.spec, |container| {
        container["securityContext"]["privileged"] == true
    });
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.privileged=true", named(&names));
    Violation::new("privileged", detail)
}

pub(super) fn proc_mount(pod: Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() {
        return None;
    }
    any_proc_mount(pod)
}

pub(super) fn any_proc_mount(pod: Pod<'_>) -> Option<Violation> {
    let bad = |container: &Value| -> bool {
        let mount = container["securityContext"]["procMount"].as_str();
        mount.is_some_and(|mount| mount != "Default")
    };
    let names: Vec<&str> = failing(pod.spec, bad);
    if names.is_empty() {
        return None;
    }
    let kinds: BTreeSet<&str> = containers(pod.spec)
        .filter(|container| bad(container))
        .filter_map(|container| container["securityContext"]["procMount"].as_str())
        .collect();
    let detail = format!(
        "{} must not set securityContext.procMount to {}",
        named(&names),
        quoted(kinds)
    );
    Violation::new("procMount", detail)
}
