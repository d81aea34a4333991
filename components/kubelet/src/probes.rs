//! Probes: one task per probe of a running container.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::events::{Recorder, Type};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::context::pod_reference;
use crate::handlers::{Outcome, Target};
use crate::metrics::{ProbeMetrics, Probed};
use crate::pod::members::{PodView, Role, init_role};
use crate::pod::probe_state::{ProbeKind, ProbeTable};
use crate::runtime::{Observed, ObservedContainer, RunState, Runtime};

/// How often a probe is tried that cannot be done.
const ATTEMPTS: usize = 3;

/// Container ID and kind.
type Key = (String, ProbeKind);

struct Running {
    pod_uid: String,
    task: AbortHandle,
}

/// The probes of all pods; clones share them.
#[derive(Clone)]
pub struct Probes {
    runtime: Runtime,
    recorder: Recorder,
    metrics: ProbeMetrics,
    running: Arc<Mutex<HashMap<Key, Running>>>,
    results: Arc<Mutex<ProbeTable>>,
}

struct Job {
    probes: Probes,
    pod: Arc<Pod>,
    role: Role,
    container: Container,
    probe: Probe,
    kind: ProbeKind,
    container_id: String,
    started_at: Timestamp,
    pod_ip: String,
    poke: Arc<Notify>,
}

impl Probes {
    pub fn new(runtime: Runtime, recorder: Recorder, metrics: ProbeMetrics) -> Self {
        Self {
            runtime,
            recorder,
            metrics,
            running: Arc::default(),
            results: Arc::default(),
        }
    }

    /// Results of the given containers.
    pub fn results(&self, observed: &Observed) -> ProbeTable {
        let results = self.results.lock();
        observed
            .containers
            .iter()
            .filter_map(|container| Some((container.id.clone(), *results.get(&container.id)?)))
            .collect()
    }

    /// Takes over what was known before a restart of the kubelet, so that ready containers stay ready.
    pub fn adopt(&self, container_id: &str, started: bool, ready: bool) {
        let mut results = self.results.lock();
        let entry = results.entry(container_id.to_owned()).or_default();
        if started {
            entry.started.get_or_insert(true);
        }
        if ready {
            entry.ready.get_or_insert(true);
        }
    }

    /// Starts the probes of running containers and ends those of others. `poke` is told of changes.
    pub fn sync(&self, pod: &Arc<Pod>, observed: &Observed, pod_ip: &str, poke: &Arc<Notify>) {
        let mut wanted = Vec::new();
        let sidecars = pod
            .init_containers()
            .iter()
            .filter(|container| init_role(container) == Role::Sidecar)
            .map(|c| (Role::Sidecar, c));
        for (role, container) in
            sidecars.chain(pod.containers().iter().map(|container| (Role::App, container)))
        {
            let Some(running) = observed
                .container(&container.name)
                .filter(|observed| observed.state == RunState::Running)
            else {
                continue;
            };
            for (kind, probe) in [
                (ProbeKind::Startup, &container.startup_probe),
                (ProbeKind::Liveness, &container.liveness_probe),
                (ProbeKind::Readiness, &container.readiness_probe),
            ] {
                if let Some(probe) = probe {
                    wanted.push((role, container, running, kind, probe));
                }
            }
        }
        let mut table = self.running.lock();
        table.retain(|key, running| {
            let keep = running.pod_uid != pod.uid()
                || wanted
                    .iter()
                    .any(|(_, _, container, kind, _)| container.id == key.0 && *kind == key.1);
            if !keep {
                running.task.abort();
            }
            keep
        });
        for (role, container, running, kind, probe) in wanted {
            let key = (running.id.clone(), kind);
            if table.get(&key).is_some_and(|running| !running.task.is_finished()) {
                continue;
            }
            if kind == ProbeKind::Startup && self.started(&running.id) == Some(true) {
                continue;
            }
            let job = self.job(pod, role, container, running, kind, probe, pod_ip, poke);
            // Owned by this table: aborted when the container or the pod goes.
            let task = tokio::spawn(job.run()).abort_handle();
            table.insert(
                key,
                Running {
                    pod_uid: pod.uid().to_owned(),
                    task,
                },
            );
        }
    }

    fn job(
        &self,
        pod: &Arc<Pod>,
        role: Role,
        container: &Container,
        running: &ObservedContainer,
        kind: ProbeKind,
        probe: &Probe,
        pod_ip: &str,
        poke: &Arc<Notify>,
    ) -> Job {
        Job {
            probes: self.clone(),
            pod: pod.clone(),
            role,
            container: container.clone(),
            probe: probe.clone(),
            kind,
            container_id: running.id.clone(),
            started_at: running.started_at.unwrap_or_else(Timestamp::now),
            pod_ip: pod_ip.to_owned(),
            poke: poke.clone(),
        }
    }

    fn started(&self, container_id: &str) -> Option<bool> {
        self.results
            .lock()
            .get(container_id)
            .and_then(|results| results.started)
    }

