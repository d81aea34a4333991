//! The scheduler's metrics, under upstream's names.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use daemon::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::queue::Lengths;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    result: &'static str,
    profile: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: &'static str,
}

/// Handles to the metrics; clones share them.
#[derive(Clone)]
pub struct SchedulerMetrics {
    attempts: Family<Attempt, Counter>,
    attempt_seconds: Family<Attempt, Histogram>,
    algorithm_seconds: Histogram,
    pod_attempts: Histogram,
    sli_seconds: Histogram,
    pending: Family<QueueLabel, Gauge>,
    preemption_attempts: Counter,
    victims: Histogram,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl SchedulerMetrics {
    pub fn register(metrics: &Metrics) -> Self {
        let made = Self {
            attempts: Family::default(),
            attempt_seconds: Family::new_with_constructor(seconds),
            algorithm_seconds: Histogram::new(exponential_buckets(0.000_001, 2.0, 20)),
            pod_attempts: Histogram::new(exponential_buckets(1.0, 2.0, 5)),
            sli_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 20)),
            pending: Family::default(),
            preemption_attempts: Counter::<u64, AtomicU64>::default(),
            victims: Histogram::new(exponential_buckets(1.0, 2.0, 7)),
        };
        metrics.register(|registry| {
            registry.register(
                "scheduler_schedule_attempts",
                "Number of attempts to schedule pods, by the result",
                made.attempts.clone(),
            );
            registry.register(
                "scheduler_scheduling_attempt_duration_seconds",
                "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
                made.attempt_seconds.clone(),
            );
            registry.register(
                "scheduler_scheduling_algorithm_duration_seconds",
                "Scheduling algorithm latency in seconds",
                made.algorithm_seconds.clone(),
            );
            registry.register(
                "scheduler_pod_scheduling_attempts",
                "Number of attempts to successfully schedule a pod",
                made.pod_attempts.clone(),
            );
            registry.register(
                "scheduler_pod_scheduling_sli_duration_seconds",
                "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue",
                made.sli_seconds.clone(),
            );
            registry.register(
                "scheduler_pending_pods",
                "Number of pending pods, by the queue type",
                made.pending.clone(),
            );
            registry.register(
                "scheduler_preemption_attempts",
                "Total preemption attempts in the cluster till now",
                made.preemption_attempts.clone(),
            );
            registry.register(
                "scheduler_preemption_victims",
                "Number of selected preemption victims",
                made.victims.clone(),
            );
        });
        made
    }

    pub fn attempt(&self, result: &'static str, profile: &str, took: Duration) {
        let labels = Attempt {
            result,
            profile: profile.to_owned(),
        };
        self.attempts.get_or_create(&labels).inc();
        self.attempt_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    pub fn algorithm(&self, took: Duration) {
        self.algorithm_seconds.observe(took.as_secs_f64());
    }

    pub fn scheduled(&self, attempts: u32, since_first_seen: Duration) {
        self.pod_attempts.observe(f64::from(attempts));
        self.sli_seconds.observe(since_first_seen.as_secs_f64());
    }

    pub fn preempted(&self, victims: usize) {
        self.preemption_attempts.inc();
        self.victims.observe(victims as f64);
    }

    pub fn set_pending(&self, lengths: Lengths) {
        for (queue, length) in [
            ("active", lengths.active),
            ("backoff", lengths.backoff),
            ("unschedulable", lengths.unschedulable),
            ("gated", lengths.gated),
        ] {
            self.pending
                .get_or_create(&QueueLabel { queue })
                .set(length as i64);
        }
    }
}
