//! Whether a pod may run here: the kubelet's last word after the scheduler's.

use std::collections::BTreeSet;
use std::sync::Arc;

use client::placement;
use k8s_openapi::api::core::v1::{Container, Node, Pod, Toleration};

use crate::eviction::{Pressure, is_critical};
use crate::pod::members::{PodView, Role, init_role};
use crate::pod::phase::Phase;
use crate::pod::qos::{Qos, qos_class};
use crate::pod::resources::pod_requests;

/// Kernel settings that pods may change without being allowed to by the node's owner: they are part of a
/// pod's own namespaces and cannot harm the node.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// What the node has to give.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// As the API server has it; none before it was seen.
    pub object: Option<Arc<Node>>,
    pub milli_cpu: i64,
    pub memory: i64,
    pub pods: i64,
    /// Names, or prefixes that end in `*`, of further kernel settings that pods may change.
    pub allowed_sysctls: Vec<String>,
    /// What the node is short of.
    pub pressures: BTreeSet<Pressure>,
}

/// What this kubelet must not run at all, because running it in another way would be unsafe or wrong.
fn refused_by_nature(pod: &Pod, node: &NodeFacts) -> Option<(String, String)> {
    let refuse =
        |reason: &str, message: String| Some((reason.to_owned(), format!("Pod was rejected: {message}")));
    let spec = pod.view();
    if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
        return refuse(
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS".to_owned(),
        );
    }
    if spec.host_users == Some(false) {
        return refuse(
            "UserNamespaceNotSupported",
            "hostUsers: false is not supported on this node".to_owned(),
        );
    }
    // Upstream's name of what this kubelet does not declare on its node.
    const RESTART_ALL: &str = "RestartAllContainersOnContainerExits";
    let rules = |containers: &[Container]| {
        let mut rules = containers
            .iter()
            .flat_map(|one| one.restart_policy_rules.iter().flatten());
        rules.any(|rule| rule.action == "RestartAllContainers")
    };
    if rules(pod.containers()) || rules(pod.init_containers()) {
        return refuse(
            "PodFeatureUnsupported",
            format!("Pod requires node features that are not available: {RESTART_ALL}"),
        );
    }
    for sysctl in spec
        .security_context
        .iter()
        .flat_map(|context| context.sysctls.iter().flatten())
    {
        let name = sysctl.name.replace('/', ".");
        let allowed = node
            .allowed_sysctls
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == *pattern,
            });
        if !allowed && !SAFE_SYSCTLS.contains(&name.as_str()) {
            return refuse(
                "SysctlForbidden",
                format!("forbidden sysctl: {name:?} not allowlisted"),
            );
        }
    }
    None
}

/// A node that is short of memory takes no pod that requests none, unless the pod says that it can live with that.
/// One that is short of anything else takes no pod at all.
fn refused_by_pressure(pod: &Pod, pressures: &BTreeSet<Pressure>) -> Option<(String, String)> {
    if pressures.is_empty() || is_critical(pod) {
        return None;
    }
    if pressures.iter().all(|pressure| *pressure == Pressure::Memory) {
        let tolerates = |toleration: &Toleration| {
            let key = toleration.key.as_deref().unwrap_or_default();
            let effect = toleration.effect.as_deref().unwrap_or_default();
            let any_key = key.is_empty() && toleration.operator.as_deref() == Some("Exists");
            (key == "node.kubernetes.io/memory-pressure" || any_key)
                && (effect.is_empty() || effect == "NoSchedule")
        };
        if qos_class(pod) != Qos::BestEffort || pod.view().tolerations.iter().flatten().any(tolerates) {
            return None;
        }
    }
    let names: Vec<&str> = pressures.iter().map(|pressure| pressure.name()).collect();
    Some((
        "Evicted".to_owned(),
        format!(
            "Pod was rejected: The node had condition: [{}]. ",
            names.join(" ")
        ),
    ))
}

/// A reason and message when the pod has to be refused.
pub fn admit(pod: &Pod, others: &[Arc<Pod>], node: &NodeFacts) -> Option<(String, String)> {
    if let Some(refusal) = refused_by_nature(pod, node) {
        return Some(refusal);
    }
    // Static pods were put here by the node's owner.
    if crate::sources::is_static(pod) {
        return None;
    }
    if let Some(refusal) = refused_by_pressure(pod, &node.pressures) {
        return Some(refusal);
    }
    let active: Vec<&Pod> = others
        .iter()
        .map(Arc::as_ref)
        .filter(|other| other.uid() != pod.uid() && !is_over(other))
        .collect();
    refused_by_resources(pod, &active, node)
        .or_else(|| refused_by_node(pod, &active, node.object.as_deref()))
        .map(|(reason, message)| (reason, format!("Pod was rejected: {message}")))
}

