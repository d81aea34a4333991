use super::words::{age, name, or_none, since};
use crate::value::{at, flag, int, list, text};
use apimachinery::meta;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summarize(pod);
    let restarts = match summary.last_restart {
        Some(when) if summary.restarts > 0 => format!("{} ({} ago)", summary.restarts, since(when, now)),
        _ => summary.restarts.to_string(),
    };
    let gates = list(pod, &["spec", "readinessGates"]);
    let passed = gates
        .iter()
        .filter(|gate| condition(pod, text(gate, &["conditionType"])) == Some("True"))
        .count();
    let gates = if gates.is_empty() {
        "<none>".to_owned()
    } else {
        format!("{passed}/{}", gates.len())
    };
    let ip = list(pod, &["status", "podIPs"])
        .first()
        .map_or("", |ip| text(ip, &["ip"]));
    vec![
        name(pod),
        json!(format!("{}/{}", summary.ready, summary.total)),
        json!(summary.reason),
        json!(restarts),
        age(pod, now),
        json!(or_none(ip)),
        json!(or_none(text(pod, &["spec", "nodeName"]))),
        json!(or_none(text(pod, &["status", "nominatedNodeName"]))),
        json!(gates),
    ]
}

/// Finished pods are marked, so that clients can hide them.
pub(super) fn conditions(pod: &Value) -> Option<Value> {
    let message = match text(pod, &["status", "phase"]) {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(
        json!([{"type": "Completed", "status": "True", "reason": text(pod, &["status", "phase"]), "message": message}]),
    )
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a str> {
    list(pod, &["status", "conditions"])
        .iter()
        .find(|condition| text(condition, &["type"]) == kind)
        .map(|condition| text(condition, &["status"]))
}

struct Summary<'a> {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<&'a str>,
}

/// Takes the latest of the times at which the container ended before.
fn note_restart<'a>(last: &mut Option<&'a str>, status: &'a Value) {
    let ended = text(status, &["lastState", "terminated", "finishedAt"]);
    if !ended.is_empty() && last.is_none_or(|last| last < ended) {
        *last = Some(ended);
    }
}

fn terminated_reason(terminated: &Value) -> String {
    match (
        text(terminated, &["reason"]),
        int(terminated, &["signal"]).unwrap_or(0),
    ) {
        ("", 0) => format!("ExitCode:{}", int(terminated, &["exitCode"]).unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn summarize(pod: &Value) -> Summary<'_> {
    let phase = text(pod, &["status", "phase"]);
    let mut reason = Some(text(pod, &["status", "reason"]))
        .filter(|reason| !reason.is_empty())
        .unwrap_or(phase)
        .to_owned();
    if list(pod, &["status", "conditions"]).iter().any(|condition| {
        text(condition, &["type"]) == "PodScheduled" && text(condition, &["reason"]) == "SchedulingGated"
    }) {
        reason = "SchedulingGated".into();
    }
    let init_specs = list(pod, &["spec", "initContainers"]);
    let restartable = |status: &Value| {
        init_specs
            .iter()
            .any(|spec| spec["name"] == status["name"] && text(spec, &["restartPolicy"]) == "Always")
    };
    let mut total = list(pod, &["spec", "containers"]).len();
    let (mut ready, mut restarts, mut restartable_restarts) = (0, 0, 0);
    let (mut last_restart, mut last_restartable) = (None, None);
    total += init_specs
        .iter()
        .filter(|spec| text(spec, &["restartPolicy"]) == "Always")
        .count();
    let mut initializing = false;
    for (index, status) in list(pod, &["status", "initContainerStatuses"]).iter().enumerate() {
        restarts += int(status, &["restartCount"]).unwrap_or(0);
        note_restart(&mut last_restart, status);
        if restartable(status) {
            restartable_restarts += int(status, &["restartCount"]).unwrap_or(0);
            note_restart(&mut last_restartable, status);
        }
        let terminated = at(status, &["state", "terminated"]);
        if terminated.is_object() && int(terminated, &["exitCode"]).unwrap_or(0) == 0 {
            continue;
        }
        if restartable(status) && flag(status, &["started"]) {
            ready += usize::from(flag(status, &["ready"]));
            continue;
        }
        let waiting = text(status, &["state", "waiting", "reason"]);
        reason = if terminated.is_object() {
            format!("Init:{}", terminated_reason(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", init_specs.len())
        };
        initializing = true;
        break;
    }
    if !initializing || condition(pod, "Initialized") == Some("True") {
        restarts = restartable_restarts;
        last_restart = last_restartable;
        let mut running = false;
        for status in list(pod, &["status", "containerStatuses"]).iter().rev() {
            restarts += int(status, &["restartCount"]).unwrap_or(0);
            note_restart(&mut last_restart, status);
            let waiting = text(status, &["state", "waiting", "reason"]);
            let terminated = at(status, &["state", "terminated"]);
            if !waiting.is_empty() {
                reason = waiting.to_owned();
            } else if terminated.is_object() {
                reason = terminated_reason(terminated);
            } else if flag(status, &["ready"]) && at(status, &["state", "running"]).is_object() {
                running = true;
                ready += 1;
            }
        }
        // A pod of which some containers are done and others run goes on.
        if reason == "Completed" && running {
            reason = if condition(pod, "Ready") == Some("True") {
                "Running".into()
            } else {
                "NotReady".into()
            };
        }
    }
    if meta::deletion_timestamp(pod).is_some() {
        if text(pod, &["status", "reason"]) == "NodeLost" {
            reason = "Unknown".into();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            reason = "Terminating".into();
        }
    }
    Summary {
        reason,
        ready,
        total,
        restarts,
        last_restart,
    }
}
