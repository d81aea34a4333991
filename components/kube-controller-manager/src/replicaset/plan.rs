//! How many pods to make or delete, and what the status is.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::selector::Selector;
use crate::workload::pods;

/// At most so many pods are made or deleted in one go.
const BURST: usize = 500;

#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    Create(usize),
    Delete(usize),
}

pub fn action(wanted: i32, active: usize) -> Action {
    let wanted = usize::try_from(wanted).unwrap_or(0);
    match wanted.cmp(&active) {
        std::cmp::Ordering::Equal => Action::Nothing,
        std::cmp::Ordering::Greater => Action::Create((wanted - active).min(BURST)),
        std::cmp::Ordering::Less => Action::Delete((active - wanted).min(BURST)),
    }
}

/// What is known about a set when its status is written.
pub struct Observed<'a> {
    pub spec: &'a ReplicaSetSpec,
    pub generation: i64,
    pub active: &'a [Arc<Pod>],
    pub terminating: usize,
    /// What the creation or deletion of pods failed with, and whether there were too few pods.
    pub failure: Option<(String, bool)>,
    pub now: Timestamp,
}

/// The status as it should be, given the one that was written last.
pub fn status(old: &ReplicaSetStatus, observed: &Observed<'_>) -> ReplicaSetStatus {
    let template_labels = observed
        .spec
        .template
        .as_ref()
        .and_then(|template| template.metadata.as_ref()?.labels.clone())
        .unwrap_or_default();
    let template_selector = Selector::of_map(&template_labels);
    let min_ready = observed.spec.min_ready_seconds.unwrap_or(0);
    let count = |wanted: &dyn Fn(&Pod) -> bool| {
        let count = observed.active.iter().filter(|pod| wanted(pod)).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    };
    ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: Some(count(&|pod| {
            template_selector.matches(pod.metadata.labels.as_ref())
        })),
        ready_replicas: Some(count(&pods::is_ready)),
        available_replicas: Some(count(&|pod| pods::is_available(pod, min_ready, observed.now))),
        terminating_replicas: Some(i32::try_from(observed.terminating).unwrap_or(i32::MAX)),
        observed_generation: Some(observed.generation),
        conditions: conditions(old.conditions.clone().unwrap_or_default(), observed),
    }
}

fn conditions(
    mut old: Vec<ReplicaSetCondition>,
    observed: &Observed<'_>,
) -> Option<Vec<ReplicaSetCondition>> {
    const FAILURE: &str = "ReplicaFailure";
    let known = old.iter().any(|condition| condition.type_ == FAILURE);
    match &observed.failure {
        Some((message, too_few)) if !known => old.push(ReplicaSetCondition {
            type_: FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(if *too_few { "FailedCreate" } else { "FailedDelete" }.to_owned()),
            message: Some(message.clone()),
            last_transition_time: Some(Time(observed.now)),
        }),
        None => old.retain(|condition| condition.type_ != FAILURE),
        Some(_) => {}
    }
    Some(old).filter(|conditions| !conditions.is_empty())
}

/// Whether the two say the same; absent counts as zero.
pub fn is_same(a: &ReplicaSetStatus, b: &ReplicaSetStatus) -> bool {
    let numbers = |status: &ReplicaSetStatus| {
        (
            status.replicas,
            status.fully_labeled_replicas.unwrap_or(0),
            status.ready_replicas.unwrap_or(0),
            status.available_replicas.unwrap_or(0),
            status.terminating_replicas,
            status.observed_generation.unwrap_or(0),
            status.conditions.clone().unwrap_or_default(),
        )
    };
    numbers(a) == numbers(b)
}
