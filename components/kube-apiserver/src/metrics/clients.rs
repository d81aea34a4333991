//! Requests that this server makes of webhooks, under the names that upstream's client has for them. One set for the
//! process: clients come and go with configurations.

use super::timed::Durations;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::LazyLock;
use std::time::Duration;
use storage::metrics::AtomicHistogram;

/// Upstream's, from 5 ms to a minute.
const DURATIONS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];
/// What stands for the code where there was no answer.
const NO_ANSWER: &str = "<error>";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    code: String,
    host: String,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HostLabels {
    host: String,
    verb: &'static str,
}

struct Metrics {
    answers: Family<AnswerLabels, Counter>,
    durations: Durations<HostLabels>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    answers: Family::default(),
    durations: Family::new_with_constructor(|| AtomicHistogram::new(&DURATIONS)),
});

pub fn register(registry: &mut Registry) {
    registry.register(
        "rest_client_requests",
        "Requests to webhooks, by answer",
        METRICS.answers.clone(),
    );
    registry.register(
        "rest_client_request_duration_seconds",
        "Time until a webhook had answered",
        METRICS.durations.clone(),
    );
}

/// A POST to `host` was answered with `code`, or not at all.
pub fn posted(host: &str, code: Option<u16>, elapsed: Duration) {
    const METHOD: &str = "POST";
    let labels = AnswerLabels {
        code: code.map_or_else(|| NO_ANSWER.to_owned(), |code| code.to_string()),
        host: host.to_owned(),
        method: METHOD,
    };
    METRICS.answers.get_or_create(&labels).inc();
    let labels = HostLabels {
        host: host.to_owned(),
        verb: METHOD,
    };
    let durations = METRICS.durations.get_or_create(&labels);
    durations.observe(elapsed.as_secs_f64());
}
