//! The checks of the Pod Security Standards, pure.

use serde_json::{Map, Value};

/// A standard; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    /// The level of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Privileged, Self::Baseline, Self::Restricted]
            .into_iter()
            .find(|level| level.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

const BASELINE_CAPABILITIES: [&str; 13] = [
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
const SAFE_SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];
const RESTRICTED_VOLUMES: [&str; 9] = [
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

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| items(spec, list))
}

fn name(container: &Value) -> &str {
    container["name"].as_str().unwrap_or("")
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("{name:?}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The text for containers that break a rule.
fn of_containers(rule: &str, names: &[String], detail: &str) -> String {
    let noun = if names.len() == 1 {
        "container"
    } else {
        "containers"
    };
    format!("{rule} ({noun} {} {detail})", quoted(names))
}

fn failing(spec: &Value, fails: impl Fn(&Value) -> bool) -> Vec<String> {
    containers(spec)
        .filter(|container| fails(container))
        .map(|container| name(container).to_owned())
        .collect()
}

/// Everything in a pod that the level forbids.
pub fn violations(level: Level, spec: &Value, annotations: Option<&Map<String, Value>>) -> Vec<String> {
    let mut found = Vec::new();
    if level >= Level::Baseline {
        baseline(spec, annotations, &mut found);
    }
    if level >= Level::Restricted {
        restricted(spec, &mut found);
    }
    found
}

fn baseline(spec: &Value, annotations: Option<&Map<String, Value>>, found: &mut Vec<String>) {
    let host: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| spec[*field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    if !host.is_empty() {
        found.push(format!("host namespaces ({})", host.join(", ")));
    }
    let host_process = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let names = failing(spec, |container| host_process(&container["securityContext"]));
    if !names.is_empty() || host_process(&spec["securityContext"]) {
        found.push(
            "hostProcess (pod or containers must not set securityContext.windowsOptions.hostProcess=true)"
                .to_owned(),
        );
    }
    let names = failing(spec, |container| {
        container["securityContext"]["privileged"] == true
    });
    if !names.is_empty() {
        found.push(of_containers(
            "privileged",
            &names,
            "must not set securityContext.privileged=true",
        ));
    }
    let added = |container: &Value| -> Vec<String> {
        items(&container["securityContext"]["capabilities"], "add")
            .iter()
            .filter_map(Value::as_str)
            .filter(|capability| !BASELINE_CAPABILITIES.contains(capability))
            .map(str::to_owned)
            .collect()
    };
    let names = failing(spec, |container| !added(container).is_empty());
    if !names.is_empty() {
        let mut all: Vec<String> = containers(spec).flat_map(added).collect();
        all.sort();
        all.dedup();
        found.push(of_containers(
            "non-default capabilities",
            &names,
            &format!(
                "must not include {} in securityContext.capabilities.add",
                quoted(&all)
            ),
        ));
    }
    let volumes: Vec<String> = items(spec, "volumes")
        .iter()
        .filter(|volume| volume.get("hostPath").is_some())
        .map(|volume| name(volume).to_owned())
        .collect();
    if !volumes.is_empty() {
        let noun = if volumes.len() == 1 { "volume" } else { "volumes" };
        found.push(format!("hostPath volumes ({noun} {})", quoted(&volumes)));
    }
    let names = failing(spec, |container| {
        items(container, "ports")
            .iter()
            .any(|port| port["hostPort"].as_u64().is_some_and(|port| port > 0))
    });
    if !names.is_empty() {
        let mut ports: Vec<String> = containers(spec)
            .flat_map(|container| items(container, "ports"))
            .filter_map(|port| port["hostPort"].as_u64())
            .filter(|port| *port > 0)
            .map(|port| port.to_string())
            .collect();
        ports.sort();
        ports.dedup();
        let noun = if ports.len() == 1 { "hostPort" } else { "hostPorts" };
        found.push(of_containers(
            "hostPort",
            &names,
            &format!("uses {noun} {}", ports.join(", ")),
        ));
    }
    baseline_profiles(spec, annotations, found);
}

fn baseline_profiles(spec: &Value, annotations: Option<&Map<String, Value>>, found: &mut Vec<String>) {
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
        !matches!(
            kind,
            "" | "container_t" | "container_init_t" | "container_kvm_t" | "container_engine_t"
        ) || ["user", "role"]
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
    let unconfined = |context: &Value| context["seccompProfile"]["type"] == "Unconfined";
    if unconfined(&spec["securityContext"])
        || containers(spec).any(|container| unconfined(&container["securityContext"]))
    {
        found.push("seccompProfile (pod or containers must not set securityContext.seccompProfile.type to \"Unconfined\")".to_owned());
    }
    let sysctls: Vec<String> = items(&spec["securityContext"], "sysctls")
        .iter()
        .map(|sysctl| name(sysctl).to_owned())
        .filter(|sysctl| !SAFE_SYSCTLS.contains(&sysctl.as_str()))
        .collect();
    if !sysctls.is_empty() {
        found.push(format!("forbidden sysctls ({})", sysctls.join(", ")));
    }
}

fn restricted(spec: &Value, found: &mut Vec<String>) {
    let windows = spec["os"]["name"] == "windows";
    let volumes: Vec<String> = items(spec, "volumes")
        .iter()
        .filter(|volume| !RESTRICTED_VOLUMES.iter().any(|kind| volume.get(*kind).is_some()))
        .map(|volume| name(volume).to_owned())
        .collect();
    if !volumes.is_empty() {
        let noun = if volumes.len() == 1 { "volume" } else { "volumes" };
        found.push(format!(
            "restricted volume types ({noun} {} uses restricted volume types)",
            quoted(&volumes)
        ));
    }
    if !windows {
        let names = failing(spec, |container| {
            container["securityContext"]["allowPrivilegeEscalation"] != false
        });
        if !names.is_empty() {
            found.push(of_containers(
                "allowPrivilegeEscalation != false",
                &names,
                "must set securityContext.allowPrivilegeEscalation=false",
            ));
        }
        let keeps = |container: &Value| {
            !items(&container["securityContext"]["capabilities"], "drop")
                .iter()
                .any(|capability| capability == "ALL")
        };
        let names = failing(spec, keeps);
        if !names.is_empty() {
            found.push(of_containers(
                "unrestricted capabilities",
                &names,
                "must set securityContext.capabilities.drop=[\"ALL\"]",
            ));
        }
        let adds = |container: &Value| {
            items(&container["securityContext"]["capabilities"], "add")
                .iter()
                .any(|capability| capability != "NET_BIND_SERVICE")
        };
        let names = failing(spec, adds);
        if !names.is_empty() {
            found.push(of_containers(
                "unrestricted capabilities",
                &names,
                "must not add capabilities other than \"NET_BIND_SERVICE\"",
            ));
        }
    }
    let pod_non_root = spec["securityContext"]["runAsNonRoot"] == true;
    let names = failing(
        spec,
        |container| match container["securityContext"]["runAsNonRoot"].as_bool() {
            Some(set) => !set,
            None => !pod_non_root,
        },
    );
    if !names.is_empty() {
        let noun = if names.len() == 1 {
            "container"
        } else {
            "containers"
        };
        found.push(format!(
            "runAsNonRoot != true (pod or {noun} {} must set securityContext.runAsNonRoot=true)",
            quoted(&names)
        ));
    }
    let root = |context: &Value| context["runAsUser"] == 0;
    if root(&spec["securityContext"]) || containers(spec).any(|container| root(&container["securityContext"]))
    {
        found.push("runAsUser=0 (pod or containers must not set runAsUser=0)".to_owned());
    }
    if !windows {
        let good = |context: &Value| {
            matches!(
                context["seccompProfile"]["type"].as_str(),
                Some("RuntimeDefault" | "Localhost")
            )
        };
        let pod = good(&spec["securityContext"]);
        let names = failing(spec, |container| {
            !(good(&container["securityContext"])
                || (pod && container["securityContext"].get("seccompProfile").is_none()))
        });
        if !names.is_empty() {
            let noun = if names.len() == 1 {
                "container"
            } else {
                "containers"
            };
            found.push(format!("seccompProfile (pod or {noun} {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")", quoted(&names)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]})
    }

    #[test]
    fn levels() {
        assert!(violations(Level::Restricted, &good(), None).is_empty());
        let plain = json!({"containers": [{"name": "c"}]});
        assert!(violations(Level::Baseline, &plain, None).is_empty());
        assert_eq!(violations(Level::Restricted, &plain, None).len(), 4);
        for change in [
            json!({"hostNetwork": true}),
            json!({"containers": [{"name": "c", "securityContext": {"privileged": true}}]}),
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}], "containers": []}),
            json!({"containers": [{"name": "c", "ports": [{"hostPort": 80}]}]}),
            json!({"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}),
        ] {
            assert_eq!(violations(Level::Baseline, &change, None).len(), 1, "{change}");
            assert!(violations(Level::Privileged, &change, None).is_empty());
        }
    }
}