fn refused_by_resources(pod: &Pod, active: &[&Pod], node: &NodeFacts) -> Option<(String, String)> {
    let requests: Vec<(i64, i64)> = active.iter().map(|other| pod_requests(other)).collect();
    let (cpu, memory) = pod_requests(pod);
    let used_cpu: i64 = requests.iter().map(|(cpu, _)| cpu).sum();
    let used_memory: i64 = requests.iter().map(|(_, memory)| memory).sum();
    let count = i64::try_from(active.len()).unwrap_or(i64::MAX);
    for (name, wanted, used, capacity) in [
        ("pods", 1, count, node.pods),
        ("cpu", cpu, used_cpu, node.milli_cpu),
        ("memory", memory, used_memory, node.memory),
    ] {
        if wanted > 0 && used.saturating_add(wanted) > capacity {
            let message = format!(
                "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
            );
            return Some((format!("OutOf{name}"), message));
        }
    }
    None
}

/// What the scheduler looks at too, for pods that come past it.
fn refused_by_node(pod: &Pod, active: &[&Pod], node: Option<&Node>) -> Option<(String, String)> {
    let failed = |predicate: &str, why: &str| {
        let message = format!("Predicate {predicate} failed: {why}");
        Some((predicate.to_owned(), message))
    };
    if node.is_some_and(|node| !placement::allows(pod.view(), node)) {
        return failed(
            "NodeAffinity",
            "node(s) didn't match Pod's node affinity/selector",
        );
    }
    let wanted = host_ports(pod);
    if active
        .iter()
        .flat_map(|other| host_ports(other))
        .any(|taken| wanted.iter().any(|wanted| wanted.collides(&taken)))
    {
        return failed(
            "NodePorts",
            "node(s) didn't have free ports for the requested pod ports",
        );
    }
    let taints = node.and_then(|node| node.spec.as_ref()?.taints.as_deref());
    let tolerations = pod.view().tolerations.as_deref().unwrap_or_default();
    let untolerated = taints
        .unwrap_or_default()
        .iter()
        .filter(|taint| taint.effect == "NoExecute")
        .any(|taint| {
            !tolerations
                .iter()
                .any(|toleration| placement::tolerates(toleration, taint))
        });
    if untolerated {
        return failed(
            "TaintToleration",
            "node(s) had taints that the pod didn't tolerate",
        );
    }
    None
}

/// A port of the node that a pod's containers take.
struct HostPort {
    address: String,
    protocol: String,
    port: i32,
}

impl HostPort {
    fn collides(&self, other: &Self) -> bool {
        let everywhere = |port: &Self| port.address == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || everywhere(self) || everywhere(other))
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let sidecars = pod
        .init_containers()
        .iter()
        .filter(|container| init_role(container) == Role::Sidecar);
    pod.containers()
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let or = |text: &Option<String>, default: &str| {
                text.clone()
                    .filter(|text| !text.is_empty())
                    .unwrap_or_else(|| default.to_owned())
            };
            Some(HostPort {
                address: or(&port.host_ip, "0.0.0.0"),
                protocol: or(&port.protocol, "TCP"),
                port: port.host_port.filter(|port| *port > 0)?,
            })
        })
        .collect()
}

