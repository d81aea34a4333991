//! The arithmetic of rollouts: how large each ReplicaSet is to be.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Resource as _;

use super::revision;
use crate::owner::Meta as _;

pub type Set = Arc<ReplicaSet>;

/// One ReplicaSet's new size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    pub name: String,
    pub replicas: i32,
}

pub fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub fn available(set: &ReplicaSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|status| status.available_replicas)
        .unwrap_or(0)
}

pub fn total<'a>(sets: impl IntoIterator<Item = &'a Set>) -> i32 {
    sets.into_iter().map(|set| size(set)).sum()
}

pub fn wanted(spec: &DeploymentSpec) -> i32 {
    spec.replicas.unwrap_or(1)
}

pub fn is_rolling(spec: &DeploymentSpec) -> bool {
    spec.strategy
        .as_ref()
        .and_then(|strategy| strategy.type_.as_deref())
        .is_none_or(|kind| kind == "RollingUpdate")
}

/// A number, or a percentage of `of`; what cannot be read counts as zero.
pub fn resolve(value: Option<&IntOrString>, of: i32, round_up: bool) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => {
            let Some(percent) = text.strip_suffix('%').and_then(|text| text.parse::<i64>().ok()) else {
                return 0;
            };
            let product = percent.saturating_mul(i64::from(of));
            let result = if round_up {
                product.saturating_add(99).div_euclid(100)
            } else {
                product.div_euclid(100)
            };
            i32::try_from(result).unwrap_or(i32::MAX)
        }
    }
}

/// How many pods may be there beyond the wanted number, and how many of these may be missing.
/// When both come out as none, one may be missing, or nothing could ever move.
fn fenceposts(spec: &DeploymentSpec) -> (i32, i32) {
    let rolling = spec
        .strategy
        .as_ref()
        .and_then(|strategy| strategy.rolling_update.as_ref());
    let surge = resolve(
        rolling.and_then(|rolling| rolling.max_surge.as_ref()),
        wanted(spec),
        true,
    );
    let unavailable = resolve(
        rolling.and_then(|rolling| rolling.max_unavailable.as_ref()),
        wanted(spec),
        false,
    );
    if surge == 0 && unavailable == 0 {
        (0, 1)
    } else {
        (surge, unavailable)
    }
}

pub fn max_surge(spec: &DeploymentSpec) -> i32 {
    if is_rolling(spec) { fenceposts(spec).0 } else { 0 }
}

pub fn max_unavailable(spec: &DeploymentSpec) -> i32 {
    if is_rolling(spec) {
        fenceposts(spec).1.min(wanted(spec))
    } else {
        0
    }
}

/// The size the newest set may have now, given all the others.
pub fn new_set_size(spec: &DeploymentSpec, all: &[Set], new: &ReplicaSet) -> i32 {
    if !is_rolling(spec) {
        return wanted(spec);
    }
    let room = wanted(spec) + max_surge(spec) - total(all);
    if room <= 0 {
        return size(new);
    }
    size(new) + room.min(wanted(spec) - size(new))
}

/// The set to scale when no rollout is under way: the only one with replicas, or the newest.
pub fn active_or_latest(new: Option<&Set>, old: &[Set]) -> Option<Set> {
    let mut active = old.iter().chain(new).filter(|set| size(set) > 0);
    match (active.next(), active.next()) {
        (None, _) => new
            .or_else(|| old.iter().max_by(|a, b| revision::by_creation(a, b)))
            .cloned(),
        (Some(only), None) => Some(only.clone()),
        _ => None,
    }
}

/// The newest set has all the replicas, and they are available.
fn is_saturated(spec: &DeploymentSpec, new: Option<&Set>) -> bool {
    new.is_some_and(|set| {
        size(set) == wanted(spec)
            && revision::desired(set) == Some(wanted(spec))
            && available(set) == wanted(spec)
    })
}

/// Sizes after the Deployment itself was scaled: in the middle of a rollout each set keeps its share.
/// Sets whose size stays are listed too, since their annotations change.
pub fn scale(deployment: &Deployment, spec: &DeploymentSpec, new: Option<&Set>, old: &[Set]) -> Vec<Scale> {
    let to = |set: &Set, replicas: i32| Scale {
        name: set.name().to_owned(),
        replicas,
    };
    if let Some(set) = active_or_latest(new, old) {
        let changed = size(&set) != wanted(spec);
        return changed.then(|| to(&set, wanted(spec))).into_iter().collect();
    }
    if is_saturated(spec, new) {
        return old
            .iter()
            .filter(|set| size(set) > 0)
            .map(|set| to(set, 0))
            .collect();
    }
    if !is_rolling(spec) {
        return Vec::new();
    }
    let mut active: Vec<&Set> = old.iter().chain(new).filter(|set| size(set) > 0).collect();
    let allowed = if wanted(spec) > 0 {
        wanted(spec) + max_surge(spec)
    } else {
        0
    };
    let to_add = allowed - total(active.iter().copied());
    // The largest first; of equal ones growth favours the newer, shrinking takes from the older.
    active.sort_by(|a, b| {
        let newer = revision::by_creation(b, a);
        size(b)
            .cmp(&size(a))
            .then(if to_add > 0 { newer } else { newer.reverse() })
    });
    let mut added = 0;
    let mut scales: Vec<Scale> = active
        .iter()
        .map(|set| {
            let share = proportion(deployment, spec, set, to_add, added);
            added += share;
            to(set, size(set) + share)
        })
        .collect();
    if let Some(first) = scales.first_mut() {
        first.replicas = (first.replicas + to_add - added).max(0);
    }
    scales
}

