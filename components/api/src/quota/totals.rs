//! What a pod as a whole requests and is limited to.

use super::{Usage, amount};
use crate::value::list;
use serde_json::Value;

/// The amounts of a list such as `requests`, but those that are none.
pub fn amounts(list: &Value) -> Usage {
    list.as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), amount(value)?)))
        .collect()
}

fn add(total: &mut Usage, more: &Usage) {
    for (name, amount) in more {
        *total.entry(name.clone()).or_default() += *amount;
    }
}

fn raise(total: &mut Usage, floor: &Usage) {
    for (name, amount) in floor {
        let entry = total.entry(name.clone()).or_insert(*amount);
        if *entry < *amount {
            *entry = *amount;
        }
    }
}

fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// Whether the pod itself requests something or is limited, for all its containers.
pub(super) fn says_for_all(pod: &Value) -> bool {
    ["requests", "limits"].iter().any(|field| {
        let list = pod["spec"]["resources"][*field].as_object();
        list.is_some_and(|list| list.keys().any(|name| is_pod_level(name)))
    })
}

fn resize_is_infeasible(pod: &Value) -> bool {
    list(pod, &["status", "conditions"])
        .iter()
        .any(|condition| condition["type"] == "PodResizePending" && condition["reason"] == "Infeasible")
}

/// A container that is being resized counts with the largest of what it wants and what it has; with what it has, if
/// it can't get more.
fn of_container(container: &Value, statuses: &[Value], field: &str, infeasible: bool) -> Usage {
    let wanted = || amounts(&container["resources"][field]);
    let status = statuses.iter().find(|status| status["name"] == container["name"]);
    let Some(status) = status.filter(|status| status["resources"].is_object()) else {
        return wanted();
    };
    let mut held = amounts(&status["resources"][field]);
    if field == "requests" {
        raise(&mut held, &amounts(&status["allocatedResources"]));
    }
    if !infeasible {
        raise(&mut held, &wanted());
    }
    held
}

/// The sum over the containers and sidecars, or what an init container takes beside the sidecars started before it,
/// if that is more. `of` is asked about a container, and whether it is a sidecar.
fn sum(spec: &Value, field: &str, of: impl Fn(&Value, bool) -> Usage) -> Usage {
    let mut sum = Usage::new();
    for container in list(spec, &["containers"]) {
        add(&mut sum, &of(container, false));
    }
    let (mut sidecars, mut start) = (Usage::new(), Usage::new());
    for container in list(spec, &["initContainers"]) {
        if container["restartPolicy"] == "Always" {
            let own = of(container, true);
            add(&mut sidecars, &own);
            add(&mut sum, &own);
            raise(&mut start, &sidecars);
        } else {
            let mut own = amounts(&container["resources"][field]);
            add(&mut own, &sidecars);
            raise(&mut start, &own);
        }
    }
    raise(&mut sum, &start);
    sum
}

/// What a pod takes, or may take by what it has already. What it says for all its containers (`pod_level`) takes the
/// place of their sum, and the overhead comes on top; of limits only where there is one. `field` is `requests` or
/// `limits`.
pub fn pod_total(pod: &Value, field: &str, pod_level: bool) -> Usage {
    let spec = &pod["spec"];
    let infeasible = resize_is_infeasible(pod);
    let statuses = list(pod, &["status", "containerStatuses"]);
    let init_statuses = list(pod, &["status", "initContainerStatuses"]);
    let mut total = sum(spec, field, |container, sidecar| {
        let statuses = if sidecar { init_statuses } else { statuses };
        of_container(container, statuses, field, infeasible)
    });
    if pod_level {
        let whole = amounts(&spec["resources"][field]);
        total.extend(whole.into_iter().filter(|(name, _)| is_pod_level(name)));
    }
    let mut overhead = amounts(&spec["overhead"]);
    if field == "limits" {
        overhead.retain(|name, _| total.contains_key(name));
    }
    add(&mut total, &overhead);
    total
}

/// Likewise by the spec alone, without overhead: what limit ranges bound.
pub fn spec_total(pod: &Value, field: &str, pod_level: bool) -> Usage {
    let spec = &pod["spec"];
    let mut total = sum(spec, field, |container, _| {
        amounts(&container["resources"][field])
    });
    if pod_level {
        let whole = amounts(&spec["resources"][field]);
        total.extend(
            whole
                .into_iter()
                .filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory")),
        );
    }
    total
}
