//! Running containers get the resources that their pod has been granted.

use std::sync::Arc;

use client::events::Type;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::{Done, Worker};
use crate::allocation::differ;
use crate::context::Shared;
use crate::pod::members::PodView;
use crate::pod::qos::oom_score_adj;
use crate::pod::resize::{Change, Resizing, changes};
use crate::pod::resources::container_resources;
use crate::pod::step::{Kill, KillCause};

/// Pause before a change that failed is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(10);

impl Worker {
    /// Begins what is to be done; returns when to look again.
    pub(super) fn resize(&mut self, pod: &Arc<Pod>) -> Option<Timestamp> {
        let settings = &self.context.settings;
        let changes = changes(pod, &self.observed, settings.cpu, settings.unified);
        let begins = self.resizing.containers.is_empty() && !changes.is_empty();
        self.resizing.containers = changes.iter().map(|change| change.name().to_owned()).collect();
        self.resizing.pending = self
            .input
            .borrow()
            .refused
            .clone()
            .map(|refusal| (refusal.reason, refusal.message));
        if changes.is_empty() {
            if !self.resize_busy && !Arc::ptr_eq(&self.sized_for, pod) {
                self.resizing.error = None;
                self.resize_pod(pod);
            }
            return None;
        }
        if begins {
            self.context
                .event(pod, None, Type::Normal, "ResizeStarted", "Pod resize started");
        }
        if let Some(at) = self.not_before(pod) {
            return Some(at);
        }
        let mut updates = Vec::new();
        for change in changes {
            match change {
                Change::Restart { id, name } if !self.busy.contains(&name) => {
                    let message = format!("Container {name} resize requires restart");
                    let kill = Kill {
                        id,
                        name,
                        message,
                        cause: KillCause::Changed,
                    };
                    self.kill(pod, kill, None);
                }
                Change::Restart { .. } => {}
                update => updates.push(update),
            }
        }
        if !updates.is_empty() && !self.resize_busy {
            self.resize_busy = true;
            let (context, pod, before) = (self.context.clone(), pod.clone(), self.sized_for.clone());
            self.operations.spawn(async move {
                let result = apply(&context, &before, &pod, updates).await;
                Done::Resized { pod, result }
            });
        }
        None
    }

    /// The pod's own group follows its containers, also when none of them had to change.
    fn resize_pod(&mut self, pod: &Arc<Pod>) {
        // A group that is still to be made is made for the pod as it is then.
        if self.observed.sandbox().is_none() || !differ(&self.sized_for, pod) {
            self.sized_for = pod.clone();
            return;
        }
        if self.not_before(pod).is_some() {
            return;
        }
        self.resize_busy = true;
        let (context, pod, before) = (self.context.clone(), pod.clone(), self.sized_for.clone());
        self.operations.spawn(async move {
            let result = apply(&context, &before, &pod, Vec::new()).await;
            Done::Resized { pod, result }
        });
    }

    /// The same change is not tried again at once.
    fn not_before(&self, pod: &Pod) -> Option<Timestamp> {
        let (tried, at) = self.resize_retry.as_ref()?;
        (*at > Timestamp::now() && !differ(tried, pod)).then_some(*at)
    }

    pub(super) fn take_resized(&mut self, pod: Arc<Pod>, result: Result<(), String>) {
        self.resize_busy = false;
        // Running containers that are known are not asked about again otherwise.
        self.observed.containers.clear();
        self.resize_retry = Timestamp::now()
            .checked_add(RETRY)
            .ok()
            .map(|at| (pod.clone(), at));
        match result {
            Ok(()) => {
                self.resizing.error = None;
                self.sized_for = pod;
            }
            Err(error) => {
                let message = format!("Pod resize failed: {error}");
                self.context
                    .event(&pod, None, Type::Warning, "ResizeError", message);
                self.resizing.error = Some(error);
            }
        }
    }

    /// What the status says of it.
    pub(super) fn resizing(&self) -> &Resizing {
        &self.resizing
    }
}

/// A group may never have less than its containers: it grows before them and shrinks after them.
async fn apply(context: &Shared, before: &Pod, pod: &Pod, updates: Vec<Change>) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    refuse_below_usage(context, &updates).await?;
    context
        .cgroups
        .widen(before, pod)
        .await
        .map_err(|error| text(&error))?;
    for change in updates {
        let Change::Update { id, name, .. } = change else {
            continue;
        };
        let Some((role, container)) = pod.member(&name) else {
            continue;
        };
        let settings = &context.settings;
        let score = oom_score_adj(pod, role, &container, settings.memory_capacity);
        let resources = container_resources(&container, score, settings.cpu, settings.unified);
        context
            .runtime
            .update_resources(&id, resources)
            .await
            .map_err(|error| format!("container {name}: {error}"))?;
    }
    context.cgroups.create(pod).await.map_err(|error| text(&error))?;
    context.cgroups.limit(pod).map_err(|error| text(&error))
}

/// The kernel would end a container that uses more than its new limit.
async fn refuse_below_usage(context: &Shared, updates: &[Change]) -> Result<(), String> {
    let lowered: Vec<(&str, i64)> = updates
        .iter()
        .filter_map(|change| match change {
            Change::Update {
                id,
                lowers_memory: Some(limit),
                ..
            } => Some((id.as_str(), *limit)),
            _ => None,
        })
        .collect();
    if lowered.is_empty() {
        return Ok(());
    }
    let stats = context
        .runtime
        .container_stats()
        .await
        .map_err(|error| error.to_string())?;
    for (id, limit) in lowered {
        let used = stats
            .iter()
            .find(|stats| stats.attributes.as_ref().is_some_and(|about| about.id == id))
            .and_then(|stats| stats.memory.as_ref()?.working_set_bytes.as_ref())
            .map_or(0, |bytes| bytes.value);
        if used > u64::try_from(limit).unwrap_or(0) {
            return Err(format!(
                "attempting to set container memory limit ({limit}) below current usage ({used})"
            ));
        }
    }
    Ok(())
}
