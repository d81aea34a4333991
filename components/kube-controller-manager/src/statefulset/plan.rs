//! The next step of a StatefulSet, and its status.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};

use super::pod::{claims, ordinal, revision, set_identity};
use super::retention;
use crate::deployment::plan::resolve;
use crate::owner::Meta as _;
use crate::workload::pods;

#[derive(Debug, PartialEq)]
pub enum Action {
    /// Make the pod of an ordinal, of the revision of that name.
    Create(i32, String),
    Delete(Arc<Pod>),
    /// Write the pod again with its identity put right.
    Correct(Box<Pod>),
    /// Make those claims of an ordinal that are missing: its pod waits for them.
    CreateClaims(i32),
    /// Write claims again with other owners; the pod is the one that they are of.
    Own(Arc<Pod>, Vec<PersistentVolumeClaim>),
}

/// What the step is decided on.
pub struct View<'a> {
    pub set: &'a StatefulSet,
    pub spec: &'a StatefulSetSpec,
    pub pods: &'a [Arc<Pod>],
    /// The claim of a name, as last seen.
    pub claim: &'a (dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>> + Sync),
    pub current: &'a str,
    pub update: &'a str,
    pub collisions: i32,
    pub now: Timestamp,
}

impl View<'_> {
    fn start(&self) -> i32 {
        self.spec
            .ordinals
            .as_ref()
            .and_then(|ordinals| ordinals.start)
            .unwrap_or(0)
    }

    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn is_rolling(&self) -> bool {
        let strategy = self
            .spec
            .update_strategy
            .as_ref()
            .and_then(|strategy| strategy.type_.as_deref());
        strategy.is_none_or(|strategy| strategy == "RollingUpdate")
    }

    fn partition(&self) -> i32 {
        let rolling = self
            .spec
            .update_strategy
            .as_ref()
            .and_then(|strategy| strategy.rolling_update.as_ref());
        rolling.and_then(|rolling| rolling.partition).unwrap_or(0)
    }

    fn max_unavailable(&self) -> usize {
        let rolling = self
            .spec
            .update_strategy
            .as_ref()
            .and_then(|strategy| strategy.rolling_update.as_ref());
        let value = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        usize::try_from(resolve(value, self.replicas(), false))
            .unwrap_or(1)
            .max(1)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pods::phase(pod) == "Running"
            && pods::is_available(pod, self.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        self.is_available(pod) && !pod.is_deleting()
    }

    fn range(&self) -> std::ops::Range<i32> {
        self.start()..self.start().saturating_add(self.replicas())
    }

    /// The claims of an ordinal by name, and what is there under these.
    fn claims(
        &self,
        ordinal: i32,
    ) -> impl Iterator<Item = (PersistentVolumeClaim, Option<Arc<PersistentVolumeClaim>>)> + '_ {
        claims(self.set, self.spec, ordinal).into_iter().map(|claim| {
            let there = (self.claim)(claim.name());
            (claim, there)
        })
    }

    fn may_create(&self, ordinal: i32) -> bool {
        let name = format!("{}-{ordinal}", self.set.name());
        !self.claims(ordinal).any(|(_, there)| {
            there.is_some_and(|claim| retention::goes_with_an_earlier_pod(&claim, self.spec, &name))
        })
    }

    /// The claims of a pod whose owners are not what the retention policy says.
    pub fn misowned(&self, pod: &Pod, ordinal: i32) -> Vec<PersistentVolumeClaim> {
        let in_range = self.range().contains(&ordinal);
        self.claims(ordinal)
            .filter_map(|(_, there)| retention::corrected(&*there?, self.set, self.spec, pod, in_range))
            .collect()
    }

    /// The revision that a new pod of an ordinal gets.
    fn revision_for(&self, ordinal: i32) -> &str {
        let below = ordinal < self.start() + self.partition();
        if self.is_rolling() && below {
            self.current
        } else {
            self.update
        }
    }
}

fn is_running_and_ready(pod: &Pod) -> bool {
    pods::phase(pod) == "Running" && pods::is_ready(pod)
}

/// The counts as the pods are now, before any action.
pub fn status(view: &View<'_>) -> StatefulSetStatus {
    let (mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0);
    for pod in view.pods {
        if is_running_and_ready(pod) {
            ready += 1;
            available += i32::from(view.is_available(pod));
        }
        if !pod.is_deleting() {
            current += i32::from(revision(pod) == view.current);
            updated += i32::from(revision(pod) == view.update);
        }
    }
    let old = view.set.status.clone().unwrap_or_default();
    StatefulSetStatus {
        replicas: i32::try_from(view.pods.len()).unwrap_or(i32::MAX),
        ready_replicas: Some(ready).filter(|number| *number != 0),
        available_replicas: Some(available),
        current_replicas: Some(current).filter(|number| *number != 0),
        updated_replicas: Some(updated).filter(|number| *number != 0),
        current_revision: Some(view.current.to_owned()),
        update_revision: Some(view.update.to_owned()),
        collision_count: Some(view.collisions),
        observed_generation: Some(view.set.generation()),
        conditions: old.conditions,
    }
}

