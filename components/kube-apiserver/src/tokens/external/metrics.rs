//! What is counted of the signer, by upstream's names; of the process, as there is one signer.
use crate::metrics::timed::Durations;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use storage::metrics::AtomicHistogram;

const BUCKETS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabels {
    pub code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    pub method: String,
    pub code: String,
}

/// Times are in seconds since 1970.
pub struct SignerMetrics {
    pub keys_fetched: Gauge<f64, AtomicU64>,
    pub keys_made: Gauge<f64, AtomicU64>,
    pub fetches: Family<CodeLabels, Counter>,
    pub signatures: Family<CodeLabels, Counter>,
    pub calls: Durations<CallLabels>,
}

pub static METRICS: LazyLock<SignerMetrics> = LazyLock::new(|| SignerMetrics {
    keys_fetched: Gauge::default(),
    keys_made: Gauge::default(),
    fetches: Family::default(),
    signatures: Family::default(),
    calls: Family::new_with_constructor(|| AtomicHistogram::new(&BUCKETS)),
});

/// Of a server that has a signer.
pub fn register(registry: &mut Registry) {
    let SignerMetrics {
        keys_fetched,
        keys_made,
        fetches,
        signatures,
        calls,
    } = &*METRICS;
    registry.register(
        "apiserver_externaljwt_fetch_keys_success_timestamp",
        "When the signer's keys were fetched last",
        keys_fetched.clone(),
    );
    registry.register(
        "apiserver_externaljwt_fetch_keys_data_timestamp",
        "How old the signer's keys are, as it says",
        keys_made.clone(),
    );
    registry.register(
        "apiserver_externaljwt_fetch_keys_request",
        "Fetches of the signer's keys",
        fetches.clone(),
    );
    registry.register(
        "apiserver_externaljwt_sign_request",
        "Tokens that the signer was to sign",
        signatures.clone(),
    );
    registry.register(
        "apiserver_externaljwt_request_duration_seconds",
        "How long calls of the signer took",
        calls.clone(),
    );
}
