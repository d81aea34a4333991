//! What encryption and decryption of values take, under upstream's names. One set for the process, as configurations
//! come and go. Values in plain text are not counted.

use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::ENCRYPTED;
use crate::metrics::AtomicHistogram;

/// From 5 µs on, each twice the one before, to 84 s.
const DURATIONS: [f64; 25] = doubling();

/// From 5 µs on, each twice the one before.
pub(super) const fn doubling<const N: usize>() -> [f64; N] {
    let mut bounds = [0.000_005; N];
    let mut index = 1;
    while index < bounds.len() {
        bounds[index] = bounds[index - 1] * 2.0;
        index += 1;
    }
    bounds
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    resource: String,
    transformation_type: &'static str,
    transformer_prefix: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    resource: String,
    transformation_type: &'static str,
    transformer_prefix: String,
}

struct Metrics {
    operations: Family<OperationLabels, Counter>,
    durations: Family<DurationLabels, AtomicHistogram, fn() -> AtomicHistogram>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    operations: Family::default(),
    durations: Family::new_with_constructor(|| AtomicHistogram::new(&DURATIONS)),
});

/// Shows them in `registry`.
pub fn register(registry: &mut Registry) {
    let registry = registry.sub_registry_with_prefix("apiserver_storage_transformation");
    registry.register(
        "operations",
        "Values that were encrypted or decrypted",
        METRICS.operations.clone(),
    );
    registry.register(
        "duration_seconds",
        "Time to encrypt or decrypt a value",
        METRICS.durations.clone(),
    );
}

/// Which way a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    FromStorage,
    ToStorage,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::FromStorage => "from_storage",
            Self::ToStorage => "to_storage",
        }
    }
}

/// The series of one provider.
struct Series {
    way: Way,
    prefix: String,
    done: Counter,
    failed: Counter,
    durations: AtomicHistogram,
}

/// The series of one resource, found without a lock.
#[derive(Default)]
pub(super) struct Uses(ArcSwap<Vec<Arc<Series>>>);

impl Uses {
    /// `stored` is the encrypted form; values in any other are nobody's.
    pub(super) fn count(&self, resource: &str, way: Way, stored: &[u8], done: bool, elapsed: Duration) {
        let Some(prefix) = prefix_of(stored) else { return };
        let known = self.0.load();
        let same = |series: &&Arc<Series>| series.way == way && series.prefix == prefix;
        if let Some(series) = known.iter().find(same) {
            return series.count(done, elapsed);
        }
        let series = Arc::new(Series::new(resource, way, prefix));
        series.count(done, elapsed);
        self.0.rcu(|known| {
            let mut known = Vec::clone(known);
            known.push(Arc::clone(&series));
            known
        });
    }
}

impl Series {
    fn new(resource: &str, way: Way, prefix: &str) -> Self {
        let operations = |status| {
            let labels = OperationLabels {
                resource: resource.to_owned(),
                transformation_type: way.name(),
                transformer_prefix: prefix.to_owned(),
                status,
            };
            METRICS.operations.get_or_create_owned(&labels)
        };
        let labels = DurationLabels {
            resource: resource.to_owned(),
            transformation_type: way.name(),
            transformer_prefix: prefix.to_owned(),
        };
        Self {
            way,
            prefix: prefix.to_owned(),
            done: operations("OK"),
            failed: operations("Unknown"),
            durations: METRICS.durations.get_or_create_owned(&labels),
        }
    }

    fn count(&self, done: bool, elapsed: Duration) {
        if done { &self.done } else { &self.failed }.inc();
        self.durations.observe(elapsed.as_secs_f64());
    }
}

/// The provider's part of an encrypted value: cipher and version, and the name of a service but not of a key.
fn prefix_of(stored: &[u8]) -> Option<&str> {
    if !stored.starts_with(ENCRYPTED) {
        return None;
    }
    let parts = if stored.starts_with(b"k8s:enc:kms:") { 5 } else { 4 };
    let mut ends = stored.iter().enumerate().filter(|(_, byte)| **byte == b':');
    let (end, _) = ends.nth(parts - 1)?;
    std::str::from_utf8(&stored[..=end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_names_the_provider_and_no_key() {
        for (stored, expected) in [
            (
                &b"k8s:enc:aescbc:v1:key1:\xff\x00"[..],
                Some("k8s:enc:aescbc:v1:"),
            ),
            (b"k8s:enc:kms:v2:service:\xff", Some("k8s:enc:kms:v2:service:")),
            (b"{}", None),
            (b"k8s:enc:x", None),
        ] {
            assert_eq!(prefix_of(stored), expected);
        }
    }

    #[test]
    fn values_are_counted_by_resource_and_provider() {
        let uses = Uses::default();
        let stored = b"k8s:enc:secretbox:v1:k:";
        for done in [true, true, false] {
            uses.count("tests", Way::FromStorage, stored, done, Duration::from_micros(7));
        }
        uses.count("tests", Way::ToStorage, b"plain", true, Duration::ZERO);
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let labels = "resource=\"tests\",transformation_type=\"from_storage\",transformer_prefix=\"k8s:enc:secretbox:v1:\"";
        for line in [
            format!("apiserver_storage_transformation_operations_total{{{labels},status=\"OK\"}} 2"),
            format!("apiserver_storage_transformation_operations_total{{{labels},status=\"Unknown\"}} 1"),
            format!("apiserver_storage_transformation_duration_seconds_count{{{labels}}} 3"),
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(!text.contains("resource=\"tests\",transformation_type=\"to_storage\""));
    }
}
