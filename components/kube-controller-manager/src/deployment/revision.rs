//! The annotations by which a Deployment and its ReplicaSets remember revisions and sizes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use kube::Resource as _;
use kube::core::ObjectMeta;

use super::plan::{Set, max_surge, wanted};
use super::template;
use crate::owner::Meta as _;

pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";
pub const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Annotations that a ReplicaSet does not take over from its Deployment.
const OWN: [&str; 6] = [LAST_APPLIED, REVISION, HISTORY, DESIRED, MAXIMUM, ROLLBACK_TO];
/// Longest revision history, in characters.
const HISTORY_LENGTH: usize = 2000;

/// The revision of a ReplicaSet or Deployment; 0 without one.
pub fn revision(meta: &ObjectMeta) -> i64 {
    meta.annotations
        .as_ref()
        .and_then(|annotations| annotations.get(REVISION)?.parse().ok())
        .unwrap_or(0)
}

pub fn desired(set: &ReplicaSet) -> Option<i32> {
    set.annotation(DESIRED)?.parse().ok()
}

pub fn maximum(set: &ReplicaSet) -> Option<i32> {
    set.annotation(MAXIMUM)?.parse().ok()
}

/// Older first; of the same second by name.
pub fn by_creation(a: &ReplicaSet, b: &ReplicaSet) -> Ordering {
    let created = |set: &ReplicaSet| set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    created(a).cmp(&created(b)).then_with(|| a.name().cmp(b.name()))
}

/// The set of the current template (the oldest, should there be several), and all others.
pub fn split(spec: &DeploymentSpec, sets: &[Set]) -> (Option<Set>, Vec<Set>) {
    let new = sets
        .iter()
        .filter(|set| {
            let own = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
            own.is_some_and(|own| template::is_same(own, &spec.template))
        })
        .min_by(|a, b| by_creation(a, b))
        .cloned();
    let old = sets
        .iter()
        .filter(|set| new.as_ref().is_none_or(|new| new.uid() != set.uid()))
        .cloned()
        .collect();
    (new, old)
}

/// The revision that the newest set is to have.
pub fn next(old: &[Set]) -> i64 {
    old.iter().map(|set| revision(set.meta())).max().unwrap_or(0) + 1
}

/// The second newest revision; 0 when there is none.
pub fn last(sets: &[Set]) -> i64 {
    let mut revisions: Vec<_> = sets.iter().map(|set| revision(set.meta())).collect();
    revisions.sort_unstable();
    revisions.iter().rev().nth(1).copied().unwrap_or(0)
}

/// Gives the newest set its annotations. True when something has changed.
pub fn annotate_new(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    set: &mut ReplicaSet,
    revision: i64,
    exists: bool,
) -> bool {
    let annotations = set.metadata.annotations.get_or_insert_with(BTreeMap::new);
    let mut changed = false;
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !OWN.contains(&key.as_str()) && annotations.get(key) != Some(value) {
            annotations.insert(key.clone(), value.clone());
            changed = true;
        }
    }
    let before = annotations.get(REVISION).cloned();
    let number = match before.as_deref() {
        None | Some("") => 0,
        Some(text) => match text.parse::<i64>() {
            Ok(number) => number,
            // Somebody wrote into it; it is theirs now.
            Err(_) => return false,
        },
    };
    if number < revision {
        annotations.insert(REVISION.to_owned(), revision.to_string());
        changed = true;
        if let Some(before) = before {
            let history = extend_history(annotations.get(HISTORY).map(String::as_str), &before);
            annotations.insert(HISTORY.to_owned(), history);
        }
    }
    if !exists {
        changed |= annotate_sizes(spec, set);
    }
    changed
}

fn extend_history(history: Option<&str>, revision: &str) -> String {
    let mut all: Vec<&str> = history
        .unwrap_or_default()
        .split(',')
        .filter(|part| !part.is_empty())
        .collect();
    all.push(revision);
    while all.len() > 1 && all.iter().map(|part| part.len() + 1).sum::<usize>() > HISTORY_LENGTH {
        all.remove(0);
    }
    all.join(",")
}

/// Notes the sizes by which proportional scaling goes. True when something has changed.
pub fn annotate_sizes(spec: &DeploymentSpec, set: &mut ReplicaSet) -> bool {
    let annotations = set.metadata.annotations.get_or_insert_with(BTreeMap::new);
    let mut changed = false;
    for (key, number) in [(DESIRED, wanted(spec)), (MAXIMUM, wanted(spec) + max_surge(spec))] {
        let text = number.to_string();
        if annotations.get(key) != Some(&text) {
            annotations.insert(key.to_owned(), text);
            changed = true;
        }
    }
    changed
}

/// Whether an annotation belongs to the controller and not to the user.
pub fn is_own(key: &str) -> bool {
    OWN.contains(&key)
}