    fn set(&self, container_id: &str, kind: ProbeKind, success: bool) -> bool {
        let mut results = self.results.lock();
        let entry = results.entry(container_id.to_owned()).or_default();
        let before = *entry;
        entry.set(kind, success);
        *entry != before
    }

    /// Ends the liveness and startup probes of a pod that is being stopped; readiness goes on being told.
    pub fn stop_restarting(&self, pod_uid: &str) {
        self.running.lock().retain(|key, running| {
            let keep = running.pod_uid != pod_uid || key.1 == ProbeKind::Readiness;
            if !keep {
                running.task.abort();
            }
            keep
        });
    }

    /// Ends all probes of a pod and forgets their results.
    pub fn forget(&self, pod_uid: &str, observed: &Observed) {
        self.running.lock().retain(|_, running| {
            if running.pod_uid == pod_uid {
                running.task.abort();
            }
            running.pod_uid != pod_uid
        });
        self.metrics.forget(pod_uid);
        let mut results = self.results.lock();
        for container in &observed.containers {
            results.remove(&container.id);
        }
    }
}

/// Consecutive results and whether their threshold was reached: pure.
#[derive(Debug, Default)]
struct Streak {
    last: Option<bool>,
    length: i32,
}

impl Streak {
    /// Some(result) when the threshold of this kind of result is reached.
    fn count(&mut self, success: bool, success_threshold: i32, failure_threshold: i32) -> Option<bool> {
        if self.last == Some(success) {
            self.length = self.length.saturating_add(1);
        } else {
            self.last = Some(success);
            self.length = 1;
        }
        let threshold = if success {
            success_threshold
        } else {
            failure_threshold
        };
        (self.length >= threshold.max(1)).then_some(success)
    }
}

impl Job {
    /// Whether the container is well; None when that could not be found out, which changes nothing.
    async fn ask(&self) -> Option<bool> {
        let target = Target {
            runtime: &self.probes.runtime,
            pod: &self.pod,
            container: &self.container,
            container_id: &self.container_id,
            pod_ip: &self.pod_ip,
        };
        let begun = Instant::now();
        let mut outcome = target.probe(&self.probe).await;
        for _ in 1..ATTEMPTS {
            if !matches!(outcome, Outcome::Unknown(_)) {
                break;
            }
            outcome = target.probe(&self.probe).await;
        }
        let kind = self.kind.word();
        let (success, complaint) = match outcome {
            Outcome::Success(_) => (Some(true), None),
            Outcome::Failure(output) => (Some(false), Some(format!("{kind} probe failed: {output}"))),
            Outcome::Unknown(error) => (
                None,
                Some(format!(
                    "{kind} probe errored and resulted in unknown state: {error}"
                )),
            ),
        };
        if let Some(message) = complaint {
            let reference = pod_reference(&self.pod, Some((self.role, &self.container.name)));
            let recorder = &self.probes.recorder;
            recorder.event(reference, Type::Warning, "Unhealthy", message);
        }
        let probed = Probed {
            namespace: self.pod.namespace(),
            pod: self.pod.name(),
            uid: self.pod.uid(),
            container: &self.container.name,
            kind: self.kind,
        };
        if let Some(success) = success {
            self.probes.metrics.count(probed, success, begun.elapsed());
        }
        success
    }

    async fn run(self) {
        let seconds = |value: Option<i32>, default: i32| {
            Duration::from_secs(u64::try_from(value.unwrap_or(default)).unwrap_or(0))
        };
        let period = seconds(self.probe.period_seconds, 10).max(Duration::from_secs(1));
        let initial = seconds(self.probe.initial_delay_seconds, 0);
        let age = Duration::try_from(Timestamp::now().duration_since(self.started_at)).unwrap_or_default();
        tokio::time::sleep(initial.saturating_sub(age)).await;
        let mut streak = Streak::default();
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // The other probes wait for the startup probe.
            if self.kind != ProbeKind::Startup
                && self.container.startup_probe.is_some()
                && self.probes.started(&self.container_id) != Some(true)
            {
                ticks.reset_after(Duration::from_secs(1).min(period));
                continue;
            }
            let Some(success) = self.ask().await else {
                continue;
            };
            let thresholds = (
                self.probe.success_threshold.unwrap_or(1),
                self.probe.failure_threshold.unwrap_or(3),
            );
            let Some(result) = streak.count(success, thresholds.0, thresholds.1) else {
                continue;
            };
            if self.probes.set(&self.container_id, self.kind, result) {
                self.poke.notify_one();
            }
            // A container that failed will be stopped; one that has started is not asked again.
            if self.kind == ProbeKind::Startup || (self.kind == ProbeKind::Liveness && !result) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_count_consecutive_results() {
        let mut streak = Streak::default();
        let results: Vec<_> = [false, false, true, false, false, false, true, true]
            .map(|success| streak.count(success, 2, 3))
            .into();
        assert_eq!(
            results,
            [None, None, None, None, None, Some(false), None, Some(true)]
        );
    }
}
