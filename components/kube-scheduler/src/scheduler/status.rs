//! What is written into the status of pods.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::core::Nomination;
use crate::model::Pod;

/// Why a pod is not scheduled, as its condition says it.
pub const UNSCHEDULABLE: &str = "Unschedulable";
pub const SCHEDULER_ERROR: &str = "SchedulerError";

/// A strategic merge patch of the pod's status that says why it has no node; None when it says so already.
pub fn unscheduled(
    pod: &Pod,
    reason: &str,
    message: &str,
    nomination: &Nomination,
    now: Timestamp,
) -> Option<Value> {
    let mut status = serde_json::Map::new();
    let before = pod
        .scheduled_condition
        .as_ref()
        .map(|(status, ..)| status.as_str());
    let same = pod
        .scheduled_condition
        .as_ref()
        .is_some_and(|(status, old_reason, old)| status == "False" && old_reason == reason && old == message);
    if !same {
        let mut condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastProbeTime": null,
        });
        if let Some(generation) = pod.generation {
            condition["observedGeneration"] = generation.into();
        }
        // The time of the last transition stays when the status does.
        if before != Some("False") {
            condition["lastTransitionTime"] = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
        }
        status.insert("conditions".to_owned(), json!([condition]));
    }
    match nomination {
        Nomination::Node(node) if pod.nominated_node.as_ref() != Some(node) => {
            status.insert("nominatedNodeName".to_owned(), node.as_str().into());
        }
        Nomination::Clear if pod.nominated_node.is_some() => {
            status.insert("nominatedNodeName".to_owned(), Value::Null);
        }
        _ => {}
    }
    (!status.is_empty()).then(|| patch(pod, status))
}

/// Takes the nomination back.
pub fn not_nominated(pod: &Pod) -> Value {
    patch(
        pod,
        [("nominatedNodeName".to_owned(), Value::Null)]
            .into_iter()
            .collect(),
    )
}

/// Says of a victim that it is deleted to make room.
pub fn disrupted(victim: &Pod, scheduler_name: &str, now: Timestamp) -> Value {
    let mut condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": format!("{scheduler_name}: preempting to accommodate a higher priority pod"),
        "lastProbeTime": null,
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    if let Some(generation) = victim.generation {
        condition["observedGeneration"] = generation.into();
    }
    patch(
        victim,
        [("conditions".to_owned(), json!([condition]))]
            .into_iter()
            .collect(),
    )
}

/// The UID makes sure that a namesake made meanwhile is not changed.
fn patch(pod: &Pod, status: serde_json::Map<String, Value>) -> Value {
    json!({"metadata": {"uid": &*pod.uid}, "status": status})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(condition: Option<(&str, &str, &str)>) -> Pod {
        let text = str::to_owned;
        Pod {
            uid: "u".into(),
            generation: Some(2),
            scheduled_condition: condition.map(|(a, b, c)| (text(a), text(b), text(c))),
            ..Pod::default()
        }
    }

    #[test]
    fn the_condition_is_written_only_when_it_changes() {
        let now = Timestamp::UNIX_EPOCH;
        let write = |pod: &Pod, nomination| unscheduled(pod, UNSCHEDULABLE, "m", &nomination, now);
        let first = write(&pod(None), Nomination::Keep).expect("written");
        let condition = &first["status"]["conditions"][0];
        assert_eq!(condition["lastTransitionTime"], "1970-01-01T00:00:00Z");
        assert_eq!(condition["observedGeneration"], 2);
        let known = pod(Some(("False", UNSCHEDULABLE, "m")));
        assert_eq!(write(&known, Nomination::Keep), None);
        assert_eq!(write(&known, Nomination::Clear), None);
        let nominated = write(&known, Nomination::Node("n1".to_owned())).expect("written");
        assert_eq!(nominated["status"], json!({"nominatedNodeName": "n1"}));
        let other = write(&pod(Some(("False", UNSCHEDULABLE, "old"))), Nomination::Keep).expect("written");
        assert_eq!(other["status"]["conditions"][0].get("lastTransitionTime"), None);
    }
}