fn proportion(deployment: &Deployment, spec: &DeploymentSpec, set: &Set, to_add: i32, added: i32) -> i32 {
    if size(set) == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let fraction = fraction(deployment, spec, set);
    if to_add > 0 {
        fraction.min(to_add - added)
    } else {
        fraction.max(to_add - added)
    }
}

/// By how much a set would change if it kept its share of the largest number of pods.
fn fraction(deployment: &Deployment, spec: &DeploymentSpec, set: &Set) -> i32 {
    if wanted(spec) == 0 {
        return -size(set);
    }
    let before = revision::maximum(set)
        .filter(|maximum| *maximum != 0)
        .unwrap_or_else(|| {
            deployment
                .status
                .as_ref()
                .and_then(|status| status.replicas)
                .unwrap_or(0)
        });
    if before == 0 {
        return 0;
    }
    let after = f64::from(wanted(spec) + max_surge(spec));
    (f64::from(size(set)) * after / f64::from(before)).round() as i32 - size(set)
}

/// Whether the Deployment was scaled since its sets' annotations were written.
pub fn is_scaling_event(spec: &DeploymentSpec, all: &[Set]) -> bool {
    all.iter()
        .filter(|set| size(set) > 0)
        .any(|set| revision::desired(set).is_some_and(|desired| desired != wanted(spec)))
}

/// How many pods the old sets may lose now without going below the promised availability.
fn may_be_removed(spec: &DeploymentSpec, new: &ReplicaSet, old: &[Set]) -> i32 {
    let everything = total(old) + size(new);
    let promised = wanted(spec) - max_unavailable(spec);
    everything - promised - (size(new) - available(new))
}

/// First step of shrinking old sets: their pods that are not available anyway, oldest sets first.
pub fn remove_unhealthy(spec: &DeploymentSpec, new: &ReplicaSet, old: &[Set]) -> Vec<Scale> {
    let mut left = may_be_removed(spec, new, old);
    let mut scales = Vec::new();
    for set in oldest_first(old) {
        let unhealthy = size(&set) - available(&set);
        let remove = left.min(unhealthy);
        if size(&set) == 0 || remove <= 0 {
            continue;
        }
        left -= remove;
        scales.push(Scale {
            name: set.name().to_owned(),
            replicas: size(&set) - remove,
        });
    }
    scales
}

/// Second step: available pods of old sets, as many as are available beyond the promise.
pub fn remove_healthy(spec: &DeploymentSpec, new: &ReplicaSet, old: &[Set]) -> Vec<Scale> {
    let promised = wanted(spec) - max_unavailable(spec);
    let mut left = old.iter().map(|set| available(set)).sum::<i32>() + available(new) - promised;
    let mut scales = Vec::new();
    for set in oldest_first(old) {
        let remove = left.min(size(&set));
        if remove <= 0 {
            continue;
        }
        left -= remove;
        scales.push(Scale {
            name: set.name().to_owned(),
            replicas: size(&set) - remove,
        });
    }
    scales
}

/// Whether old sets have anything that may be removed now.
pub fn old_sets_may_shrink(spec: &DeploymentSpec, new: &ReplicaSet, old: &[Set]) -> bool {
    total(old) > 0 && may_be_removed(spec, new, old) > 0
}

fn oldest_first(sets: &[Set]) -> Vec<Set> {
    let mut sorted = sets.to_vec();
    sorted.sort_by(|a, b| revision::by_creation(a, b));
    sorted
}

/// Old sets beyond the history limit, oldest revision first, that are empty and settled.
pub fn surplus_history(spec: &DeploymentSpec, old: &[Set]) -> Vec<Set> {
    let Some(limit) = spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else {
        return Vec::new();
    };
    let mut alive: Vec<Set> = old.iter().filter(|set| !set.is_deleting()).cloned().collect();
    let surplus = alive.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    alive.sort_by(|a, b| {
        revision::revision(a.meta())
            .cmp(&revision::revision(b.meta()))
            .then(revision::by_creation(a, b))
    });
    alive.truncate(surplus);
    alive.retain(|set| {
        let status = set.status.clone().unwrap_or_default();
        status.replicas == 0 && size(set) == 0 && set.generation() <= status.observed_generation.unwrap_or(0)
    });
    alive
}
