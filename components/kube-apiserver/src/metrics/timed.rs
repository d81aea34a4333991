//! Things that are counted and timed under the same labels.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::hash::Hash;
use std::time::Duration;
use storage::metrics::AtomicHistogram;

/// From 1 ms on, each twice the one before, to 16 s.
pub const DOUBLING: [f64; 15] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384,
];

/// Durations by labels.
pub type Durations<L> = Family<L, AtomicHistogram, fn() -> AtomicHistogram>;

/// A counter and a histogram; clones share them.
#[derive(Clone, Debug)]
pub struct Timed<L: Clone + Eq + Hash> {
    pub counts: Family<L, Counter>,
    pub durations: Durations<L>,
}

impl<L: Clone + Eq + Hash + EncodeLabelSet> Timed<L> {
    /// `histogram` makes the durations of new labels.
    pub fn new(histogram: fn() -> AtomicHistogram) -> Self {
        Self {
            counts: Family::default(),
            durations: Family::new_with_constructor(histogram),
        }
    }

    pub fn observe(&self, labels: &L, elapsed: Duration) {
        self.counts.get_or_create(labels).inc();
        self.durations
            .get_or_create(labels)
            .observe(elapsed.as_secs_f64());
    }
}
