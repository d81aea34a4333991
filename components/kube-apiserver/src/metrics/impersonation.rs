//! Acting as somebody else, under upstream's names.

use super::timed::{DOUBLING, Timed};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::Registry;
use std::time::Duration;
use storage::metrics::AtomicHistogram;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ModeLabels {
    /// The way in which it was allowed; empty when none allowed it.
    mode: &'static str,
    decision: &'static str,
}

impl ModeLabels {
    fn of(mode: &'static str, allowed: bool) -> Self {
        let decision = if allowed { "allowed" } else { "denied" };
        Self { mode, decision }
    }
}

#[derive(Clone, Debug)]
pub struct ImpersonationMetrics {
    attempts: Timed<ModeLabels>,
    checks: Timed<ModeLabels>,
}

impl Default for ImpersonationMetrics {
    fn default() -> Self {
        let histogram = || AtomicHistogram::new(&DOUBLING);
        Self {
            attempts: Timed::new(histogram),
            checks: Timed::new(histogram),
        }
    }
}

impl ImpersonationMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("apiserver_impersonation");
        registry.register(
            "attempts",
            "Requests to act as somebody else",
            metrics.attempts.counts.clone(),
        );
        registry.register(
            "attempts_duration_seconds",
            "Time to decide whether one may act as somebody else",
            metrics.attempts.durations.clone(),
        );
        registry.register(
            "authorization_attempts",
            "Questions that were asked to decide whether one may act as somebody else",
            metrics.checks.counts.clone(),
        );
        registry.register(
            "authorization_attempts_duration_seconds",
            "Time to answer one of these questions",
            metrics.checks.durations.clone(),
        );
        metrics
    }

    /// A request came to its end with a way that allowed it, or with none.
    pub fn attempted(&self, allowed_by: Option<&'static str>, elapsed: Duration) {
        let labels = ModeLabels::of(allowed_by.unwrap_or(""), allowed_by.is_some());
        self.attempts.observe(&labels, elapsed);
    }

    /// One question of one way was answered.
    pub fn checked(&self, mode: &'static str, allowed: bool, elapsed: Duration) {
        self.checks.observe(&ModeLabels::of(mode, allowed), elapsed);
    }
}
