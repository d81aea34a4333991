//! The arithmetic of disruption budgets.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::deployment::plan::resolve;
use crate::owner::Meta as _;
use crate::workload::pods;

/// How long an announced eviction may take until it counts as not having happened.
pub const DELETION_TIMEOUT: i64 = 120;

/// How many pods are expected, and how many of them must be healthy. `scale` is what the pods' controllers
/// want in all.
pub fn expected_and_desired(spec: &PodDisruptionBudgetSpec, matching: i32, scale: i32) -> (i32, i32) {
    if let Some(max_unavailable) = &spec.max_unavailable {
        let allowed = resolve(Some(max_unavailable), scale, true);
        return (scale, (scale - allowed).max(0));
    }
    match &spec.min_available {
        Some(IntOrString::Int(number)) => (matching, *number),
        Some(percent) => (scale, resolve(Some(percent), scale, true)),
        None => (matching, 0),
    }
}

/// Whether the budget needs the controllers' scale at all.
pub fn needs_scale(spec: &PodDisruptionBudgetSpec) -> bool {
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// Announced evictions whose pods are still there, and when the first of them times out (seconds from now).
pub fn pending(
    status: &PodDisruptionBudgetStatus,
    matching: &[Arc<Pod>],
    now: Timestamp,
) -> (BTreeMap<String, Time>, Option<i64>) {
    let mut left = BTreeMap::new();
    let mut recheck: Option<i64> = None;
    let announced = status.disrupted_pods.clone().unwrap_or_default();
    for pod in matching.iter().filter(|pod| !pod.is_deleting()) {
        let Some(time) = announced.get(pod.name()) else {
            continue;
        };
        let seconds = DELETION_TIMEOUT - now.duration_since(time.0).as_secs();
        if seconds > 0 {
            left.insert(pod.name().to_owned(), time.clone());
            recheck = Some(recheck.map_or(seconds, |recheck| recheck.min(seconds)));
        }
    }
    (left, recheck)
}

fn healthy(matching: &[Arc<Pod>], pending: &BTreeMap<String, Time>) -> i32 {
    let count = matching
        .iter()
        .filter(|pod| !pod.is_deleting() && !pending.contains_key(pod.name()) && pods::is_ready(pod))
        .count();
    i32::try_from(count).unwrap_or(i32::MAX)
}

pub fn status(
    old: &PodDisruptionBudgetStatus,
    generation: i64,
    matching: &[Arc<Pod>],
    (expected, desired): (i32, i32),
    pending: BTreeMap<String, Time>,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let healthy = healthy(matching, &pending);
    let allowed = if expected <= 0 {
        0
    } else {
        (healthy - desired).max(0)
    };
    let mut conditions = old.conditions.clone().unwrap_or_default();
    let (value, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    set_condition(&mut conditions, value, reason, String::new(), generation, now);
    PodDisruptionBudgetStatus {
        conditions: Some(conditions),
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        disrupted_pods: Some(pending).filter(|pending| !pending.is_empty()),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(expected),
        observed_generation: Some(generation),
    }
}

/// The status when the pods cannot be counted: nothing may be evicted.
pub fn failed(
    old: &PodDisruptionBudgetStatus,
    generation: i64,
    message: String,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let mut status = old.clone();
    status.disruptions_allowed = Some(0);
    status.observed_generation = Some(generation);
    let conditions = status.conditions.get_or_insert_default();
    set_condition(conditions, "False", "SyncFailed", message, generation, now);
    status
}

fn set_condition(
    conditions: &mut Vec<Condition>,
    status: &str,
    reason: &str,
    message: String,
    generation: i64,
    now: Timestamp,
) {
    const KIND: &str = "DisruptionAllowed";
    let before = conditions
        .iter()
        .find(|condition| condition.type_ == KIND && condition.status == status);
    let since = before.map_or(Time(now), |condition| condition.last_transition_time.clone());
    conditions.retain(|condition| condition.type_ != KIND);
    conditions.push(Condition {
        type_: KIND.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: since,
        observed_generation: Some(generation),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, ready: &str) -> Arc<Pod> {
        Arc::new(serde_json::from_value(json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}})).unwrap())
    }

    #[test]
    fn budgets_by_number_and_percentage() {
        for (spec, want) in [
            (json!({"minAvailable": 2}), (3, 2)),
            (json!({"minAvailable": "50%"}), (5, 3)),
            (json!({"maxUnavailable": 1}), (5, 4)),
            (json!({"maxUnavailable": "30%"}), (5, 3)),
            (json!({"maxUnavailable": 9}), (5, 0)),
        ] {
            let parsed: PodDisruptionBudgetSpec = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(expected_and_desired(&parsed, 3, 5), want, "{spec}");
        }
    }

    #[test]
    fn announced_evictions_count_as_gone_for_a_while() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let pods = [pod("a", "True"), pod("b", "True"), pod("c", "True")];
        let old = PodDisruptionBudgetStatus {
            disrupted_pods: Some(
                [
                    ("a".to_owned(), Time(at(100))),
                    ("gone".to_owned(), Time(at(100))),
                ]
                .into(),
            ),
            ..PodDisruptionBudgetStatus::default()
        };
        let (left, recheck) = pending(&old, &pods, at(150));
        assert_eq!((left.len(), recheck), (1, Some(70)));
        assert_eq!(
            status(&old, 1, &pods, (3, 2), left, at(150)).disruptions_allowed,
            Some(0)
        );
        let (left, recheck) = pending(&old, &pods, at(221));
        assert_eq!((left.len(), recheck), (0, None));
        let made = status(&old, 1, &pods, (3, 2), left, at(221));
        assert_eq!(
            (made.disruptions_allowed, made.current_healthy),
            (Some(1), Some(3))
        );
        assert_eq!(
            status(&old, 1, &[], (0, 0), BTreeMap::new(), at(221)).disruptions_allowed,
            Some(0)
        );
    }
}
