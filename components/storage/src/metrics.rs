//! What is counted of stores. Each store holds its own series, so that counting is an atomic addition.

mod atomic_histogram;
mod collector;

pub use atomic_histogram::AtomicHistogram;
pub use collector::StorageMetrics;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the backend is asked for. The names are those of upstream's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    List,
    Create,
    Update,
    Delete,
}

impl Operation {
    const ALL: [Self; 5] = [Self::Get, Self::List, Self::Create, Self::Update, Self::Delete];

    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Upstream's, in seconds.
const OPERATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
/// Upstream's, from 5 ms to 3 s, the longest wait there is.
const WAITS: [f64; 13] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0,
];
/// Upstream's, of keys that share a lease.
const LEASES: [f64; 7] = [10.0, 50.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0];

/// What a backend counts of itself.
#[derive(Debug)]
pub struct BackendMetrics {
    /// Keys of a lease when it is given up for a new one.
    pub(crate) leases: AtomicHistogram,
}

impl Default for BackendMetrics {
    fn default() -> Self {
        Self {
            leases: AtomicHistogram::new(&LEASES),
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Asked {
    count: Count,
    errors: Count,
    durations: AtomicHistogram,
}

/// The series of one resource.
#[derive(Debug)]
pub struct ResourceMetrics {
    asked: [Asked; Operation::ALL.len()],
    /// Lists read from the backend, because the cache was behind or an old state was asked for.
    pub(crate) backend_lists: Lists,
    /// Lists read from the cache.
    pub(crate) cache_lists: Lists,
    pub(crate) initializations: Count,
    pub(crate) received: Count,
    /// Changes that the backend told the cache, and watches without it.
    pub(crate) told: Count,
    pub(crate) dispatched: Count,
    pub(crate) initial: Count,
    pub(crate) consistent: Count,
    /// Consistent reads that went to the backend.
    pub(crate) fallbacks: Count,
    /// Stored values that couldn't be read.
    pub(crate) undecodable: Count,
    /// Watchers that fell behind what is kept for them.
    pub(crate) left_behind: Count,
    pub(crate) waits: AtomicHistogram,
}

#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) count: Count,
    /// Objects that were read.
    pub(crate) fetched: Count,
    /// Objects that a selector was held against.
    pub(crate) evaluated: Count,
    pub(crate) returned: Count,
}

impl Default for ResourceMetrics {
    fn default() -> Self {
        Self {
            asked: Operation::ALL.map(|_| Asked {
                count: Count::default(),
                errors: Count::default(),
                durations: AtomicHistogram::new(&OPERATIONS),
            }),
            backend_lists: Lists::default(),
            cache_lists: Lists::default(),
            initializations: Count::default(),
            received: Count::default(),
            told: Count::default(),
            dispatched: Count::default(),
            initial: Count::default(),
            consistent: Count::default(),
            fallbacks: Count::default(),
            undecodable: Count::default(),
            left_behind: Count::default(),
            waits: AtomicHistogram::new(&WAITS),
        }
    }
}

impl ResourceMetrics {
    /// The backend answered.
    pub(crate) fn asked<T, E>(&self, operation: Operation, begun: Instant, outcome: &Result<T, E>) {
        let asked = &self.asked[operation as usize];
        asked.count.add(1);
        if outcome.is_err() {
            asked.errors.add(1);
        }
        asked.durations.observe(begun.elapsed().as_secs_f64());
    }

    /// A read waited for the cache to see the newest state.
    pub(crate) fn waited(&self, time: Duration, seen: bool) {
        self.waits.observe(time.as_secs_f64());
        if seen { &self.consistent } else { &self.fallbacks }.add(1);
    }
}
