//! How webhooks answered and what conditions kept from them, under upstream's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    name: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Matched {
    r#type: &'static str,
    name: String,
}

/// Upstream's default buckets.
const DURATIONS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upstream's.
const CONDITIONS: [f64; 7] = [0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25];

/// How a question to a webhook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Success,
    Timeout,
    Error,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Timeout => "timeout",
            Self::Error => "error",
        }
    }
}

/// Of all webhooks of the chain, also of those that reloads have taken away.
pub struct WebhookMetrics {
    evaluations: Family<Answered, Counter>,
    durations: Family<Answered, Histogram, fn() -> Histogram>,
    failed_open: Family<Answered, Counter>,
    condition_errors: Family<Matched, Counter>,
    exclusions: Family<Matched, Counter>,
    condition_durations: Family<Matched, Histogram, fn() -> Histogram>,
}

impl Default for WebhookMetrics {
    fn default() -> Self {
        Self {
            evaluations: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            failed_open: Family::default(),
            condition_errors: Family::default(),
            exclusions: Family::default(),
            condition_durations: Family::new_with_constructor(|| Histogram::new(CONDITIONS)),
        }
    }
}

impl WebhookMetrics {
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("apiserver_authorization");
        registry.register(
            "webhook_evaluations",
            "Questions to authorization webhooks",
            self.evaluations.clone(),
        );
        registry.register(
            "webhook_duration_seconds",
            "Time until authorization webhooks answered",
            self.durations.clone(),
        );
        registry.register(
            "webhook_evaluations_fail_open",
            "Failures of authorization webhooks that were left to the next authorizer",
            self.failed_open.clone(),
        );
        registry.register(
            "match_condition_evaluation_errors",
            "Questions to authorizers whose match conditions failed",
            self.condition_errors.clone(),
        );
        registry.register(
            "match_condition_exclusions",
            "Questions that match conditions kept from authorizers",
            self.exclusions.clone(),
        );
        registry.register(
            "match_condition_evaluation_seconds",
            "Time that match conditions took",
            self.condition_durations.clone(),
        );
    }

    /// A webhook was asked.
    pub fn asked(&self, name: &str, ended: Ended, took: Duration) {
        let labels = answered(name, ended);
        self.evaluations.get_or_create(&labels).inc();
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// The failure was left to the next authorizer.
    pub fn failed_open(&self, name: &str, ended: Ended) {
        self.failed_open.get_or_create(&answered(name, ended)).inc();
    }

    /// Conditions were looked at; `held` is whether the webhook is to be asked, if that could be said.
    pub fn matched(&self, name: &str, held: Option<bool>, took: Duration) {
        let labels = Matched {
            r#type: "Webhook",
            name: name.to_owned(),
        };
        let took = took.as_secs_f64();
        self.condition_durations.get_or_create(&labels).observe(took);
        match held {
            Some(true) => {}
            Some(false) => drop(self.exclusions.get_or_create(&labels).inc()),
            None => drop(self.condition_errors.get_or_create(&labels).inc()),
        }
    }
}

fn answered(name: &str, ended: Ended) -> Answered {
    Answered {
        name: name.to_owned(),
        result: ended.name(),
    }
}
