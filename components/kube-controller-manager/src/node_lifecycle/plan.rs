//! Which taints a node is to have, and how fast nodes of a zone may be given up.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::nodes::{self, NO_EXECUTE, NO_SCHEDULE, NOT_READY, UNREACHABLE, UNSCHEDULABLE};
use crate::owner::Meta as _;

/// Condition, status, and the taint that this makes.
const CONDITION_TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    (
        "NetworkUnavailable",
        "True",
        "node.kubernetes.io/network-unavailable",
    ),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

pub fn taint(key: &str, effect: &str, now: Timestamp) -> Taint {
    Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        value: None,
        time_added: Some(Time(now)),
    }
}

/// The node's taints with the NoSchedule ones made to follow its conditions; none when they do.
pub fn no_schedule_taints(node: &Node, present: &[Taint], now: Timestamp) -> Option<Vec<Taint>> {
    let mut wanted: Vec<&str> = CONDITION_TAINTS
        .iter()
        .filter(|(kind, status, _)| {
            nodes::condition(node, kind).is_some_and(|condition| condition.status == *status)
        })
        .map(|(_, _, key)| *key)
        .collect();
    if node
        .spec
        .as_ref()
        .and_then(|spec| spec.unschedulable)
        .unwrap_or(false)
    {
        wanted.push(UNSCHEDULABLE);
    }
    let ours = |taint: &Taint| {
        taint.effect == NO_SCHEDULE
            && (taint.key == UNSCHEDULABLE || CONDITION_TAINTS.iter().any(|(_, _, key)| taint.key == *key))
    };
    let mut taints: Vec<Taint> = present
        .iter()
        .filter(|taint| !ours(taint) || wanted.contains(&taint.key.as_str()))
        .cloned()
        .collect();
    let mut changed = taints.len() != present.len();
    for key in wanted {
        if !taints
            .iter()
            .any(|present| nodes::same_taint(present, key, NO_SCHEDULE))
        {
            taints.push(taint(key, NO_SCHEDULE, now));
            changed = true;
        }
    }
    changed.then_some(taints)
}

/// The NoExecute taint that a status of Ready calls for.
pub fn execute_key(ready: &str) -> Option<&'static str> {
    match ready {
        "False" => Some(NOT_READY),
        "Unknown" => Some(UNREACHABLE),
        _ => None,
    }
}

/// Taints with exactly `wanted` of the two NoExecute ones; none when it is so.
pub fn no_execute_taints(present: &[Taint], wanted: Option<&str>, now: Timestamp) -> Option<Vec<Taint>> {
    let other = |taint: &Taint| {
        taint.effect == NO_EXECUTE
            && (taint.key == NOT_READY || taint.key == UNREACHABLE)
            && Some(taint.key.as_str()) != wanted
    };
    let mut taints: Vec<Taint> = present.iter().filter(|taint| !other(taint)).cloned().collect();
    let mut changed = taints.len() != present.len();
    if let Some(key) = wanted
        && !taints
            .iter()
            .any(|present| nodes::same_taint(present, key, NO_EXECUTE))
    {
        taints.push(taint(key, NO_EXECUTE, now));
        changed = true;
    }
    changed.then_some(taints)
}

/// How a zone is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneState {
    Normal,
    /// Too many nodes are not ready for that to be the nodes' fault.
    PartialDisruption,
    FullDisruption,
}

pub fn zone_state(ready: usize, not_ready: usize, unhealthy_threshold: f32) -> ZoneState {
    let total = ready + not_ready;
    if ready == 0 && not_ready > 0 {
        ZoneState::FullDisruption
    } else if not_ready > 2 && not_ready as f32 / total as f32 >= unhealthy_threshold {
        ZoneState::PartialDisruption
    } else {
        ZoneState::Normal
    }
}

/// Rates of tainting, in nodes per second.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub normal: f32,
    pub reduced: f32,
    pub large_cluster: usize,
}

impl Rates {
    /// The rate of one zone. When every zone is down the fault is likely ours, and nobody is evicted.
    pub fn of_zone(&self, state: ZoneState, size: usize, all_disrupted: bool) -> f32 {
        match state {
            _ if all_disrupted => 0.0,
            ZoneState::Normal | ZoneState::FullDisruption => self.normal,
            ZoneState::PartialDisruption if size > self.large_cluster => self.reduced,
            ZoneState::PartialDisruption => 0.0,
        }
    }
}

/// Region and zone, by which nodes fail together.
pub fn zone_of(node: &Node) -> String {
    let label = |stable: &str, old: &str| {
        node.label(stable)
            .or_else(|| node.label(old))
            .unwrap_or_default()
            .to_owned()
    };
    let region = label(
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/region",
    );
    let zone = label(
        "topology.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/zone",
    );
    if region.is_empty() && zone.is_empty() {
        String::new()
    } else {
        format!("{region}:\0:{zone}")
    }
}
