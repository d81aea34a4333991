//! The checks of the Pod Security Standards, pure.

mod profiles;

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

/// Everything in a pod that the level forbids, as it was in the minor version `minor` of Kubernetes; `u32::MAX` is the
/// newest.
pub fn violations(
    level: Level,
    minor: u32,
    spec: &Value,
    annotations: Option<&Map<String, Value>>,
) -> Vec<String> {
    let mut found = Vec::new();
    if level >= Level::Baseline {
        baseline(spec, minor, annotations, &mut found);
    }
    if level >= Level::Restricted {
        restricted(spec, minor, &mut found);
    }
    found
}

fn baseline(spec: &Value, minor: u32, annotations: Option<&Map<String, Value>>, found: &mut Vec<String>) {
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
    if minor >= 34 {
        handler_hosts(spec, found);
    }
    profiles::baseline(spec, minor, annotations, found);
}

/// Hosts that a container's probes and hooks name: the kubelet would reach them from where it is.
fn hosts(container: &Value) -> Vec<String> {
    let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &container[probe]);
    let hooks = ["postStart", "preStop"].map(|hook| &container["lifecycle"][hook]);
    let named = |handler: &&Value| {
        ["httpGet", "tcpSocket"].map(|action| handler[action]["host"].as_str().map(str::to_owned))
    };
    probes
        .iter()
        .chain(&hooks)
        .flat_map(named)
        .flatten()
        .filter(|host| !host.is_empty())
        .collect()
}

fn handler_hosts(spec: &Value, found: &mut Vec<String>) {
    let mut names = failing(spec, |container| !hosts(container).is_empty());
    let mut all: Vec<String> = containers(spec).flat_map(hosts).collect();
    if all.is_empty() {
        return;
    }
    for list in [&mut names, &mut all] {
        list.sort();
        list.dedup();
    }
    let verb = if names.len() == 1 { "uses" } else { "use" };
    let noun = if all.len() == 1 { "host" } else { "hosts" };
    let detail = format!("{verb} probe or lifecycle {noun} {}", quoted(&all));
    found.push(of_containers("probe or lifecycle host", &names, &detail));
}

fn restricted(spec: &Value, minor: u32, found: &mut Vec<String>) {
    // Before 1.25 a pod didn't say its system, and all were asked the same.
    let windows = minor >= 25 && spec["os"]["name"] == "windows";
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
    if !windows && minor >= 8 {
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
    }
    if !windows && minor >= 22 {
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
    let root = |context: &Value| minor >= 23 && context["runAsUser"] == 0;
    if root(&spec["securityContext"]) || containers(spec).any(|container| root(&container["securityContext"]))
    {
        found.push("runAsUser=0 (pod or containers must not set runAsUser=0)".to_owned());
    }
    if !windows && minor >= 19 {
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
        assert!(violations(Level::Restricted, u32::MAX, &good(), None).is_empty());
        let plain = json!({"containers": [{"name": "c"}]});
        assert!(violations(Level::Baseline, u32::MAX, &plain, None).is_empty());
        assert_eq!(violations(Level::Restricted, u32::MAX, &plain, None).len(), 4);
        for change in [
            json!({"hostNetwork": true}),
            json!({"containers": [{"name": "c", "securityContext": {"privileged": true}}]}),
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}], "containers": []}),
            json!({"containers": [{"name": "c", "ports": [{"hostPort": 80}]}]}),
            json!({"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}),
        ] {
            assert_eq!(
                violations(Level::Baseline, u32::MAX, &change, None).len(),
                1,
                "{change}"
            );
            assert!(violations(Level::Privileged, u32::MAX, &change, None).is_empty());
        }
    }

    #[test]
    fn rules_hold_since_their_version() {
        let plain = json!({"containers": [{"name": "c"}]});
        let root = json!({"securityContext": {"runAsUser": 0}, "containers": []});
        let sysctl = |name: &str| json!({"securityContext": {"sysctls": [{"name": name}]}, "containers": []});
        let engine =
            json!({"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}, "containers": []});
        let probed = json!({"containers": [
            {"name": "b", "livenessProbe": {"httpGet": {"host": "h", "port": 1}}},
            {"name": "a", "lifecycle": {"preStop": {"tcpSocket": {"host": "g", "port": 1}}}},
            {"name": "c", "readinessProbe": {"httpGet": {"port": 1}}}]});
        assert_eq!(
            violations(Level::Baseline, 34, &probed, None),
            ["probe or lifecycle host (containers \"a\", \"b\" use probe or lifecycle hosts \"g\", \"h\")"]
        );
        let mut windows = plain.clone();
        windows["os"] = json!({"name": "windows"});
        for (level, spec, counts) in [
            (
                Level::Restricted,
                &plain,
                &[(7, 1), (8, 2), (18, 2), (19, 3), (21, 3), (22, 4), (36, 4)][..],
            ),
            (Level::Restricted, &windows, &[(24, 4), (25, 1)]),
            (Level::Restricted, &root, &[(22, 0), (23, 1)]),
            (Level::Baseline, &sysctl("net.ipv4.tcp_rmem"), &[(31, 1), (32, 0)]),
            (
                Level::Baseline,
                &sysctl("net.ipv4.tcp_fin_timeout"),
                &[(28, 1), (29, 0)],
            ),
            (Level::Baseline, &sysctl("kernel.msgmax"), &[(0, 1), (36, 1)]),
            (Level::Baseline, &engine, &[(30, 1), (31, 0)]),
            (Level::Baseline, &probed, &[(33, 0), (34, 1)]),
        ] {
            for (minor, count) in counts {
                let found = violations(level, *minor, spec, None);
                assert_eq!(found.len(), *count, "1.{minor} {spec}: {found:?}");
            }
        }
    }
}
