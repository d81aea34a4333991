//! Numbers in the statuses of workloads: not negative, and no part above the whole.
use super::non_negative;
use crate::value::int;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// What the numbers of a kind have to hold.
struct Rules {
    /// Numbers in the order in which upstream looks at them.
    numbers: &'static [&'static str],
    /// Parts of `replicas`.
    parts: &'static [&'static str],
    /// What is said when more are available than ready, if that is looked at.
    available: Option<&'static str>,
}

fn rules(kind: &str) -> Rules {
    const READY: Option<&str> = Some("cannot be greater than readyReplicas");
    match kind {
        "Deployment" => Rules {
            numbers: &[
                "observedGeneration",
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
                "unavailableReplicas",
                "terminatingReplicas",
                "collisionCount",
            ],
            parts: &["updatedReplicas", "readyReplicas", "availableReplicas"],
            available: READY,
        },
        "ReplicaSet" | "ReplicationController" => Rules {
            numbers: &[
                "replicas",
                "fullyLabeledReplicas",
                "readyReplicas",
                "availableReplicas",
                "terminatingReplicas",
                "observedGeneration",
            ],
            parts: &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
            available: READY,
        },
        "StatefulSet" => Rules {
            numbers: &[
                "replicas",
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
                "observedGeneration",
                "collisionCount",
            ],
            parts: &[
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
            ],
            available: Some("cannot be greater than status.readyReplicas"),
        },
        "DaemonSet" => Rules {
            numbers: &[
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
                "observedGeneration",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberUnavailable",
                "collisionCount",
            ],
            parts: &[],
            available: None,
        },
        "PodDisruptionBudget" => Rules {
            numbers: &[
                "disruptionsAllowed",
                "currentHealthy",
                "desiredHealthy",
                "expectedPods",
            ],
            parts: &[],
            available: None,
        },
        _ => Rules {
            numbers: &["currentReplicas", "desiredReplicas"],
            parts: &[],
            available: None,
        },
    }
}

pub(super) fn check(kind: &str, old: &Value, new: &Value) -> ErrorList {
    let rules = rules(kind);
    let path = Path::new("status");
    let number = |object: &Value, field: &str| int(object, &["status", field]).unwrap_or(0);
    let mut errors = non_negative(new, rules.numbers);
    for part in rules
        .parts
        .iter()
        .filter(|part| number(new, part) > number(new, "replicas"))
    {
        errors.push(Error::invalid(
            &path.child(part),
            number(new, part),
            "cannot be greater than status.replicas",
        ));
    }
    if let Some(why) = rules.available {
        let available = number(new, "availableReplicas");
        if available > number(new, "readyReplicas") {
            errors.push(Error::invalid(&path.child("availableReplicas"), available, why));
        }
    }
    if rules.numbers.contains(&"collisionCount")
        && number(new, "collisionCount") < number(old, "collisionCount")
    {
        errors.push(Error::invalid(
            &path.child("collisionCount"),
            number(new, "collisionCount"),
            "cannot be decremented",
        ));
    }
    errors
}
