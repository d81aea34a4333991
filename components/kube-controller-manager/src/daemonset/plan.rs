//! Which nodes get a daemon pod, which pods go, and the status.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::placement;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};

use super::template::{HASH_LABEL, target_node};
use crate::deployment::plan::resolve;
use crate::nodes::{self, tolerates};
use crate::owner::Meta as _;
use crate::workload::pods;

/// Whether a node is to get a pod, and whether one that is there may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    pub runs: bool,
    pub stays: bool,
}

/// `pod` is what the set would make, without a node.
pub fn fit(pod: &Pod, node: &Node) -> Fit {
    let Some(spec) = &pod.spec else {
        return Fit {
            runs: false,
            stays: false,
        };
    };
    let elsewhere = spec
        .node_name
        .as_deref()
        .is_some_and(|name| !name.is_empty() && name != node.name());
    if elsewhere || !placement::allows(spec, node) {
        return Fit {
            runs: false,
            stays: false,
        };
    }
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let bears = |effects: &[&str]| {
        nodes::taints(node)
            .iter()
            .filter(|taint| effects.contains(&taint.effect.as_str()))
            .all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, taint)))
    };
    Fit {
        runs: bears(&["NoSchedule", "NoExecute"]),
        stays: bears(&["NoExecute"]),
    }
}

/// Pods by the node that they are on or were made for.
pub fn by_node(all: &[Arc<Pod>]) -> BTreeMap<String, Vec<Arc<Pod>>> {
    let mut map: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in all {
        if let Some(node) = target_node(pod) {
            map.entry(node).or_default().push(pod.clone());
        }
    }
    map
}

/// What to change: nodes to make pods for, pods to delete, and ended pods that are deleted with an event.
#[derive(Debug, Default)]
pub struct Changes {
    pub create: Vec<String>,
    pub delete: Vec<Arc<Pod>>,
    pub ended: Vec<Arc<Pod>>,
}

pub fn max_surge(set: &DaemonSet, desired: i32) -> i32 {
    let rolling = set
        .spec
        .as_ref()
        .and_then(|spec| spec.update_strategy.as_ref()?.rolling_update.as_ref());
    resolve(
        rolling.and_then(|rolling| rolling.max_surge.as_ref()),
        desired,
        true,
    )
}

fn max_unavailable(set: &DaemonSet, desired: i32) -> i32 {
    let rolling = set
        .spec
        .as_ref()
        .and_then(|spec| spec.update_strategy.as_ref()?.rolling_update.as_ref());
    match rolling.and_then(|rolling| rolling.max_unavailable.as_ref()) {
        None => 1,
        value => resolve(value, desired, true),
    }
}

fn min_ready(set: &DaemonSet) -> i32 {
    set.spec
        .as_ref()
        .and_then(|spec| spec.min_ready_seconds)
        .unwrap_or(0)
}

fn has_hash(pod: &Pod, hash: &str) -> bool {
    pod.label(HASH_LABEL) == Some(hash)
}

/// One pod where one belongs, none elsewhere.
pub fn manage(
    set: &DaemonSet,
    fits: &[(Arc<Node>, Fit)],
    all: &[Arc<Pod>],
    hash: &str,
    now: Timestamp,
) -> Changes {
    let mut changes = Changes::default();
    let on = by_node(all);
    let desired = i32::try_from(fits.iter().filter(|(_, fit)| fit.runs).count()).unwrap_or(i32::MAX);
    let surging = max_surge(set, desired) > 0;
    for (node, fit) in fits {
        match on.get(node.name()) {
            None if fit.runs => changes.create.push(node.name().to_owned()),
            None => {}
            Some(pods) if !fit.stays => changes
                .delete
                .extend(pods.iter().filter(|pod| !pod.is_deleting()).cloned()),
            Some(pods) => keep_one(set, pods, hash, surging, now, &mut changes),
        }
    }
    // Pods that wait for a node that has gone. A bound one is the pod garbage collector's.
    for (name, pods) in &on {
        if !fits.iter().any(|(node, _)| node.name() == name) {
            let unbound = pods
                .iter()
                .filter(|pod| pods::node_name(pod).is_none() && !pod.is_deleting());
            changes.delete.extend(unbound.cloned());
        }
    }
    changes
}

