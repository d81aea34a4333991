//! What is known about a node's heartbeats. Only our own clock counts; the times in objects are compared
//! with each other, never with it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::nodes;

/// Conditions that nobody keeps up to date once the kubelet is silent.
const KUBELET_CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// When a node was last heard of.
#[derive(Clone, Debug)]
pub struct Health {
    heartbeat: Option<Time>,
    renewal: Option<Timestamp>,
    heard: Timestamp,
}

impl Health {
    /// Takes in what the node's objects show at `now`.
    pub fn observe(before: Option<&Health>, node: &Node, lease: Option<&Lease>, now: Timestamp) -> Health {
        let ready = nodes::condition(node, "Ready");
        let heartbeat = ready.and_then(|ready| ready.last_heartbeat_time.clone());
        let renewal = lease
            .and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref())
            .map(|time| time.0);
        let heard = match before {
            // A node that has never been seen gets the whole period, however old it looks; one that has
            // never reported counts from its creation.
            None if ready.is_some() => now,
            None => node
                .metadata
                .creation_timestamp
                .as_ref()
                .map_or(now, |time| time.0),
            Some(before) if before.heartbeat != heartbeat || renewal > before.renewal => now,
            Some(before) => before.heard,
        };
        Health {
            heartbeat,
            renewal,
            heard,
        }
    }

    pub fn is_silent(&self, grace: Duration, now: Timestamp) -> bool {
        let since = Duration::try_from(now.duration_since(self.heard)).unwrap_or(Duration::ZERO);
        since > grace
    }
}

/// The conditions of a silent node; none when they say so already.
pub fn silent_conditions(node: &Node, now: Timestamp) -> Option<Vec<NodeCondition>> {
    let mut conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.clone())
        .unwrap_or_default();
    let mut changed = false;
    for kind in KUBELET_CONDITIONS {
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            None => {
                conditions.push(NodeCondition {
                    type_: kind.to_owned(),
                    status: "Unknown".to_owned(),
                    reason: Some("NodeStatusNeverUpdated".to_owned()),
                    message: Some("Kubelet never posted node status.".to_owned()),
                    last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                    last_transition_time: Some(Time(now)),
                });
                changed = true;
            }
            Some(condition) if condition.status != "Unknown" => {
                condition.status = "Unknown".to_owned();
                condition.reason = Some("NodeStatusUnknown".to_owned());
                condition.message = Some("Kubelet stopped posting node status.".to_owned());
                condition.last_transition_time = Some(Time(now));
                changed = true;
            }
            Some(_) => {}
        }
    }
    changed.then_some(conditions)
}
