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

use serde_json::{Value, json};

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
    /// Sorted, as the API wants them.
    pub declared_features: &'a [&'static str],
    pub images: Vec<ContainerImage>,
    pub handlers: Vec<(String, bool, bool)>,
    /// Why the node is not ready; empty when it is.
    pub problems: &'a [String],
    pub memory_pressure: bool,
    pub disk_pressure: bool,
    pub pid_pressure: bool,
    pub now: Timestamp,
}

/// The conditions that the kubelet reports; others are their reporters'.
const CONDITIONS: [&str; 4] = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];

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
        capacity: Some(with_others(input.capacity, input.previous.capacity.as_ref())),
        allocatable: Some(with_others(input.allocatable, input.previous.capacity.as_ref())),
        conditions: Some(conditions),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: input.port }),
        }),
        node_info: Some(input.info.clone()),
        declared_features: features(input.declared_features),
        images: Some(input.images),
        runtime_handlers: Some(handlers.collect()),
        // What volumes are attached and the like is others' to say.
        ..input.previous.clone()
    }
}

/// None at all is what an empty list is stored as.
fn features(declared: &[&str]) -> Option<Vec<String>> {
    let declared = declared.iter().copied().map(str::to_owned).collect::<Vec<_>>();
    Some(declared).filter(|declared| !declared.is_empty())
}

/// Resources that somebody else has announced in the node's capacity: pods can have all of them.
fn with_others(
    own: &BTreeMap<String, Quantity>,
    announced: Option<&BTreeMap<String, Quantity>>,
) -> BTreeMap<String, Quantity> {
    let others = announced
        .into_iter()
        .flatten()
        .filter(|(name, _)| !own.contains_key(*name));
    own.iter()
        .chain(others)
        .map(|(name, quantity)| (name.clone(), quantity.clone()))
        .collect()
}

