//! What a pod of the restricted level must say, and must not have.

use super::{
    Pod, Violation, baseline, failing, items, name, named, plural, profiles, quoted, setters, texts,
};
use serde_json::Value;
use std::collections::BTreeSet;

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// Kinds of volumes that are told by their name; newer ones are unknown.
const RESTRICTED_VOLUMES: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub(super) fn privilege_escalation(pod: Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    let names = failing(pod.spec, |container| {
        container["securityContext"]["allowPrivilegeEscalation"] != false
    });
    if names.is_empty() {
        return None;
    }
    let detail = format!(
        "{} must set securityContext.allowPrivilegeEscalation=false",
        named(&names)
    );
    Violation::new("allowPrivilegeEscalation != false", detail)
}

pub(super) fn capabilities(pod: Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    let keeping = failing(pod.spec, |container| {
        !texts(&container["securityContext"]["capabilities"], "drop").any(|dropped| dropped == "ALL")
    });
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!(
            "{} must set securityContext.capabilities.drop=[\"ALL\"]",
            named(&keeping)
        ));
    }
    details.extend(baseline::added(pod, &["NET_BIND_SERVICE"]));
    if details.is_empty() {
        return None;
    }
    Violation::new("unrestricted capabilities", details.join("; "))
}

pub(super) fn volumes(pod: Pod<'_>) -> Option<Violation> {
    let has = |volume: &Value, kinds: &[&str]| kinds.iter().any(|kind| volume[*kind].is_object());
    let bad: Vec<&Value> = items(pod.spec, "volumes")
        .iter()
        .filter(|volume| !has(volume, &VOLUMES))
        .collect();
    if bad.is_empty() {
        return None;
    }
    let kind = |volume: &&Value| -> &'static str {
        RESTRICTED_VOLUMES
            .into_iter()
            .find(|kind| volume[*kind].is_object())
            .unwrap_or("unknown")
    };
    let kinds: BTreeSet<&str> = bad.iter().map(kind).collect();
    let detail = format!(
        "{} {} {} {} {}",
        plural("volume", "volumes", bad.len()),
        quoted(bad.iter().map(|volume| name(volume))),
        plural("uses", "use", bad.len()),
        plural("restricted volume type", "restricted volume types", kinds.len()),
        quoted(kinds)
    );
    Violation::new("restricted volume types", detail)
}

pub(super) fn non_root(pod: Pod<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    if pod.has_own_users() {
        return None;
    }
    let said = |context: &Value| context["runAsNonRoot"].as_bool();
    let of_pod = said(pod.context());
    let explicit = failing(pod.spec, |container| {
        said(&container["securityContext"]) == Some(false)
    });
    if let Some(setters) = setters(of_pod == Some(false), &explicit) {
        return Violation::new(
            REASON,
            format!("{setters} must not set securityContext.runAsNonRoot=false"),
        );
    }
    let implicit = failing(pod.spec, |container| {
        of_pod != Some(true) && said(&container["securityContext"]).is_none()
    });
    if implicit.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.runAsNonRoot=true",
        named(&implicit)
    );
    Violation::new(REASON, detail)
}

pub(super) fn user(pod: Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() {
        return None;
    }
    let root = |context: &Value| context["runAsUser"] == 0;
    let names = failing(pod.spec, |container| root(&container["securityContext"]));
    let setters = setters(root(pod.context()), &names)?;
    Violation::new("runAsUser=0", format!("{setters} must not set runAsUser=0"))
}

pub(super) fn seccomp(pod: Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    let set = profiles::set_seccomp(pod);
    if set.is_some() || pod.context()["seccompProfile"].is_object() {
        return set;
    }
    let names = failing(pod.spec, |container| {
        !container["securityContext"]["seccompProfile"].is_object()
    });
    if names.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        named(&names)
    );
    Violation::new("seccompProfile", detail)
}