fn keep_one(
    set: &DaemonSet,
    there: &[Arc<Pod>],
    hash: &str,
    surging: bool,
    now: Timestamp,
    changes: &mut Changes,
) {
    let mut running: Vec<&Arc<Pod>> = Vec::new();
    for pod in there.iter().filter(|pod| !pod.is_deleting()) {
        if pods::is_terminal(pod) {
            changes.ended.push(pod.clone())
        } else {
            running.push(pod)
        }
    }
    if running.len() < 2 {
        return;
    }
    running.sort_by_key(|pod| {
        (
            pods::node_name(pod).is_none(),
            pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
        )
    });
    if surging {
        // During a surge there are an old and a new one; the old goes when the new is available.
        let new = running.iter().position(|pod| has_hash(pod, hash));
        let old = running.iter().position(|pod| !has_hash(pod, hash));
        if let (Some(new), Some(old)) = (new, old) {
            let replaced = pods::is_available(running[new], min_ready(set), now);
            let extra = running
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != new && (*index != old || replaced));
            changes.delete.extend(extra.map(|(_, pod)| (*pod).clone()));
            return;
        }
    }
    changes
        .delete
        .extend(running[1..].iter().map(|pod| (*pod).clone()));
}

/// One step of a rolling update.
pub fn roll(
    set: &DaemonSet,
    fits: &[(Arc<Node>, Fit)],
    all: &[Arc<Pod>],
    hash: &str,
    now: Timestamp,
) -> Changes {
    let on = by_node(all);
    let nodes: Vec<&Arc<Node>> = fits
        .iter()
        .filter(|(_, fit)| fit.runs)
        .map(|(node, _)| node)
        .collect();
    let desired = i32::try_from(nodes.len()).unwrap_or(i32::MAX);
    let (surge, unavailable) = (max_surge(set, desired), max_unavailable(set, desired));
    let available = |pod: &Pod| pods::is_available(pod, min_ready(set), now);
    let mut changes = Changes::default();
    let mut busy = 0;
    let mut candidates: Vec<(String, Option<Arc<Pod>>)> = Vec::new();
    for node in nodes {
        let live = on
            .get(node.name())
            .into_iter()
            .flatten()
            .filter(|pod| !pod.is_deleting());
        let (new, old): (Vec<_>, Vec<_>) = live.cloned().partition(|pod| has_hash(pod, hash));
        match (new.first(), old.first()) {
            (None, Some(old)) if !available(old) => {
                if surge > 0 {
                    changes.create.push(node.name().to_owned())
                } else {
                    changes.delete.push(old.clone())
                }
            }
            (None, Some(old)) => candidates.push((node.name().to_owned(), Some(old.clone()))),
            (Some(new), None) => busy += i32::from(surge == 0 && !available(new)),
            (Some(new), Some(old)) if surge > 0 => {
                if available(new) {
                    changes.delete.push(old.clone())
                } else {
                    busy += 1
                }
            }
            // Nothing there yet, or two: being dealt with elsewhere.
            _ => busy += i32::from(surge == 0),
        }
    }
    let allowed = if surge > 0 { surge } else { unavailable };
    let room = usize::try_from((allowed - busy).max(0)).unwrap_or(0);
    for (node, old) in candidates.into_iter().take(room) {
        if surge > 0 {
            changes.create.push(node)
        } else {
            changes.delete.extend(old)
        }
    }
    changes
}

pub fn status(
    set: &DaemonSet,
    fits: &[(Arc<Node>, Fit)],
    all: &[Arc<Pod>],
    hash: &str,
    now: Timestamp,
) -> DaemonSetStatus {
    let on = by_node(all);
    let old = set.status.clone().unwrap_or_default();
    let (mut desired, mut current, mut mis, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0, 0);
    for (node, fit) in fits {
        let there = on.get(node.name());
        let bound = there.is_some_and(|pods| !pods.is_empty());
        if !fit.runs {
            mis += i32::from(bound);
            continue;
        }
        desired += 1;
        current += i32::from(bound);
        // The newest counts, as during a surge there are two.
        let newest = there.and_then(|pods| {
            pods.iter()
                .max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
        });
        let Some(pod) = newest else { continue };
        if pods::is_ready(pod) {
            ready += 1;
            available += i32::from(pods::is_available(pod, min_ready(set), now));
        }
        updated += i32::from(has_hash(pod, hash));
    }
    DaemonSetStatus {
        collision_count: old.collision_count,
        conditions: old.conditions,
        current_number_scheduled: current,
        desired_number_scheduled: desired,
        number_available: Some(available).filter(|number| *number != 0),
        number_misscheduled: mis,
        number_ready: ready,
        number_unavailable: Some(desired - available).filter(|number| *number != 0),
        observed_generation: Some(set.generation()),
        updated_number_scheduled: Some(updated).filter(|number| *number != 0),
    }
}