/// The patch that makes `new` of `old`, of what is the kubelet's to say.
pub(super) fn patch(old: &NodeStatus, new: &NodeStatus) -> serde_json::Result<Value> {
    let conditions = new.conditions.iter().flatten();
    let ours = conditions
        .filter(|condition| is_ours(condition))
        .cloned()
        .collect();
    let mut status = serde_json::to_value(NodeStatus {
        addresses: new.addresses.clone(),
        conditions: Some(ours),
        daemon_endpoints: new.daemon_endpoints.clone(),
        node_info: new.node_info.clone(),
        images: new.images.clone(),
        runtime_handlers: new.runtime_handlers.clone(),
        ..NodeStatus::default()
    })?;
    status["capacity"] = changes(old.capacity.as_ref(), new.capacity.as_ref());
    status["allocatable"] = changes(old.allocatable.as_ref(), new.allocatable.as_ref());
    if old.declared_features != new.declared_features {
        status["declaredFeatures"] = json!(new.declared_features);
    }
    // Addresses are merged by their type, which would keep an address that is gone.
    if let (Some(addresses), true) = (
        status.get_mut("addresses").and_then(Value::as_array_mut),
        old.addresses != new.addresses,
    ) {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    Ok(json!({ "status": status }))
}

/// What another amount is announced of; null for what is there no more.
fn changes(old: Option<&BTreeMap<String, Quantity>>, new: Option<&BTreeMap<String, Quantity>>) -> Value {
    let of =
        |map: Option<&BTreeMap<String, Quantity>>, name: &str| map.and_then(|map| map.get(name)).cloned();
    let names = old.into_iter().chain(new).flat_map(|map| map.keys());
    let changed = names.filter(|name| of(old, name) != of(new, name));
    changed
        .map(|name| {
            (
                name.clone(),
                of(new, name).map_or(Value::Null, |quantity| json!(quantity.0)),
            )
        })
        .collect()
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
        .chain(before.iter().filter(|condition| !is_ours(condition)).cloned())
        .collect()
}

fn is_ours(condition: &NodeCondition) -> bool {
    CONDITIONS.contains(&condition.type_.as_str())
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
            conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        }
        status
    };
    still(a) == still(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantities(map: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
        map.iter()
            .map(|(name, quantity)| ((*name).to_owned(), Quantity((*quantity).to_owned())))
            .collect()
    }

    /// As the node's kubelet would have it after `previous`.
    fn after(previous: &NodeStatus) -> NodeStatus {
        node_status(NodeInput {
            previous,
            addresses: &["10.0.0.1".parse().unwrap()],
            host_name: "n",
            port: 10250,
            capacity: &quantities(&[("cpu", "4")]),
            allocatable: &quantities(&[("cpu", "3500m")]),
            info: &NodeSystemInfo::default(),
            declared_features: &["A", "B"],
            images: Vec::new(),
            handlers: Vec::new(),
            problems: &[],
            memory_pressure: false,
            disk_pressure: false,
            pid_pressure: false,
            now: Timestamp::UNIX_EPOCH,
        })
    }

    /// What an operator announced was in the capacity, and no pod could have it.
    #[test]
    fn resources_that_others_announce_are_there_for_pods() {
        let mut stored = after(&NodeStatus::default());
        stored.capacity = Some(quantities(&[("cpu", "4"), ("example.test/widget", "5")]));
        let fresh = after(&stored);
        let expected = quantities(&[("cpu", "3500m"), ("example.test/widget", "5")]);
        assert_eq!(fresh.allocatable, Some(expected));
        assert!(!is_same(&stored, &fresh));
        let sent = patch(&stored, &fresh).unwrap();
        assert_eq!(sent["status"]["capacity"], json!({}));
        assert_eq!(sent["status"]["allocatable"], json!({"example.test/widget": "5"}));
        // And no longer when it is taken back.
        let mut stored = fresh;
        stored.capacity = Some(quantities(&[("cpu", "4")]));
        let sent = patch(&stored, &after(&stored)).unwrap();
        assert_eq!(
            sent["status"]["allocatable"],
            json!({"example.test/widget": null})
        );
    }

    #[test]
    fn features_are_declared_until_they_are_turned_off() {
        let before = NodeStatus::default();
        let declaring = after(&before);
        let sent = patch(&before, &declaring).unwrap();
        assert_eq!(sent["status"]["declaredFeatures"], json!(["A", "B"]));
        let sent = patch(&declaring, &after(&declaring)).unwrap();
        assert!(sent["status"].get("declaredFeatures").is_none());
        let silent = NodeStatus {
            declared_features: features(&[]),
            ..declaring.clone()
        };
        let sent = patch(&declaring, &silent).unwrap();
        assert_eq!(sent["status"].get("declaredFeatures"), Some(&Value::Null));
    }

    #[test]
    fn what_others_report_is_left_and_is_no_news() {
        let mut stored = after(&NodeStatus::default());
        let foreign = NodeCondition {
            type_: "KernelDeadlock".to_owned(),
            status: "False".to_owned(),
            ..NodeCondition::default()
        };
        stored.conditions.as_mut().unwrap().insert(0, foreign);
        stored.volumes_in_use = Some(vec!["v".to_owned()]);
        let fresh = after(&stored);
        assert!(is_same(&stored, &fresh));
        let sent = patch(&stored, &fresh).unwrap();
        assert_eq!(
            sent["status"]["conditions"].as_array().map(Vec::len),
            Some(CONDITIONS.len())
        );
        assert_eq!(sent["status"]["volumesInUse"], Value::Null);
    }

    /// A node that was thought lost stayed so until the next full report, up to five minutes.
    #[test]
    fn a_node_that_is_said_to_be_lost_has_news() {
        let mut stored = after(&NodeStatus::default());
        for condition in stored.conditions.iter_mut().flatten() {
            condition.status = "Unknown".to_owned();
        }
        assert!(!is_same(&stored, &after(&stored)));
    }
}
