//! Quantiles of durations over the last hours, as upstream's summaries have them.

use parking_lot::Mutex;
use std::time::Duration;

/// The quantiles that are told.
pub const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Observations are kept by the hour; of these the last ones count.
const SLOTS: usize = 5;
const SLOT: Duration = Duration::from_secs(3600);
/// The least duration that is told apart, seconds.
const LEAST: f64 = 1e-6;
/// Values within 4 % of each other are one.
const PER_OCTAVE: f64 = 16.0;
/// From 1 µs to more than a minute.
const BUCKETS: usize = 26 * PER_OCTAVE as usize;

/// Counts by duration.
#[derive(Debug)]
struct Slot {
    /// Which slot of all times it is.
    number: u64,
    counts: Box<[u32]>,
}

#[derive(Debug, Default)]
struct Inner {
    slots: Vec<Slot>,
    count: u64,
    sum: f64,
}

/// What was observed.
#[derive(Debug, Default)]
pub struct Summary(Mutex<Inner>);

/// What is told of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// Of [`QUANTILES`], seconds; no number when nothing came in the last hours.
    pub quantiles: [f64; QUANTILES.len()],
    /// Of all times, as the sum in seconds.
    pub count: u64,
    pub sum: f64,
}

fn bucket(seconds: f64) -> usize {
    let position = (seconds / LEAST).log2() * PER_OCTAVE;
    (position.max(0.0) as usize).min(BUCKETS - 1)
}

/// The middle of a bucket.
fn seconds(bucket: usize) -> f64 {
    LEAST * ((bucket as f64 + 0.5) / PER_OCTAVE).exp2()
}

impl Summary {
    /// `now` is the time since the process began.
    pub fn observe(&self, elapsed: Duration, now: Duration) {
        let number = now.as_secs() / SLOT.as_secs();
        let elapsed = elapsed.as_secs_f64();
        let mut inner = self.0.lock();
        inner.count += 1;
        inner.sum += elapsed;
        let fresh = || Slot {
            number,
            counts: vec![0; BUCKETS].into(),
        };
        if inner.slots.last().is_none_or(|last| last.number < number) {
            inner.slots.retain(|slot| is_recent(slot, number));
            inner.slots.push(fresh());
        }
        if let Some(last) = inner.slots.last_mut() {
            let count = &mut last.counts[bucket(elapsed)];
            *count = count.saturating_add(1);
        }
    }

    /// `None` if nothing was ever observed.
    pub fn tell(&self, now: Duration) -> Option<Told> {
        let number = now.as_secs() / SLOT.as_secs();
        let inner = self.0.lock();
        if inner.count == 0 {
            return None;
        }
        let mut counts = vec![0_u64; BUCKETS];
        for slot in inner.slots.iter().filter(|slot| is_recent(slot, number)) {
            for (all, one) in counts.iter_mut().zip(&slot.counts) {
                *all += u64::from(*one);
            }
        }
        Some(Told {
            quantiles: QUANTILES.map(|quantile| at(&counts, quantile)),
            count: inner.count,
            sum: inner.sum,
        })
    }
}

fn is_recent(slot: &Slot, now: u64) -> bool {
    now.saturating_sub(slot.number) < SLOTS as u64
}

fn at(counts: &[u64], quantile: f64) -> f64 {
    let all: u64 = counts.iter().sum();
    let rank = (quantile * all as f64).ceil().max(1.0) as u64;
    let mut seen = 0;
    let found = counts.iter().position(|count| {
        seen += count;
        seen >= rank
    });
    found.filter(|_| all > 0).map_or(f64::NAN, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close() {
        let summary = Summary::default();
        assert_eq!(summary.tell(Duration::ZERO), None);
        for milliseconds in 1..=100 {
            summary.observe(Duration::from_millis(milliseconds), Duration::ZERO);
        }
        let told = summary.tell(Duration::ZERO).unwrap();
        for (found, want) in told.quantiles.into_iter().zip([0.05, 0.09, 0.099]) {
            assert!((found / want - 1.0).abs() < 0.04, "{found} is not {want}");
        }
        assert_eq!(told.count, 100);
        assert!((told.sum - 5.05).abs() < 1e-9, "{}", told.sum);
    }

    #[test]
    fn what_was_long_ago_counts_no_more() {
        let summary = Summary::default();
        let hour = |hours: u32| SLOT * hours;
        summary.observe(Duration::from_secs(1), hour(0));
        summary.observe(Duration::from_millis(1), hour(3));
        summary.observe(Duration::from_millis(1), hour(3));
        let median = |now| summary.tell(now).unwrap().quantiles;
        assert!(median(hour(4))[2] > 0.9, "{:?}", median(hour(4)));
        assert!(median(hour(5))[2] < 0.01, "{:?}", median(hour(5)));
        assert!(median(hour(8)).iter().all(|value| value.is_nan()));
        summary.observe(Duration::from_secs(2), hour(20));
        assert!(median(hour(20))[0] > 1.9);
        assert_eq!(summary.tell(hour(20)).unwrap().count, 4);
    }

    #[test]
    fn whatever_comes_has_a_bucket() {
        for nanoseconds in [0, 1, 999, 1000, u64::MAX] {
            let summary = Summary::default();
            summary.observe(Duration::from_nanos(nanoseconds), Duration::ZERO);
            let told = summary.tell(Duration::ZERO).unwrap();
            assert!(told.quantiles[0] > 0.0, "{nanoseconds}");
        }
    }
}
