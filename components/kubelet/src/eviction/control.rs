//! The loop that looks at the node and acts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::events::Type;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::local_storage::{excess, has_limits};
use super::message::low_on_resource;
use super::observe::{image_file_systems, observe, pod_use};
use super::rank::{is_critical, rank};
use super::signals::{Observations, Settings, Threshold};
use super::state::State;
use super::{Eviction, Pressures};
use crate::admission::is_over;
use crate::context::Shared;
use crate::manager::PodTable;
use crate::pod::members::PodView;
use crate::sources::Change;

/// Cheap looks: a few files of the kernel.
const EVERY: Duration = Duration::from_secs(2);
/// Limits of disk space need walks through directories.
const STORAGE_EVERY: Duration = Duration::from_secs(10);
/// An evicted pod is given this long to give back what it had before the next one has to go.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// After something was done its effect is waited for: freeing disk space and measuring pods is work too.
const REST: Duration = Duration::from_secs(5);
/// Upstream's: a container gets this long to end when the node cannot wait.
const AT_ONCE: u64 = 1;

/// Watches the node for the whole life of the kubelet.
pub struct EvictionControl {
    pub context: Shared,
    pub settings: Settings,
    pub pressures: Pressures,
    pub table: PodTable,
    /// Unbounded as the pods' sources are: one message for each evicted pod.
    pub changes: UnboundedSender<Change>,
}

impl EvictionControl {
    /// Runs until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut state = State::default();
        let mut looks = tokio::time::interval(EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut places = (None, None);
        let mut storage_looked_at: Option<Instant> = None;
        let mut leaving: Option<(Instant, Arc<Pod>)> = None;
        let mut acted: Option<Instant> = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = looks.tick() => {}
            }
            if places.0.is_none() {
                places = image_file_systems(&self.context).await.unwrap_or_default();
            }
            if storage_looked_at.is_none_or(|at| at.elapsed() >= STORAGE_EVERY) {
                storage_looked_at = Some(Instant::now());
                self.keep_storage_limits().await;
            }
            let seen = self.observe(&places);
            let verdict = state.step(
                &self.settings.thresholds,
                &seen,
                self.settings.transition,
                Instant::now(),
            );
            self.pressures.set(verdict.pressures);
            let still_there =
                |(since, pod): &(Instant, Arc<Pod>)| since.elapsed() < GONE_WITHIN && self.is_running(pod);
            if leaving.as_ref().is_some_and(still_there) {
                continue;
            }
            leaving = None;
            let rested = acted.is_none_or(|at| at.elapsed() >= REST);
            if let Some(threshold) = verdict
                .act_on
                .filter(|_| rested)
                .and_then(|index| self.settings.thresholds.get(index))
            {
                acted = Some(Instant::now());
                leaving = self
                    .act(threshold, &places, seen)
                    .await
                    .map(|pod| (Instant::now(), pod));
            }
        }
    }

    fn observe(&self, places: &(Option<PathBuf>, Option<PathBuf>)) -> Observations {
        observe(&self.context, places.0.as_deref(), places.1.as_deref())
    }

    /// Whether an evicted pod may still have something to give back.
    fn is_running(&self, pod: &Pod) -> bool {
        self.table.contains(pod.uid())
            && self
                .context
                .cgroups
                .cgroups()
                .exists(&self.context.cgroups.path(pod))
    }

    /// Frees what nobody uses, and if that is not enough, evicts one pod, which is returned.
    async fn act(
        &self,
        threshold: &Threshold,
        places: &(Option<PathBuf>, Option<PathBuf>),
        seen: Observations,
    ) -> Option<Arc<Pod>> {
        let resource = threshold.signal.resource();
        tracing::warn!(
            signal = threshold.signal.name(),
            "the node is running out of something"
        );
        self.context.node_event(
            Type::Warning,
            "EvictionThresholdMet",
            format!("Attempting to reclaim {resource}"),
        );
        let mut seen = seen;
        if threshold.signal.is_disk() {
            crate::housekeeping::free_disk(&self.context.runtime, &self.table).await;
            seen = self.observe(places);
            if !seen
                .get(&threshold.signal)
                .is_some_and(|now| threshold.is_crossed(*now, true))
            {
                return None;
            }
        }
        let observation = *seen.get(&threshold.signal)?;
        let mut active = self.table.list();
        active.retain(|pod| !is_over(pod) && !pod.is_deleted());
        let measured = threshold.signal.is_disk();
        let mut used = match pod_use(&self.context, &active, |_| measured).await {
            Ok(used) => used,
            Err(error) => {
                tracing::warn!(%error, "the pods' use cannot be measured, nobody is evicted");
                return None;
            }
        };
        rank(&mut used, threshold.signal);
        let first = used.iter().find(|used| !is_critical(&used.pod));
        let Some(first) = first else {
            tracing::warn!(signal = threshold.signal.name(), "no pod may be evicted");
            return None;
        };
        let grace = match threshold.grace {
            None => AT_ONCE,
            Some(_) => self.settings.longest_grace.max(AT_ONCE),
        };
        self.evict(
            &first.pod,
            threshold.signal.name(),
            low_on_resource(first, threshold, observation),
            Some(grace),
        );
        Some(first.pod.clone())
    }

    fn evict(&self, pod: &Arc<Pod>, signal: &'static str, message: String, grace: Option<u64>) {
        self.context.metrics.evicted(signal);
        self.context
            .event(pod, None, Type::Warning, "Evicted", message.clone());
        let eviction = Eviction { message, grace };
        // Closed only when the kubelet stops, which leaves pods as they are.
        let _ = self.changes.send(Change::Evict(pod.clone(), eviction));
    }

    async fn keep_storage_limits(&self) {
        let mut limited = self.table.list();
        self.context.disk.retain(&limited);
        limited.retain(|pod| has_limits(pod) && !is_over(pod) && !pod.is_deleted());
        if limited.is_empty() {
            return;
        }
        let used = match pod_use(&self.context, &limited, |_| true).await {
            Ok(used) => used,
            Err(error) => return tracing::warn!(%error, "the pods' disk space cannot be measured"),
        };
        for used in used.iter().filter(|used| !is_critical(&used.pod)) {
            let disk = self
                .context
                .disk
                .lately(
                    &used.pod,
                    &self.context.volumes.root,
                    &self.context.settings.pod_logs,
                )
                .await;
            let volumes = disk
                .volumes
                .iter()
                .map(|(name, (bytes, _))| (name.clone(), *bytes))
                .collect();
            if let Some(excess) = excess(&used.pod, &volumes, &used.containers) {
                self.evict(&used.pod, excess.signal, excess.message, Some(AT_ONCE));
            }
        }
    }
}