/// When every pod is of the new revision and ready, that becomes the current one.
pub fn complete_rollout(view: &View<'_>, status: &mut StatefulSetStatus) {
    if view.is_rolling()
        && view.partition() <= 0
        && status.updated_replicas.unwrap_or(0) == status.replicas
        && status.ready_replicas.unwrap_or(0) == status.replicas
        && status.replicas == view.replicas()
    {
        status.current_revision = status.update_revision.clone();
        status.current_replicas = status.updated_replicas;
    }
}

/// What to do now. Ordered sets do one thing at a time and wait for it.
pub fn step(view: &View<'_>) -> Vec<Action> {
    let by_ordinal: BTreeMap<i32, Arc<Pod>> = view
        .pods
        .iter()
        .filter_map(|pod| Some((ordinal(view.set, pod)?, pod.clone())))
        .collect();
    let range = view.range();
    let own = |pod: &Arc<Pod>, ordinal: i32| {
        let claims = view.misowned(pod, ordinal);
        (!claims.is_empty()).then(|| Action::Own(pod.clone(), claims))
    };
    let mut actions = Vec::new();
    for ordinal in range.clone() {
        let Some(pod) = by_ordinal.get(&ordinal) else {
            if view.may_create(ordinal) {
                actions.push(Action::Create(ordinal, view.revision_for(ordinal).to_owned()));
            }
            if view.is_ordered() {
                return actions;
            }
            continue;
        };
        if pods::is_terminal(pod) {
            // Made anew under the same name once it has gone.
            if !pod.is_deleting() {
                actions.push(Action::Delete(pod.clone()));
            }
            if view.is_ordered() {
                return actions;
            }
            continue;
        }
        if pods::phase(pod) == "Pending" && view.claims(ordinal).any(|(_, there)| there.is_none()) {
            actions.push(Action::CreateClaims(ordinal));
        }
        if view.is_ordered() && !view.is_healthy(pod) {
            return actions;
        }
        actions.extend(own(pod, ordinal));
        let mut corrected = pod.as_ref().clone();
        if !pod.is_deleting() && set_identity(&mut corrected, ordinal) {
            actions.push(Action::Correct(Box::new(corrected)));
        }
    }
    let outside = || {
        by_ordinal
            .iter()
            .rev()
            .filter(|(ordinal, _)| !range.contains(ordinal))
    };
    actions.extend(outside().filter_map(|(ordinal, pod)| own(pod, *ordinal)));
    let condemned: Vec<&Arc<Pod>> = outside().map(|(_, pod)| pod).collect();
    let first_unhealthy = range
        .clone()
        .filter_map(|ordinal| by_ordinal.get(&ordinal))
        .chain(condemned.iter().rev().copied())
        .find(|pod| !view.is_healthy(pod));
    for pod in condemned {
        if pod.is_deleting() {
            if view.is_ordered() {
                return actions;
            }
            continue;
        }
        let first = first_unhealthy.is_some_and(|first| first.uid() == pod.uid());
        if view.is_ordered() && !view.is_available(pod) && !first {
            return actions;
        }
        actions.push(Action::Delete(pod.clone()));
        if view.is_ordered() {
            return actions;
        }
    }
    if view.is_rolling() {
        actions.extend(update(view, &by_ordinal, range));
    }
    actions
}

/// Replaces pods of older revisions from the highest ordinal down, waiting for each to be healthy.
fn update(view: &View<'_>, by_ordinal: &BTreeMap<i32, Arc<Pod>>, range: std::ops::Range<i32>) -> Vec<Action> {
    let in_range = || range.clone().map(|ordinal| by_ordinal.get(&ordinal));
    let unhealthy = |pod: &Option<&Arc<Pod>>| pod.is_none_or(|pod| !view.is_healthy(pod));
    let mut missing = in_range().filter(unhealthy).count();
    let limit = view.max_unavailable();
    let mut actions = Vec::new();
    let first = range.start.saturating_add(view.partition());
    for ordinal in (first..range.end).rev() {
        let Some(pod) = by_ordinal.get(&ordinal) else {
            continue;
        };
        if revision(pod) != view.update && !pod.is_deleting() {
            // An unhealthy pod counts as missing already; replacing it makes nothing worse.
            if view.is_healthy(pod) {
                if missing >= limit {
                    return actions;
                }
                missing += 1;
            } else if missing > limit {
                return actions;
            }
            actions.push(Action::Delete(pod.clone()));
            if limit == 1 {
                return actions;
            }
        } else if limit == 1 && !view.is_healthy(pod) {
            return actions;
        }
    }
    actions
}
