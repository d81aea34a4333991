//! The task that runs one pod.
//!
//! It looks (at the spec, the runtime, the probes), decides with [`step`], starts operations, and waits for
//! whatever happens next: the end of an operation, an event of the runtime, a probe's verdict, a new spec, a
//! back-off that is over. It never waits inside an operation.

mod publish;
mod resize;
mod start;
mod stop;
mod terminate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::events::Type;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::allocation::Refusal;
use crate::context::Shared;
use crate::eviction::Eviction;
use crate::pod::back_off::BackOff;
use crate::pod::container_config::container_hash;
use crate::pod::members::PodView;
use crate::pod::phase::Phase;
use crate::pod::resize::Resizing;
use crate::pod::status::Reasons;
use crate::pod::step::{KillCause, Plan, Snapshot, step};
use crate::runtime::{Observed, RuntimeError};
use crate::volumes::{PreparedVolumes, VolumeError};
use start::StartError;

/// What a worker is told.
#[derive(Clone, Debug)]
pub struct PodInput {
    pub pod: Arc<Pod>,
    /// The object is gone from its source: stop the pod and leave nothing.
    pub removed: bool,
    /// The pod may not run here: reason and message.
    pub rejected: Option<(String, String)>,
    /// The pod has to leave.
    pub evicted: Option<Eviction>,
    /// Why it does not have the resources that its object asks for; `pod` says what it has.
    pub refused: Option<Refusal>,
}

/// How a worker is reached.
pub struct WorkerHandle {
    pub input: watch::Sender<PodInput>,
    pub poke: Arc<Notify>,
    /// Set when the content of volumes may have changed.
    pub refresh: Arc<std::sync::atomic::AtomicBool>,
}

/// What an operation brought about.
enum Done {
    Sandbox(Result<(), RuntimeError>),
    Volumes(Result<PreparedVolumes, VolumeError>),
    Started {
        name: String,
        result: Result<(), StartError>,
    },
    Killed {
        name: String,
    },
    Resized {
        pod: Arc<Pod>,
        result: Result<(), String>,
    },
}

/// How long to wait before the runtime is asked again after it failed.
const RUNTIME_RETRY: Duration = Duration::from_secs(1);
/// The state is looked at this often even if nothing seems to happen.
const SAFETY_RELIST: Duration = Duration::from_secs(60);
const VOLUME_FIRST_PAUSE: Duration = Duration::from_millis(500);
const VOLUME_LONGEST_PAUSE: Duration = Duration::from_secs(122);
/// Pause before a container is tried again whose making failed before anything ran.
const CONFIG_RETRY: Duration = Duration::from_secs(10);

/// The task's own state.
pub struct Worker {
    context: Shared,
    input: watch::Receiver<PodInput>,
    poke: Arc<Notify>,
    refresh: Arc<std::sync::atomic::AtomicBool>,
    shutdown: CancellationToken,
    observed: Observed,
    operations: JoinSet<Done>,
    busy: BTreeSet<String>,
    sandbox_busy: bool,
    /// The volumes are to be written anew.
    renew: bool,
    volumes_busy: bool,
    volumes: Option<PreparedVolumes>,
    volumes_retry: Option<(Timestamp, Duration)>,
    sandbox_retry: Option<Timestamp>,
    reasons: Reasons,
    retry_at: BTreeMap<String, Timestamp>,
    back_off: BackOff,
    status: PodStatus,
    said_back_off: BTreeMap<String, Timestamp>,
    resizing: Resizing,
    resize_busy: bool,
    /// What was tried last, and until when it is not tried again.
    resize_retry: Option<(Arc<Pod>, Timestamp)>,
    /// The pod as its group has been made for it.
    sized_for: Arc<Pod>,
}

