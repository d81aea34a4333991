//! What is counted of requests with the same labels.

use super::labels::{BodyLabels, OwnedLabels};
use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use storage::metrics::AtomicHistogram;

/// Upstream's, as are those below.
const DURATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
pub const WAITS: [f64; 21] = [
    0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// Upstream's: every 100 kB up to the longest body that is taken.
const BODIES: [f64; 31] = {
    let mut bounds = [0.0; 31];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = 50_000.0 + 100_000.0 * index as f64;
        index += 1;
    }
    bounds
};

/// Counts by status code. Few codes come to one series, so they are looked through.
#[derive(Debug, Default)]
struct Counts(ArcSwap<Vec<((u16, bool), Arc<AtomicU64>)>>);

impl Counts {
    fn add(&self, key: (u16, bool)) {
        let counts = self.0.load();
        if let Some((_, count)) = counts.iter().find(|(known, _)| *known == key) {
            count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.0.rcu(|counts| {
            let mut counts = Vec::clone(counts);
            if !counts.iter().any(|(known, _)| *known == key) {
                counts.push((key, Arc::default()));
            }
            counts
        });
        if let Some((_, count)) = self.0.load().iter().find(|(known, _)| *known == key) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn all(&self) -> Vec<((u16, bool), u64)> {
        let counts = self.0.load();
        let told = counts
            .iter()
            .map(|(key, count)| (*key, count.load(Ordering::Relaxed)));
        told.collect()
    }
}

#[derive(Debug)]
pub struct Series {
    pub labels: OwnedLabels,
    answers: Counts,
    terminations: Counts,
    durations: OnceLock<AtomicHistogram>,
    dry_durations: OnceLock<AtomicHistogram>,
    waits: OnceLock<AtomicHistogram>,
    sizes: OnceLock<AtomicHistogram>,
    bodies: OnceLock<AtomicHistogram>,
    open: AtomicI64,
    opened: AtomicBool,
}

#[derive(Debug, PartialEq, Eq, Hash, Clone, EncodeLabelSet)]
pub struct AnswerLabels {
    dry_run: &'static str,
    code: u16,
}

#[derive(Debug, PartialEq, Eq, Hash, Clone, EncodeLabelSet)]
pub struct DryRunLabel {
    dry_run: &'static str,
}

#[derive(Debug, PartialEq, Eq, Hash, Clone, EncodeLabelSet)]
pub struct CodeLabels {
    code: u16,
}

impl Series {
    pub fn new(labels: OwnedLabels) -> Self {
        Self {
            labels,
            answers: Counts::default(),
            terminations: Counts::default(),
            durations: OnceLock::new(),
            dry_durations: OnceLock::new(),
            waits: OnceLock::new(),
            sizes: OnceLock::new(),
            bodies: OnceLock::new(),
            open: AtomicI64::new(0),
            opened: AtomicBool::new(false),
        }
    }

    pub fn answered(&self, code: u16, dry_run: bool) {
        self.answers.add((code, dry_run));
    }

    /// The server ended it before its handler did.
    pub fn terminated(&self, code: u16) {
        self.terminations.add((code, false));
    }

    /// A request is over, or its answer begins that has no end of its own to wait for.
    pub fn took(&self, elapsed: Duration, dry_run: bool) {
        let seconds = elapsed.as_secs_f64();
        let durations = if dry_run {
            &self.dry_durations
        } else {
            &self.durations
        };
        durations
            .get_or_init(|| AtomicHistogram::new(&DURATIONS))
            .observe(seconds);
        if !dry_run {
            self.waits
                .get_or_init(|| AtomicHistogram::new(&WAITS))
                .observe(seconds);
        }
    }

    pub fn sizes(&self, bounds: &'static [f64]) -> &AtomicHistogram {
        self.sizes.get_or_init(|| AtomicHistogram::new(bounds))
    }

    pub fn bodies(&self) -> &AtomicHistogram {
        self.bodies.get_or_init(|| AtomicHistogram::new(&BODIES))
    }

    pub fn told_durations(&self) -> impl Iterator<Item = ((DryRunLabel, OwnedLabels), &AtomicHistogram)> {
        let both = [("", &self.durations), ("All", &self.dry_durations)];
        both.into_iter().filter_map(|(dry_run, durations)| {
            let labels = (DryRunLabel { dry_run }, self.labels.clone());
            Some((labels, durations.get()?))
        })
    }

    pub fn told_waits(&self) -> Option<&AtomicHistogram> {
        self.waits.get()
    }

    pub fn told_sizes(&self) -> Option<&AtomicHistogram> {
        self.sizes.get()
    }

    /// Answers that have no end yet; `None` if there never was one.
    pub fn open(&self) -> Option<i64> {
        self.opened
            .load(Ordering::Relaxed)
            .then(|| self.open.load(Ordering::Relaxed))
    }

    pub fn answers(&self) -> impl Iterator<Item = ((AnswerLabels, OwnedLabels), u64)> {
        self.answers.all().into_iter().map(|((code, dry_run), count)| {
            let dry_run = if dry_run { "All" } else { "" };
            ((AnswerLabels { dry_run, code }, self.labels.clone()), count)
        })
    }

    pub fn terminations(&self) -> impl Iterator<Item = ((CodeLabels, OwnedLabels), u64)> {
        let told = self.terminations.all().into_iter();
        told.map(|((code, _), count)| ((CodeLabels { code }, self.labels.clone()), count))
    }
}

/// Bodies by group, resource and verb: several series each.
pub fn bodies<'a>(all: impl Iterator<Item = &'a Arc<Series>>) -> BTreeMap<BodyLabels, AtomicHistogram> {
    let mut told: BTreeMap<BodyLabels, AtomicHistogram> = BTreeMap::new();
    for series in all {
        if let Some(histogram) = series.bodies.get() {
            told.entry(series.labels.of_bodies())
                .or_insert_with(|| AtomicHistogram::new(&BODIES))
                .add(histogram);
        }
    }
    told
}

/// Counts an answer as open until dropped, which is when its request has taken its time.
pub struct Open {
    series: Arc<Series>,
    began: Instant,
}

impl Open {
    pub fn new(series: Arc<Series>, began: Instant) -> Self {
        series.opened.store(true, Ordering::Relaxed);
        series.open.fetch_add(1, Ordering::Relaxed);
        Self { series, began }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.series.open.fetch_sub(1, Ordering::Relaxed);
        self.series.took(self.began.elapsed(), false);
    }
}
