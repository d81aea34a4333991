//! The status of a Deployment, computed from its ReplicaSets.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus, ReplicaSet,
};

use super::conditions::{self, condition};
use super::plan::{self, Set, wanted};
use crate::owner::Meta as _;

pub fn progress_deadline(spec: &DeploymentSpec) -> Option<i32> {
    spec.progress_deadline_seconds
        .filter(|seconds| *seconds != i32::MAX)
}

/// Counts and availability; other conditions are carried over.
pub fn calculate(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    new: Option<&Set>,
    all: &[Set],
    now: Timestamp,
) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let sum = |part: &dyn Fn(&ReplicaSet) -> i32| all.iter().map(|set| part(set)).sum::<i32>();
    let replicas = |set: &ReplicaSet| set.status.as_ref().map_or(0, |status| status.replicas);
    let available = sum(&plan::available);
    let terminating: Option<i32> = all
        .iter()
        .map(|set| set.status.as_ref().and_then(|status| status.terminating_replicas))
        .sum();
    let mut status = DeploymentStatus {
        observed_generation: Some(deployment.generation()),
        replicas: Some(sum(&replicas)),
        updated_replicas: Some(new.map_or(0, |set| replicas(set))),
        ready_replicas: Some(sum(&|set| {
            set.status
                .as_ref()
                .and_then(|status| status.ready_replicas)
                .unwrap_or(0)
        })),
        available_replicas: Some(available),
        unavailable_replicas: Some((plan::total(all) - available).max(0)),
        terminating_replicas: terminating,
        collision_count: old.collision_count,
        conditions: old.conditions,
    };
    let met = available >= wanted(spec) - plan::max_unavailable(spec);
    let (value, reason, message) = if met {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    conditions::set(
        &mut status,
        condition(conditions::AVAILABLE, value, reason, message.to_owned(), now),
    );
    status
}

/// The rollout has arrived: every wanted pod is of the newest set and available, and no other is left.
pub fn is_complete(deployment: &Deployment, spec: &DeploymentSpec, status: &DeploymentStatus) -> bool {
    let count = Some(wanted(spec));
    let or_zero = |number: Option<i32>| Some(number.unwrap_or(0));
    or_zero(status.updated_replicas) == count
        && or_zero(status.replicas) == count
        && or_zero(status.available_replicas) == count
        && status.observed_generation.unwrap_or(0) >= deployment.generation()
}

fn is_progressing(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let of_old_sets =
        |status: &DeploymentStatus| status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
    new.updated_replicas.unwrap_or(0) > old.updated_replicas.unwrap_or(0)
        || of_old_sets(new) < of_old_sets(old)
        || new.ready_replicas.unwrap_or(0) > old.ready_replicas.unwrap_or(0)
        || new.available_replicas.unwrap_or(0) > old.available_replicas.unwrap_or(0)
}

fn has_timed_out(spec: &DeploymentSpec, status: &DeploymentStatus, now: Timestamp) -> bool {
    let (Some(deadline), Some(progress)) = (
        progress_deadline(spec),
        conditions::get(status, conditions::PROGRESSING),
    ) else {
        return false;
    };
    match progress.reason.as_deref() {
        Some(conditions::NEW_SET_AVAILABLE) => false,
        Some(conditions::TIMED_OUT) => true,
        _ => progress
            .last_update_time
            .as_ref()
            .is_some_and(|time| time.0 + deadline.seconds() < now),
    }
}

