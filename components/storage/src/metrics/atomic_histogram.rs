//! A histogram that many threads observe without a lock.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts by upper bound; clones share the counts. A scrape in the middle of an observation may see it in part.
#[derive(Clone, Debug)]
pub struct AtomicHistogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above all of them.
    counts: Box<[AtomicU64]>,
    /// Bits of a float.
    sum: AtomicU64,
}

impl AtomicHistogram {
    /// `bounds` ascend.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self(Arc::new(Inner {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }))
    }

    pub fn observe(&self, value: f64) {
        self.observe_times(value, 1);
    }

    /// As if `value` had been observed so many times.
    pub fn observe_times(&self, value: f64, times: u32) {
        let inner = &*self.0;
        // Most values are in one of the first buckets.
        let bucket = inner.bounds.iter().position(|bound| value <= *bound);
        inner.counts[bucket.unwrap_or(inner.bounds.len())].fetch_add(u64::from(times), Ordering::Relaxed);
        self.add_to_sum(value * f64::from(times));
    }

    /// As if so many values of zero had been observed.
    pub fn observe_zeros(&self, times: u64) {
        self.0.counts[0].fetch_add(times, Ordering::Relaxed);
    }

    /// How many values were observed.
    pub fn count(&self) -> u64 {
        let counts = self.0.counts.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let mut counts = self.0.counts.iter();
        counts.all(|count| count.load(Ordering::Relaxed) == 0)
    }

    /// Adds what another one with the same bounds has counted.
    pub fn add(&self, other: &Self) {
        for (own, others) in self.0.counts.iter().zip(&other.0.counts) {
            own.fetch_add(others.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.add_to_sum(f64::from_bits(other.0.sum.load(Ordering::Relaxed)));
    }

    fn add_to_sum(&self, value: f64) {
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        let _ = self.0.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl TypedMetric for AtomicHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for AtomicHistogram {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        let inner = &*self.0;
        // The encoder writes the greatest float as +Inf.
        let bounds = inner.bounds.iter().copied().chain([f64::MAX]);
        let counts = inner.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = f64::from_bits(inner.sum.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    #[test]
    fn buckets_are_upper_bounds_and_are_added_up() {
        let histogram = AtomicHistogram::new(&[1.0, 2.0]);
        let mut registry = Registry::default();
        registry.register("h", "Words", histogram.clone());
        histogram.observe(0.5);
        histogram.observe_times(1.0, 3);
        for value in [1.5, 9.0] {
            histogram.observe(value);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "h_sum 14.0",
            "h_count 6",
            "h_bucket{le=\"1.0\"} 4",
            "h_bucket{le=\"2.0\"} 5",
            "h_bucket{le=\"+Inf\"} 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
