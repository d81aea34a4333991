//! The node's status: pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeRuntimeHandler,
    NodeRuntimeHandlerFeatures, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::pod::status::whole_seconds;

/// All that the status is made from.
pub(super) struct NodeInput<'a> {
    pub previous: &'a NodeStatus,
    pub addresses: &'a [IpAddr],
    pub host_name: &'a str,
    pub port: i32,
    pub capacity: &'a BTreeMap<String, Quantity>,
    pub allocatable: &'a BTreeMap<String, Quantity>,
    pub info: &'a NodeSystemInfo,
    pub images: Vec<ContainerImage>,
    pub handlers: Vec<(String, bool, bool)>,
    /// Why the node is not ready; empty when it is.
    pub problems: &'a [String],
    pub memory_pressure: bool,
    pub disk_pressure: bool,
    pub pid_pressure: bool,
    pub now: Timestamp,
}

pub(super) fn node_status(input: NodeInput<'_>) -> NodeStatus {
    let conditions = conditions(&input);
    let mut addresses: Vec<NodeAddress> = input
        .addresses
        .iter()
        .map(|address| NodeAddress {
            type_: "InternalIP".to_owned(),
            address: address.to_string(),
        })
        .collect();
    addresses.push(NodeAddress {
        type_: "Hostname".to_owned(),
        address: input.host_name.to_owned(),
    });
    let handlers = input
        .handlers
        .into_iter()
        .map(|(name, recursive, user)| NodeRuntimeHandler {
            name: Some(name),
            features: Some(NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(recursive),
                user_namespaces: Some(user),
            }),
        });
    NodeStatus {
        addresses: Some(addresses),
        capacity: Some(input.capacity.clone()),
        allocatable: Some(input.allocatable.clone()),
        conditions: Some(conditions),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: input.port }),
        }),
        node_info: Some(input.info.clone()),
        images: Some(input.images),
        runtime_handlers: Some(handlers.collect()),
        ..NodeStatus::default()
    }
}

fn conditions(input: &NodeInput<'_>) -> Vec<NodeCondition> {
    let ready = input.problems.is_empty();
    let problems = input.problems.join(", ");
    let rows = [
        pressure(
            "MemoryPressure",
            input.memory_pressure,
            "Memory",
            "memory available",
            "insufficient memory available",
        ),
        disk(input.disk_pressure),
        pressure(
            "PIDPressure",
            input.pid_pressure,
            "PID",
            "PID available",
            "insufficient PID available",
        ),
        if ready {
            (
                "Ready",
                true,
                "KubeletReady",
                "kubelet is posting ready status".to_owned(),
            )
        } else {
            ("Ready", false, "KubeletNotReady", problems)
        },
    ];
    let before = input.previous.conditions.as_deref().unwrap_or_default();
    let now = Time(whole_seconds(input.now));
    rows.into_iter()
        .map(|(kind, status, reason, message)| {
            let text = if status { "True" } else { "False" };
            let since = before
                .iter()
                .find(|condition| condition.type_ == kind && condition.status == text);
            NodeCondition {
                type_: kind.to_owned(),
                status: text.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_heartbeat_time: Some(now.clone()),
                last_transition_time: Some(
                    since
                        .and_then(|condition| condition.last_transition_time.clone())
                        .unwrap_or_else(|| now.clone()),
                ),
            }
        })
        .collect()
}

fn pressure(
    kind: &'static str,
    on: bool,
    what: &str,
    enough: &str,
    lacking: &str,
) -> (&'static str, bool, &'static str, String) {
    let reason = match (what, on) {
        ("Memory", true) => "KubeletHasInsufficientMemory",
        ("Memory", false) => "KubeletHasSufficientMemory",
        (_, true) => "KubeletHasInsufficientPID",
        (_, false) => "KubeletHasSufficientPID",
    };
    let message = if on {
        format!("kubelet has {lacking}")
    } else {
        format!("kubelet has sufficient {enough}")
    };
    (kind, on, reason, message)
}

fn disk(on: bool) -> (&'static str, bool, &'static str, String) {
    if on {
        (
            "DiskPressure",
            true,
            "KubeletHasDiskPressure",
            "kubelet has disk pressure".to_owned(),
        )
    } else {
        (
            "DiskPressure",
            false,
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure".to_owned(),
        )
    }
}

/// Whether two statuses say the same, heartbeats aside.
pub(super) fn is_same(a: &NodeStatus, b: &NodeStatus) -> bool {
    let still = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
            condition.last_transition_time = None;
        }
        if let Some(conditions) = &mut status.conditions {
            conditions.retain(|condition| condition.type_ != "NetworkUnavailable");
        }
        status
    };
    still(a) == still(b)
}
