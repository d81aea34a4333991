//! What key management services are asked and say, under upstream's names. One set for the process: providers come and
//! go with their configuration, the counts stay.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::encryption::metrics::doubling;
use crate::metrics::AtomicHistogram;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    provider_name: String,
    method_name: String,
    grpc_status_code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabels {
    transformation_type: &'static str,
    provider_name: String,
    key_id_hash: String,
    apiserver_id_hash: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    provider_name: String,
    key_id_hash: String,
    apiserver_id_hash: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    provider_name: String,
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider_name: String,
}

/// From 5 µs on, each twice the one before, to 41 ms.
const GENERATIONS: [f64; 14] = doubling();

type Latencies = Family<OperationLabels, Histogram, fn() -> Histogram>;

struct Metrics {
    operations: Latencies,
    keys: Family<KeyLabels, Counter>,
    last: Family<KeyLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    status: Family<StatusLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    invalid: Family<ErrorLabels, Counter>,
    sources: Family<ProviderLabels, Gauge>,
    generations: AtomicHistogram,
    generation_failures: Counter,
    misses: Counter,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    // From 0.1 ms to nearly a minute.
    operations: Latencies::new_with_constructor(|| Histogram::new(exponential_buckets(0.0001, 2.0, 20))),
    keys: Family::default(),
    last: Family::default(),
    status: Family::default(),
    invalid: Family::default(),
    sources: Family::default(),
    generations: AtomicHistogram::new(&GENERATIONS),
    generation_failures: Counter::default(),
    misses: Counter::default(),
});
static SERVER: OnceLock<String> = OnceLock::new();

/// Shows them in `registry`. `server` tells this server from others.
pub fn register(registry: &mut Registry, server: &str) {
    // A second registry of the process is a test's.
    let _ = SERVER.set(server.to_owned());
    let stored = registry.sub_registry_with_prefix("apiserver_storage");
    stored.register(
        "data_key_generation_duration_seconds",
        "Time to make a seed that values are encrypted with",
        METRICS.generations.clone(),
    );
    stored.register(
        "data_key_generation_failures",
        "Seeds that could not be made",
        METRICS.generation_failures.clone(),
    );
    stored.register(
        "envelope_transformation_cache_misses",
        "Seeds that a key management service had to open, as they were not kept",
        METRICS.misses.clone(),
    );
    let registry = registry.sub_registry_with_prefix("apiserver_envelope_encryption");
    registry.register(
        "kms_operations_latency_seconds",
        "Time until a key management service answered",
        METRICS.operations.clone(),
    );
    registry.register(
        "key_id_hash",
        "Values that were encrypted or decrypted, by key",
        METRICS.keys.clone(),
    );
    registry.register(
        "key_id_hash_last_timestamp_seconds",
        "When a key was last used, in seconds since 1970",
        METRICS.last.clone(),
    );
    registry.register(
        "key_id_hash_status_last_timestamp_seconds",
        "When a service last named its key, in seconds since 1970",
        METRICS.status.clone(),
    );
    registry.register(
        "invalid_key_id_from_status",
        "Key IDs from services that cannot be used",
        METRICS.invalid.clone(),
    );
    registry.register(
        "dek_source_cache_size",
        "Opened seeds that are kept",
        METRICS.sources.clone(),
    );
}

fn server() -> String {
    SERVER.get().cloned().unwrap_or_default()
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// A key's ID may say something about who keeps it.
fn hash_of(key_id: &str) -> String {
    let hash = Sha256::digest(key_id.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// `method` with its service, `code` as gRPC names it.
pub(super) fn operation(provider: &str, method: &str, code: tonic::Code, elapsed: Duration) {
    let labels = OperationLabels {
        provider_name: provider.to_owned(),
        method_name: method.to_owned(),
        grpc_status_code: match code {
            tonic::Code::Ok => "OK".to_owned(),
            other => format!("{other:?}"),
        },
    };
    METRICS
        .operations
        .get_or_create(&labels)
        .observe(elapsed.as_secs_f64());
}

/// The counts of one key, held so that a value costs no look for them.
#[derive(Clone, Debug)]
pub(super) struct KeyUses {
    read: (Counter, Gauge<f64, std::sync::atomic::AtomicU64>),
    written: (Counter, Gauge<f64, std::sync::atomic::AtomicU64>),
}

impl KeyUses {
    pub(super) fn of(provider: &str, key_id: &str) -> Self {
        let of = |transformation_type| {
            let labels = KeyLabels {
                transformation_type,
                provider_name: provider.to_owned(),
                key_id_hash: hash_of(key_id),
                apiserver_id_hash: server(),
            };
            (
                METRICS.keys.get_or_create(&labels).clone(),
                METRICS.last.get_or_create(&labels).clone(),
            )
        };
        Self {
            read: of("from_storage"),
            written: of("to_storage"),
        }
    }

    pub(super) fn read(&self) {
        self.read.0.inc();
        self.read.1.set(now());
    }

    pub(super) fn written(&self) {
        self.written.0.inc();
        self.written.1.set(now());
    }
}

pub(super) fn status(provider: &str, key_id: &str) {
    let labels = StatusLabels {
        provider_name: provider.to_owned(),
        key_id_hash: hash_of(key_id),
        apiserver_id_hash: server(),
    };
    METRICS.status.get_or_create(&labels).set(now());
}

pub(super) fn invalid_key_id(provider: &str, error: &'static str) {
    let labels = ErrorLabels {
        provider_name: provider.to_owned(),
        error,
    };
    METRICS.invalid.get_or_create(&labels).inc();
}

/// A seed was made, or could not be.
pub(super) fn generated(ok: bool, elapsed: Duration) {
    if ok {
        METRICS.generations.observe(elapsed.as_secs_f64());
    } else {
        METRICS.generation_failures.inc();
    }
}

/// A seed is not among those that are kept open.
pub(super) fn missed() {
    METRICS.misses.inc();
}

pub(super) fn sources(provider: &str, kept: usize) {
    let labels = ProviderLabels {
        provider_name: provider.to_owned(),
    };
    let kept = i64::try_from(kept).unwrap_or(i64::MAX);
    METRICS.sources.get_or_create(&labels).set(kept);
}