impl Worker {
    pub fn new(
        context: Shared,
        input: watch::Receiver<PodInput>,
        poke: Arc<Notify>,
        refresh: Arc<std::sync::atomic::AtomicBool>,
        shutdown: CancellationToken,
    ) -> Self {
        let sized_for = input.borrow().pod.clone();
        let status = sized_for.status.clone().unwrap_or_default();
        let back_off = BackOff::new(Duration::from_secs(10), context.back_off_maximum);
        Self {
            context,
            input,
            poke,
            refresh,
            shutdown,
            observed: Observed::default(),
            operations: JoinSet::new(),
            busy: BTreeSet::new(),
            sandbox_busy: false,
            renew: false,
            volumes_busy: false,
            volumes: None,
            volumes_retry: None,
            sandbox_retry: None,
            reasons: Reasons::new(),
            retry_at: BTreeMap::new(),
            back_off,
            status,
            said_back_off: BTreeMap::new(),
            resizing: Resizing::default(),
            resize_busy: false,
            resize_retry: None,
            sized_for,
        }
    }

    /// Runs the pod until it is gone, or until the kubelet stops, which leaves its containers running.
    pub async fn run(mut self) {
        let first = self.input.borrow().pod.clone();
        self.adopt_results(&first);
        loop {
            if self.shutdown.is_cancelled() {
                return;
            }
            // Before the pod is read: an order that is taken after it could be for the next state of the pod, and would be
            // carried out on this one.
            self.renew |= self.refresh.swap(false, std::sync::atomic::Ordering::AcqRel);
            let input = self.input.borrow_and_update().clone();
            if let Err(error) = self.look(&input.pod).await {
                tracing::warn!(pod = %input.pod.full_name(), %error, "the runtime cannot be asked about a pod");
                self.pause(RUNTIME_RETRY).await;
                continue;
            }
            if input.removed || input.pod.is_deleted() {
                self.terminate().await;
                return;
            }
            if let Some((reason, message)) = &input.rejected {
                self.publish_rejected(&input.pod, reason, message);
                self.wait_for_input().await;
                continue;
            }
            if let (Some(eviction), false) = (&input.evicted, self.is_terminal()) {
                self.publish_evicted(&input.pod, &eviction.message);
            }
            if self.is_terminal() || self.deadline_passed(&input.pod) {
                self.finish(&input.pod).await;
                self.wait_for_input().await;
                continue;
            }
            let plan = self.decide(&input.pod);
            self.take_waiting(&input.pod, &plan);
            let resize = self.resize(&input.pod);
            self.publish(&input.pod, false);
            if plan.finished && self.busy.is_empty() && !self.sandbox_busy {
                self.publish(&input.pod, self.containers_done(&input.pod));
                if self.is_terminal() {
                    continue;
                }
            }
            let wake = self.execute(&input.pod, plan).into_iter().chain(resize).min();
            self.wait(wake).await;
        }
    }

    /// Looks at the runtime and keeps the probes in step with it.
    async fn look(&mut self, pod: &Arc<Pod>) -> Result<(), RuntimeError> {
        self.observed = self.context.runtime.observe(pod.uid(), &self.observed).await?;
        let ip = self.pod_ips(pod).into_iter().next().unwrap_or_default();
        self.context.probes.sync(pod, &self.observed, &ip, &self.poke);
        Ok(())
    }

    fn decide(&self, pod: &Pod) -> Plan {
        let probes = self.context.probes.results(&self.observed);
        step(&Snapshot {
            pod,
            observed: &self.observed,
            probes: &probes,
            busy: &self.busy,
            back_off: &self.back_off,
            hash: &container_hash,
            now: Timestamp::now(),
        })
    }

    /// Containers that wait because of what happened before say so, in status and event.
    fn take_waiting(&mut self, pod: &Pod, plan: &Plan) {
        for waiting in &plan.waiting {
            let value = (waiting.reason.to_owned(), waiting.message.clone());
            self.reasons.insert(waiting.name.clone(), value);
            let finished = self
                .observed
                .container(&waiting.name)
                .and_then(|last| last.finished_at)
                .unwrap_or_default();
            if self.said_back_off.insert(waiting.name.clone(), finished) != Some(finished) {
                let role = pod
                    .member(&waiting.name)
                    .map(|(role, _)| (role, waiting.name.as_str()));
                let message = format!(
                    "Back-off restarting failed container {} in pod {}",
                    waiting.name,
                    pod.full_name()
                );
                self.context.event(pod, role, Type::Warning, "BackOff", message);
            }
        }
    }

