//! Numbers in the statuses of workloads: not negative, and no part above the whole.
use super::{non_negative, repeats};
use crate::value::{int, list};
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
        "Job" => Rules {
            numbers: &["active", "succeeded", "failed", "ready", "terminating"],
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
    if kind == "Job" {
        errors.extend(uncounted(new, &path.child("uncountedTerminatedPods")));
    }
    errors
}

/// Pods that ended and are not in the numbers yet, by how they ended.
fn uncounted(job: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let ended = |field: &'static str| list(job, &["status", "uncountedTerminatedPods", field]);
    for field in ["succeeded", "failed"] {
        let path = path.child(field);
        for (index, uid) in ended(field).iter().enumerate() {
            if uid.as_str().unwrap_or("").is_empty() {
                errors.push(Error::invalid(&path.index(index), uid, "must not be empty"));
            }
        }
        errors.extend(repeats(ended(field), &path));
    }
    let both = ended("failed").iter().enumerate();
    for (index, uid) in both.filter(|(_, uid)| ended("succeeded").contains(uid)) {
        errors.push(Error::duplicate(&path.child("failed").index(index), uid));
    }
    errors
}
