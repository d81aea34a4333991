//! Pods: what they request and are limited to, under all the names that quotas have for it.

use super::{Surroundings, Usage, count, totals};
use crate::value::list;
use apimachinery::meta;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Devices by their class, as a pod asks for them.
const DEVICE_CLASS: &str = "deviceclass.resource.kubernetes.io/";

pub(super) fn covers(name: &str) -> bool {
    let plain = name
        .strip_prefix("requests.")
        .or_else(|| name.strip_prefix("limits."))
        .unwrap_or(name);
    name == "pods"
        || COMPUTE.contains(&plain)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
        || is_extended_request(name)
}

/// `requests.` before the name of somebody else's resource, or of a device class.
pub(super) fn is_extended_request(name: &str) -> bool {
    name.strip_prefix("requests.")
        .is_some_and(|resource| !is_native(name) || resource.starts_with(DEVICE_CLASS))
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    (!is_native(name) && !name.starts_with("requests.")) || name.starts_with(DEVICE_CLASS)
}

/// An ended pod, and one that should be gone already, is still an object but uses nothing.
fn is_over(pod: &Value, now: i64) -> bool {
    if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return true;
    }
    let Some(grace) = pod["metadata"]["deletionGracePeriodSeconds"].as_i64() else {
        return false;
    };
    meta::deletion_timestamp(pod)
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .is_some_and(|deletion| now > deletion.as_second().saturating_add(grace))
}

pub(super) fn usage(pod: &Value, surroundings: &Surroundings<'_>) -> Usage {
    if is_over(pod, surroundings.now) {
        return Usage::new();
    }
    let requests = totals::pod_total(pod, "requests", surroundings.pod_level);
    let limits = totals::pod_total(pod, "limits", surroundings.pod_level);
    let mut usage = named(&requests, &limits);
    usage.insert("pods".to_owned(), count(1));
    usage
}

/// Requests and limits under a quota's names.
fn named(requests: &Usage, limits: &Usage) -> Usage {
    let mut usage = Usage::new();
    for (name, amount) in requests {
        let plain = COMPUTE.contains(&name.as_str()) || name.starts_with("hugepages-");
        if plain {
            usage.insert(name.clone(), *amount);
        }
        if plain || is_extended(name) {
            usage.insert(format!("requests.{name}"), *amount);
        }
    }
    for (name, amount) in limits.iter().filter(|(name, _)| COMPUTE.contains(&name.as_str())) {
        usage.insert(format!("limits.{name}"), *amount);
    }
    usage
}

/// A quota on CPU or memory makes every container say how much it wants, unless the pod says it for all of them.
/// Upstream regrets it, and asks for nothing else.
pub(super) fn unsaid<'q>(
    names: impl Iterator<Item = &'q str>,
    pod: &Value,
    surroundings: &Surroundings<'_>,
) -> Option<String> {
    let required: Vec<(&str, &str, &str)> = names.filter_map(required).collect();
    if required.is_empty() || (surroundings.pod_level && totals::says_for_all(pod)) {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let containers = list(pod, &["spec", "containers"])
        .iter()
        .chain(list(pod, &["spec", "initContainers"]));
    for container in containers {
        for (name, field, resource) in &required {
            if container["resources"][*field].get(*resource).is_none() {
                let own = container["name"].as_str().unwrap_or("");
                missing.entry(name).or_default().insert(own);
            }
        }
    }
    if missing.is_empty() {
        return None;
    }
    let each = missing.iter().map(|(name, containers)| {
        let containers: Vec<&str> = containers.iter().copied().collect();
        format!("{name} for: {}", containers.join(","))
    });
    Some(format!("must specify {}", each.collect::<Vec<_>>().join("; ")))
}

/// Where a container says what a quota requires it to: the name, the list and the resource.
fn required(name: &str) -> Option<(&str, &'static str, &str)> {
    let (list, resource) = match name.split_once('.') {
        Some(("limits", resource)) => ("limits", resource),
        Some(("requests", resource)) => ("requests", resource),
        _ => ("requests", name),
    };
    matches!(resource, "cpu" | "memory").then_some((name, list, resource))
}