    /// Starts what the plan says; returns when to look again.
    fn execute(&mut self, pod: &Arc<Pod>, plan: Plan) -> Option<Timestamp> {
        let now = Timestamp::now();
        let mut wake = plan.wake_at;
        let mut wake_by = |at: Timestamp| wake = Some(wake.map_or(at, |earlier: Timestamp| earlier.min(at)));
        if let Some(at) = self.prepare_volumes(pod, now) {
            wake_by(at);
        }
        if let (Some(seconds), Some(start)) = (pod.view().active_deadline_seconds, &self.status.start_time) {
            wake_by(
                start
                    .0
                    .saturating_add(jiff::SignedDuration::from_secs(seconds))
                    .unwrap_or(now),
            );
        }
        if let Some(attempt) = plan.create_sandbox {
            match self.sandbox_retry.filter(|at| *at > now) {
                Some(at) => wake_by(at),
                None if self.sandbox_busy => {}
                None => self.create_sandbox(pod, attempt),
            }
        }
        for kill in plan.kills {
            let grace = match kill.cause {
                KillCause::Liveness => pod
                    .member(&kill.name)
                    .and_then(|(_, c)| c.liveness_probe)
                    .and_then(|p| p.termination_grace_period_seconds),
                KillCause::Startup => pod
                    .member(&kill.name)
                    .and_then(|(_, c)| c.startup_probe)
                    .and_then(|p| p.termination_grace_period_seconds),
                KillCause::Changed | KillCause::SandboxLost => None,
            };
            self.kill(pod, kill, grace);
        }
        if let (Some(volumes), Some(sandbox)) = (self.volumes.clone(), self.observed.sandbox().cloned()) {
            let in_order = pod.containers().iter().any(|container| {
                container
                    .lifecycle
                    .as_ref()
                    .is_some_and(|l| l.post_start.is_some())
            });
            for start in plan.starts {
                if let Some(at) = self.retry_at.get(&start.name).copied().filter(|at| *at > now) {
                    wake_by(at);
                    continue;
                }
                // A postStart hook holds back the containers after it, as upstream's order does.
                if in_order && !self.busy.is_empty() {
                    break;
                }
                self.start(pod, start, &volumes, &sandbox);
            }
        }
        wake
    }

    fn prepare_volumes(&mut self, pod: &Arc<Pod>, now: Timestamp) -> Option<Timestamp> {
        if self.volumes_busy {
            return None;
        }
        let refresh = std::mem::take(&mut self.renew);
        if refresh {
            // What was missing may be there now.
            let reasons = &self.reasons;
            self.retry_at.retain(|name, _| {
                reasons
                    .get(name)
                    .is_none_or(|(reason, _)| reason != "CreateContainerConfigError")
            });
        }
        let renew = self.volumes.as_ref().and_then(|volumes| volumes.renew_at);
        let due = self.volumes.is_none() || refresh || renew.is_some_and(|at| at <= now);
        if !due {
            return renew;
        }
        if let Some((at, _)) = self.volumes_retry.filter(|(at, _)| *at > now && !refresh) {
            return Some(at);
        }
        self.volumes_busy = true;
        let (context, pod) = (self.context.clone(), pod.clone());
        let pod_ips = self.pod_ips(&pod);
        self.operations
            .spawn(async move { Done::Volumes(start::prepare_volumes(&context, &pod, &pod_ips).await) });
        None
    }

    fn create_sandbox(&mut self, pod: &Arc<Pod>, attempt: u32) {
        self.sandbox_busy = true;
        let (context, pod, old) = (self.context.clone(), pod.clone(), self.observed.sandboxes.clone());
        self.operations
            .spawn(async move { Done::Sandbox(start::create_sandbox(&context, &pod, attempt, &old).await) });
    }

