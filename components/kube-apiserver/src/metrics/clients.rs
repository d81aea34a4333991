//! Requests that this server makes of webhooks, under the names that upstream's client has for them. One set for the
//! process: clients come and go with configurations.

use super::timed::Durations;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;
use storage::metrics::AtomicHistogram;

/// Upstream's, from 5 ms to a minute.
const DURATIONS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];
/// What stands for the code where there was no answer.
const NO_ANSWER: &str = "<error>";

/// From 64 bytes to 16 MiB.
const SIZES: [f64; 11] = [
    64.0,
    256.0,
    512.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];

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
    request_sizes: Durations<HostLabels>,
    response_sizes: Durations<HostLabels>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    answers: Family::default(),
    durations: Family::new_with_constructor(|| AtomicHistogram::new(&DURATIONS)),
    request_sizes: Family::new_with_constructor(|| AtomicHistogram::new(&SIZES)),
    response_sizes: Family::new_with_constructor(|| AtomicHistogram::new(&SIZES)),
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
    registry.register(
        "rest_client_request_size_bytes",
        "What webhooks were sent",
        METRICS.request_sizes.clone(),
    );
    registry.register(
        "rest_client_response_size_bytes",
        "What webhooks answered, as far as it was read",
        METRICS.response_sizes.clone(),
    );
}

/// The series of one host, found once.
#[derive(Debug)]
pub struct Host {
    name: String,
    durations: AtomicHistogram,
    request_sizes: AtomicHistogram,
    response_sizes: AtomicHistogram,
    /// The usual answer.
    accepted: OnceLock<Counter>,
}

const METHOD: &str = "POST";
const OK: u16 = 200;

impl Host {
    /// `host` with its port.
    pub fn of(host: &str) -> Self {
        let labels = HostLabels {
            host: host.to_owned(),
            verb: METHOD,
        };
        Self {
            durations: METRICS.durations.get_or_create_owned(&labels),
            request_sizes: METRICS.request_sizes.get_or_create_owned(&labels),
            response_sizes: METRICS.response_sizes.get_or_create_owned(&labels),
            accepted: OnceLock::new(),
            name: labels.host,
        }
    }

    /// A POST of so many bytes was answered with `code` and a body of so many bytes, or not at all.
    pub fn posted(&self, sent: usize, code: Option<u16>, read: Option<usize>, elapsed: Duration) {
        match code {
            Some(OK) => self.accepted.get_or_init(|| answers(&self.name, code)).inc(),
            _ => answers(&self.name, code).inc(),
        };
        self.durations.observe(elapsed.as_secs_f64());
        self.request_sizes.observe(sent as f64);
        if let Some(read) = read {
            self.response_sizes.observe(read as f64);
        }
    }
}

fn answers(host: &str, code: Option<u16>) -> Counter {
    let labels = AnswerLabels {
        code: code.map_or_else(|| NO_ANSWER.to_owned(), |code| code.to_string()),
        host: host.to_owned(),
        method: METHOD,
    };
    METRICS.answers.get_or_create_owned(&labels)
}