/// Whether all its containers have ended for good.
pub(crate) fn is_over(pod: &Pod) -> bool {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .and_then(Phase::parse)
        .is_some_and(Phase::is_terminal)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, cpu: &str, selector: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": uid, "namespace": "n", "uid": uid},
            "spec": {"nodeSelector": selector, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}
        }))
        .unwrap()
    }

    #[test]
    fn pods_that_do_not_fit_are_refused_by_name() {
        let node = NodeFacts {
            object: Some(Arc::new(
                serde_json::from_value(json!({"metadata": {"name": "n", "labels": {"a": "b"}}})).unwrap(),
            )),
            milli_cpu: 1000,
            memory: 1 << 30,
            pods: 2,
            ..NodeFacts::default()
        };
        let others = [Arc::new(pod("1", "600m", json!({})))];
        let reason = |pod: &Pod, others: &[Arc<Pod>]| admit(pod, others, &node).map(|(reason, _)| reason);
        assert_eq!(reason(&pod("2", "400m", json!({"a": "b"})), &others), None);
        assert_eq!(
            reason(&pod("2", "401m", json!({})), &others).as_deref(),
            Some("OutOfcpu")
        );
        assert_eq!(
            reason(&pod("2", "1m", json!({"a": "c"})), &others).as_deref(),
            Some("NodeAffinity")
        );
        let two = [others[0].clone(), Arc::new(pod("3", "1m", json!({})))];
        assert_eq!(
            reason(&pod("2", "1m", json!({})), &two).as_deref(),
            Some("OutOfpods")
        );
    }

    #[test]
    fn pods_that_come_past_the_scheduler_are_looked_at_as_it_would() {
        let node = json!({
            "metadata": {"name": "n", "labels": {"zone": "a"}},
            "spec": {"taints": [{"key": "gone", "effect": "NoExecute"}, {"key": "full", "effect": "NoSchedule"}]},
        });
        let node = NodeFacts {
            object: Some(Arc::new(serde_json::from_value(node).unwrap())),
            milli_cpu: 1000,
            memory: 1000,
            pods: 9,
            ..NodeFacts::default()
        };
        let pod = |name: &str, spec: &serde_json::Value, port: serde_json::Value| -> Pod {
            let mut spec = spec.clone();
            if !port.is_null() {
                spec["containers"] = json!([{"name": "c", "ports": [port]}]);
            } else {
                spec["containers"] = json!([{"name": "c"}]);
            }
            serde_json::from_value(json!({"metadata": {"name": name, "uid": name}, "spec": spec})).unwrap()
        };
        let tolerant = json!({"tolerations": [{"key": "gone", "operator": "Exists"}]});
        let zone = |zone: &str| {
            json!({
                "tolerations": [{"operator": "Exists"}],
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
                    [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]}}},
            })
        };
        let taken = json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"});
        let others = [Arc::new(pod("other", &tolerant, taken))];
        for (what, spec, port, want) in [
            ("nothing said", json!({}), json!(null), Some("TaintToleration")),
            ("tolerant", tolerant.clone(), json!(null), None),
            ("its zone", zone("a"), json!(null), None),
            ("another zone", zone("b"), json!(null), Some("NodeAffinity")),
            (
                "taken everywhere",
                tolerant.clone(),
                json!({"containerPort": 2, "hostPort": 80}),
                Some("NodePorts"),
            ),
            (
                "another address",
                tolerant.clone(),
                json!({"containerPort": 2, "hostPort": 80, "hostIP": "10.0.0.2"}),
                None,
            ),
            (
                "another protocol",
                tolerant.clone(),
                json!({"containerPort": 2, "hostPort": 80, "protocol": "UDP"}),
                None,
            ),
            ("no host port", tolerant, json!({"containerPort": 80}), None),
        ] {
            let refusal = admit(&pod("p", &spec, port), &others, &node);
            assert_eq!(refusal.map(|(reason, _)| reason).as_deref(), want, "{what}");
        }
    }

    #[test]
    fn a_node_that_is_short_of_something_takes_few_pods() {
        let tolerant = json!({"tolerations": [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}]});
        let burstable = json!({"resources": {"requests": {"memory": "1"}}});
        for (what, pressures, container, mut spec, want) in [
            ("no pressure", &[][..], json!({}), json!({}), false),
            (
                "memory, requests none",
                &[Pressure::Memory],
                json!({}),
                json!({}),
                true,
            ),
            (
                "memory, requests some",
                &[Pressure::Memory],
                burstable.clone(),
                json!({}),
                false,
            ),
            (
                "memory, tolerated",
                &[Pressure::Memory],
                json!({}),
                tolerant.clone(),
                false,
            ),
            ("disk", &[Pressure::Disk], burstable.clone(), json!({}), true),
            (
                "disk besides memory, tolerated",
                &[Pressure::Memory, Pressure::Disk],
                json!({}),
                tolerant,
                true,
            ),
            (
                "critical",
                &[Pressure::Pid],
                json!({}),
                json!({"priority": 2_000_001_000}),
                false,
            ),
        ] {
            let mut container = container;
            container["name"] = json!("c");
            spec["containers"] = json!([container]);
            let pod: Pod =
                serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec})).unwrap();
            let node = NodeFacts {
                milli_cpu: 1000,
                memory: 1000,
                pods: 9,
                pressures: pressures.iter().copied().collect(),
                ..NodeFacts::default()
            };
            assert_eq!(admit(&pod, &[], &node).is_some(), want, "{what}");
        }
    }

    #[test]
    fn what_would_be_unsafe_is_refused() {
        let node = NodeFacts {
            milli_cpu: 1000,
            memory: 1,
            pods: 1,
            allowed_sysctls: vec!["kernel.msg*".to_owned()],
            ..NodeFacts::default()
        };
        for (spec, want) in [
            (
                json!({"securityContext": {"sysctls": [{"name": "net/ipv4/tcp_rmem", "value": "1"}]}}),
                None,
            ),
            (
                json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}),
                None,
            ),
            (
                json!({"securityContext": {"sysctls": [{"name": "kernel.sem", "value": "1"}]}}),
                Some("SysctlForbidden"),
            ),
            (
                json!({"initContainers": [{"name": "i", "restartPolicyRules": [{"action": "Restart"}]}]}),
                None,
            ),
            (
                json!({"initContainers": [{"name": "i", "restartPolicyRules": [{"action": "RestartAllContainers"}]}]}),
                Some("PodFeatureUnsupported"),
            ),
            (json!({"hostUsers": false}), Some("UserNamespaceNotSupported")),
            (json!({"os": {"name": "windows"}}), Some("PodOSNotSupported")),
        ] {
            let mut spec = spec.clone();
            spec["containers"] = json!([]);
            let pod: Pod =
                serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec})).unwrap();
            assert_eq!(
                admit(&pod, &[], &node).map(|(reason, _)| reason).as_deref(),
                want,
                "{spec}"
            );
        }
    }
}