    /// Waits for the next thing that matters.
    async fn wait(&mut self, wake: Option<Timestamp>) {
        let now = Timestamp::now();
        let pause = wake.map_or(SAFETY_RELIST, |at| {
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        });
        // A little more, so that the moment has passed when it is looked at.
        let pause = pause.min(SAFETY_RELIST) + Duration::from_millis(5);
        tokio::select! {
            done = self.operations.join_next(), if !self.operations.is_empty() => match done {
                Some(Ok(done)) => self.take_done(done),
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => {}
            },
            changed = self.input.changed() => if changed.is_err() {
                // The owner of all workers is gone: the kubelet is stopping.
                self.shutdown.cancelled().await;
            },
            () = self.poke.notified() => {}
            () = self.shutdown.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    async fn wait_for_input(&mut self) {
        tokio::select! {
            _ = self.input.changed() => {}
            () = self.shutdown.cancelled() => {}
        }
    }

    fn take_done(&mut self, done: Done) {
        let pod = self.input.borrow().pod.clone();
        let now = Timestamp::now();
        let later = |pause: Duration| now.saturating_add(pause).unwrap_or(now);
        match done {
            Done::Sandbox(Ok(())) => {
                self.sandbox_busy = false;
                self.sandbox_retry = None;
                self.context.metrics.pod_started(true);
            }
            Done::Sandbox(Err(error)) => {
                self.sandbox_busy = false;
                self.context.metrics.pod_started(false);
                self.sandbox_retry = Some(later(Duration::from_secs(3)));
                let message = format!("Failed to create pod sandbox: {error}");
                self.context
                    .event(&pod, None, Type::Warning, "FailedCreatePodSandBox", message);
            }
            Done::Volumes(Ok(volumes)) => {
                self.volumes_busy = false;
                self.volumes_retry = None;
                self.volumes = Some(volumes);
            }
            Done::Volumes(Err(error)) => {
                self.volumes_busy = false;
                let pause = self.volumes_retry.map_or(VOLUME_FIRST_PAUSE, |(_, pause)| {
                    (pause * 2).min(VOLUME_LONGEST_PAUSE)
                });
                self.volumes_retry = Some((later(pause), pause));
                self.context
                    .event(&pod, None, Type::Warning, "FailedMount", error.to_string());
            }
            Done::Started { name, result } => {
                self.busy.remove(&name);
                if let Some((role, _)) = pod.member(&name) {
                    let failure = result.as_ref().err().map(|error| error.reason);
                    self.context.metrics.container_started(role, failure);
                }
                match result {
                    Ok(()) => {
                        self.reasons.remove(&name);
                        self.retry_at.remove(&name);
                    }
                    Err(error) => {
                        // What was made has its own back-off; what was not is tried again after a pause.
                        if !error.made {
                            self.retry_at.insert(
                                name.clone(),
                                error.retry_at.unwrap_or_else(|| later(CONFIG_RETRY)),
                            );
                        }
                        self.reasons
                            .insert(name, (error.reason.to_owned(), error.message));
                    }
                }
            }
            Done::Killed { name } => {
                self.busy.remove(&name);
            }
            Done::Resized { pod, result } => self.take_resized(pod, result),
        }
    }

    fn is_terminal(&self) -> bool {
        self.status
            .phase
            .as_deref()
            .and_then(Phase::parse)
            .is_some_and(Phase::is_terminal)
    }

    /// `activeDeadlineSeconds` is over: the pod fails.
    fn deadline_passed(&mut self, pod: &Pod) -> bool {
        let (Some(seconds), Some(start)) = (pod.view().active_deadline_seconds, &self.status.start_time)
        else {
            return false;
        };
        let passed = Timestamp::now().duration_since(start.0).as_secs() >= seconds;
        if passed {
            self.context.event(
                pod,
                None,
                Type::Normal,
                "DeadlineExceeded",
                "Pod was active on the node longer than the specified deadline",
            );
            self.publish_failed(
                pod,
                "DeadlineExceeded",
                "Pod was active on the node longer than the specified deadline",
            );
        }
        passed
    }
}
