//! Conversions of custom resources by webhooks, under upstream's names.

use super::timed::{DOUBLING, Durations, Timed};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::time::Duration;
use storage::metrics::AtomicHistogram;

/// Upstream's, from 5 ms to a minute.
const CALLS: [f64; 15] = [
    0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0,
];

/// What went wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Call,
    Malformed,
    Partial,
    InvalidObject,
}

impl Trouble {
    fn name(self) -> &'static str {
        match self {
            Self::Call => "conversion_webhook_call_failure",
            Self::Malformed => "conversion_webhook_malformed_response_failure",
            Self::Partial => "conversion_webhook_partial_response_failure",
            Self::InvalidObject => "conversion_webhook_invalid_converted_object_failure",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    result: &'static str,
    failure_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConversionLabels {
    crd_name: String,
    from_version: String,
    to_version: String,
    succeeded: &'static str,
}

#[derive(Clone, Debug)]
pub struct ConversionMetrics {
    calls: Timed<CallLabels>,
    conversions: Durations<ConversionLabels>,
}

impl ConversionMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Timed::new(|| AtomicHistogram::new(&CALLS)),
            conversions: Family::new_with_constructor(|| AtomicHistogram::new(&DOUBLING)),
        };
        registry.register(
            "apiserver_conversion_webhook_request",
            "Calls of conversion webhooks",
            metrics.calls.counts.clone(),
        );
        registry.register(
            "apiserver_conversion_webhook_duration_seconds",
            "Time that conversion webhooks took",
            metrics.calls.durations.clone(),
        );
        registry.register(
            "apiserver_crd_conversion_webhook_duration_seconds",
            "Time that conversions of custom resources by webhooks took",
            metrics.conversions.clone(),
        );
        metrics
    }

    /// Objects of a definition were converted, or were not.
    pub fn converted(
        &self,
        definition: String,
        (from, to): (&str, &str),
        outcome: Result<(), Trouble>,
        elapsed: Duration,
    ) {
        let labels = CallLabels {
            result: if outcome.is_ok() { "success" } else { "failure" },
            failure_type: outcome.err().map_or("", Trouble::name),
        };
        self.calls.observe(&labels, elapsed);
        let version = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
        let labels = ConversionLabels {
            crd_name: definition,
            from_version: version(from),
            to_version: version(to),
            succeeded: if outcome.is_ok() { "true" } else { "false" },
        };
        let durations = self.conversions.get_or_create(&labels);
        durations.observe(elapsed.as_secs_f64());
    }
}