/// The status during a rollout: [`calculate`], with progress and failures.
pub fn rollout(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    new: Option<&Set>,
    all: &[Set],
    now: Timestamp,
) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let mut status = calculate(deployment, spec, new, all, now);
    if progress_deadline(spec).is_none() {
        conditions::remove(&mut status, conditions::PROGRESSING);
    }
    let current = conditions::get(&old, conditions::PROGRESSING).cloned();
    let arrived = status.replicas == status.updated_replicas
        && current
            .as_ref()
            .is_some_and(|current| current.reason.as_deref() == Some(conditions::NEW_SET_AVAILABLE));
    if progress_deadline(spec).is_some() && !arrived {
        let subject = match new {
            Some(set) => format!("ReplicaSet {:?}", set.name()),
            None => format!("Deployment {:?}", deployment.name()),
        };
        let progress = |value, reason, what: &str| {
            condition(
                conditions::PROGRESSING,
                value,
                reason,
                format!("{subject} {what}."),
                now,
            )
        };
        if is_complete(deployment, spec, &status) {
            conditions::set(
                &mut status,
                progress(
                    "True",
                    conditions::NEW_SET_AVAILABLE,
                    "has successfully progressed",
                ),
            );
        } else if is_progressing(&old, &status) {
            let mut next = progress("True", "ReplicaSetUpdated", "is progressing");
            if let Some(current) = current.filter(|current| current.status == "True") {
                next.last_transition_time = current.last_transition_time;
            }
            // Always replaced: its update time is what the deadline counts from.
            conditions::remove(&mut status, conditions::PROGRESSING);
            conditions::set(&mut status, next);
        } else if has_timed_out(spec, &status, now) {
            conditions::set(
                &mut status,
                progress("False", conditions::TIMED_OUT, "has timed out progressing"),
            );
        }
    }
    match failure(new, all) {
        Some(failure) => conditions::set(&mut status, failure),
        None => conditions::remove(&mut status, conditions::REPLICA_FAILURE),
    }
    status
}

/// The failure of the newest set, else of any.
fn failure(new: Option<&Set>, all: &[Set]) -> Option<DeploymentCondition> {
    let of = |set: &Set| {
        let conditions = set.status.as_ref()?.conditions.as_ref()?;
        let failed = conditions
            .iter()
            .find(|condition| condition.type_ == conditions::REPLICA_FAILURE)?;
        Some(DeploymentCondition {
            type_: conditions::REPLICA_FAILURE.to_owned(),
            status: failed.status.clone(),
            reason: failed.reason.clone(),
            message: failed.message.clone(),
            last_transition_time: failed.last_transition_time.clone(),
            last_update_time: failed.last_transition_time.clone(),
        })
    };
    new.and_then(of).or_else(|| all.iter().find_map(of))
}

/// When to look again whether the deadline has passed, for a rollout that has not arrived.
pub fn deadline_check(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    status: &DeploymentStatus,
    now: Timestamp,
) -> Option<Duration> {
    let deadline = progress_deadline(spec)?;
    let progress = conditions::get(status, conditions::PROGRESSING)?;
    if is_complete(deployment, spec, status) || progress.reason.as_deref() == Some(conditions::TIMED_OUT) {
        return None;
    }
    let until = progress.last_update_time.as_ref()?.0 + deadline.seconds();
    let left = Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO);
    Some(left + Duration::from_secs(1))
}

/// Equality that takes an absent number for zero, as the API does.
pub fn is_same(a: &DeploymentStatus, b: &DeploymentStatus) -> bool {
    let key = |status: &DeploymentStatus| {
        (
            [
                status.replicas,
                status.updated_replicas,
                status.ready_replicas,
                status.available_replicas,
                status.unavailable_replicas,
            ]
            .map(|number| number.unwrap_or(0)),
            status.terminating_replicas,
            status.observed_generation,
            status.collision_count,
            status.conditions.clone().unwrap_or_default(),
        )
    };
    key(a) == key(b)
}

/// What pausing or resuming does to the progress condition: the deadline does not run meanwhile.
pub fn pause_condition(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    now: Timestamp,
) -> Option<DeploymentCondition> {
    progress_deadline(spec)?;
    let status = deployment.status.clone().unwrap_or_default();
    let reason =
        conditions::get(&status, conditions::PROGRESSING).and_then(|condition| condition.reason.as_deref());
    if reason == Some(conditions::TIMED_OUT) {
        return None;
    }
    let known = reason == Some(conditions::PAUSED);
    let make = |reason, message: &str| {
        condition(
            conditions::PROGRESSING,
            "Unknown",
            reason,
            message.to_owned(),
            now,
        )
    };
    match (spec.paused.unwrap_or(false), known) {
        (true, false) => Some(make(conditions::PAUSED, "Deployment is paused")),
        (false, true) => Some(make("DeploymentResumed", "Deployment is resumed")),
        _ => None,
    }
}
