//! Profiles of the kernel's guards, and its settings, that the baseline leaves free.

use super::{containers, failing, items, name, of_containers};
use serde_json::{Map, Value};

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

fn is_listed(list: &[(&str, u32)], text: &str, minor: u32) -> bool {
    list.iter().any(|(name, since)| *name == text && *since <= minor)
}

pub(super) fn baseline(
    spec: &Value,
    minor: u32,
    annotations: Option<&Map<String, Value>>,
    found: &mut Vec<String>,
) {
    let bad_apparmor = |context: &Value| context["appArmorProfile"]["type"] == "Unconfined";
    let annotated = annotations.into_iter().flatten().any(|(key, value)| {
        key.starts_with("container.apparmor.security.beta.kubernetes.io/")
            && !value.as_str().is_some_and(|text| {
                text.is_empty() || text == "runtime/default" || text.starts_with("localhost/")
            })
    });
    if annotated
        || bad_apparmor(&spec["securityContext"])
        || containers(spec).any(|container| bad_apparmor(&container["securityContext"]))
    {
        found.push(
            "forbidden AppArmor profile (must not set AppArmor profile type to \"Unconfined\")".to_owned(),
        );
    }
    let bad_selinux = |context: &Value| {
        let options = &context["seLinuxOptions"];
        let kind = options["type"].as_str().unwrap_or("");
        !is_listed(&SELINUX_TYPES, kind, minor)
            || ["user", "role"]
                .iter()
                .any(|field| !options[*field].as_str().unwrap_or("").is_empty())
    };
    if bad_selinux(&spec["securityContext"])
        || containers(spec).any(|container| bad_selinux(&container["securityContext"]))
    {
        found.push(
            "seLinuxOptions (pod or containers set forbidden securityContext.seLinuxOptions)".to_owned(),
        );
    }
    let names = failing(spec, |container| {
        !matches!(
            container["securityContext"]["procMount"].as_str(),
            None | Some("Default")
        )
    });
    if !names.is_empty() {
        found.push(of_containers(
            "procMount",
            &names,
            "must not set securityContext.procMount",
        ));
    }
    let unconfined = |context: &Value| minor >= 19 && context["seccompProfile"]["type"] == "Unconfined";
    if unconfined(&spec["securityContext"])
        || containers(spec).any(|container| unconfined(&container["securityContext"]))
    {
        found.push("seccompProfile (pod or containers must not set securityContext.seccompProfile.type to \"Unconfined\")".to_owned());
    }
    let sysctls: Vec<String> = items(&spec["securityContext"], "sysctls")
        .iter()
        .map(|sysctl| name(sysctl).to_owned())
        .filter(|sysctl| !is_listed(&SAFE_SYSCTLS, sysctl, minor))
        .collect();
    if !sysctls.is_empty() {
        found.push(format!("forbidden sysctls ({})", sysctls.join(", ")));
    }
}
