//! The loop: takes in what happened, decides about one pod at a time, carries decisions out beside it.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::core::{Core, Nomination, Step};
use super::effects::Effects;
use super::inputs::Input;
use super::status;
use crate::metrics::SchedulerMetrics;

/// Effects under way at once; beyond it deciding waits, so that memory stays bounded when the API is slow.
const EFFECTS: usize = 4096;
/// Inputs taken in between two decisions.
const INPUTS_PER_STEP: usize = 256;
const FLUSH_INTERVAL: Duration = Duration::from_secs(30);
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);

pub struct Scheduler {
    pub core: Core,
    pub effects: Effects,
    pub inputs: UnboundedReceiver<Input>,
    pub sender: UnboundedSender<Input>,
    pub metrics: SchedulerMetrics,
}

impl Scheduler {
    /// Runs until it is dropped. Dropping it ends the effects that are under way.
    pub async fn run(mut self) {
        let mut effects: JoinSet<()> = JoinSet::new();
        let mut flush = tokio::time::interval(FLUSH_INTERVAL);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut gauges = tokio::time::interval(GAUGE_INTERVAL);
        gauges.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            for _ in 0..INPUTS_PER_STEP {
                match self.inputs.try_recv() {
                    Ok(input) => self.take(input, &mut effects),
                    Err(_) => break,
                }
            }
            while let Some(ended) = effects.try_join_next() {
                log_panic(ended);
            }
            let started = Instant::now();
            if effects.len() < EFFECTS
                && let Some(step) = self.core.step(started)
            {
                self.carry_out(step, started, &mut effects);
                // Bindings and watches run on the same threads.
                tokio::task::yield_now().await;
                continue;
            }
            let backoff = self.core.queue.next_backoff().map(tokio::time::Instant::from_std);
            let backoff_ends = async {
                match backoff {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                input = self.inputs.recv() => match input {
                    Some(input) => self.take(input, &mut effects),
                    None => return,
                },
                Some(ended) = effects.join_next() => log_panic(ended),
                () = backoff_ends => {}
                _ = flush.tick() => self.core.queue.flush(Instant::now()),
                _ = gauges.tick() => self.metrics.set_pending(self.core.queue.lengths()),
            }
        }
    }

    fn take(&mut self, input: Input, effects: &mut JoinSet<()>) {
        let now = Instant::now();
        let core = &mut self.core;
        match input {
            Input::Pod(pod) => core.set_pod(pod, now),
            Input::PodGone(uid) => core.remove_pod(&uid, now),
            Input::Node(node) => core.set_node((*node).clone(), now),
            Input::NodeGone(name) => core.remove_node(&name, now),
            Input::Namespace(name, labels) => core.set_namespace(&name, labels, now),
            Input::Service((namespace, name), selector) => {
                core.cluster.workloads.set_service(&namespace, &name, selector);
            }
            Input::Controller(kind, (namespace, name), selector) => {
                core.cluster
                    .workloads
                    .set_controller(kind, &namespace, &name, selector);
            }
            Input::Budget(key, budget) => {
                let budgets = &mut core.cluster.disruption_budgets;
                match budget {
                    Some(budget) => budgets.insert(key, budget),
                    None => budgets.remove(&key),
                };
            }
            Input::Claim(key, claim) => core.set_claim(key, claim.map(|one| *one), now),
            Input::Volume(name, volume) => core.set_volume(&name, volume.map(|one| *one), now),
            Input::StorageClass(name, class) => core.set_storage_class(&name, class, now),
            Input::AttachLimits(node, limits) => core.set_attach_limits(&node, limits, now),
            Input::Bound(_, Ok(())) => {}
            Input::Bound(uid, Err(message)) => {
                if let Some(pod) = core.bind_failed(&uid, now) {
                    tracing::warn!(pod = pod.key(), error = message, "binding failed");
                    self.metrics.attempt("error", &pod.scheduler_name, Duration::ZERO);
                    let carry = self.effects.clone();
                    effects.spawn(async move {
                        carry
                            .report(&pod, status::SCHEDULER_ERROR, &message, &Nomination::Keep)
                            .await;
                    });
                }
            }
            Input::Preempted(_, Ok(())) => {}
            Input::Preempted(uid, Err(message)) => {
                tracing::warn!(uid, error = message, "preemption failed");
                core.preemption_failed(&uid, now);
            }
        }
    }

    fn carry_out(&mut self, step: Step, started: Instant, effects: &mut JoinSet<()>) {
        let elapsed = started.elapsed();
        self.metrics.algorithm(elapsed);
        let (carry, sender) = (self.effects.clone(), self.sender.clone());
        match step {
            Step::Bind(bind) => {
                tracing::debug!(
                    pod = bind.pod.key(),
                    node = bind.node,
                    evaluated = bind.evaluated,
                    feasible = bind.feasible,
                    "node found"
                );
                let metrics = self.metrics.clone();
                effects.spawn(async move {
                    let result = carry.bind(&bind).await;
                    if result.is_ok() {
                        let name = &bind.pod.scheduler_name;
                        metrics.attempt("scheduled", name, elapsed + started.elapsed());
                        metrics.scheduled(bind.attempts, bind.first_seen.elapsed());
                    }
                    // The receiver is gone only when scheduling has ended.
                    let _ = sender.send(Input::Bound(bind.pod.uid.to_string(), result));
                });
            }
            Step::Reject(reject) => {
                tracing::debug!(pod = reject.pod.key(), message = reject.message, "no node found");
                self.metrics
                    .attempt("unschedulable", &reject.pod.scheduler_name, elapsed);
                if !reject.victims.is_empty() {
                    self.metrics.preempted(reject.victims.len());
                }
                effects.spawn(async move {
                    let (pod, message) = (&reject.pod, &reject.message);
                    if !reject.victims.is_empty() || !reject.displaced.is_empty() {
                        let result = carry.preempt(&reject).await;
                        let _ = sender.send(Input::Preempted(pod.uid.to_string(), result));
                    }
                    carry
                        .report(pod, status::UNSCHEDULABLE, message, &reject.nomination)
                        .await;
                });
            }
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "carrying out a decision panicked");
    }
}
