//! How long expressions take, counted for the whole process. Who evaluates for a request says when that begins; one
//! evaluation is all expressions that one decision takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Upper bounds in seconds, as upstream's metrics have them.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Most upper bounds that times are counted by.
const MOST: usize = 11;

/// Times by upper bound.
#[derive(Debug)]
pub struct Times {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above all of them.
    counts: [AtomicU64; MOST + 1],
    nanoseconds: AtomicU64,
}

static COMPILATIONS: Times = Times::new(&BOUNDS);
static EVALUATIONS: Times = Times::new(&BOUNDS);

impl Times {
    /// Upper bounds in seconds that ascend, at most 11.
    pub const fn new(bounds: &'static [f64]) -> Self {
        assert!(bounds.len() <= MOST);
        Self {
            bounds,
            counts: [const { AtomicU64::new(0) }; MOST + 1],
            nanoseconds: AtomicU64::new(0),
        }
    }

    /// Counts one.
    pub fn add(&self, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let bucket = self.bounds.iter().position(|bound| seconds <= *bound);
        self.counts[bucket.unwrap_or(self.bounds.len())].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Seconds.
    pub fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    /// How many took up to each bound but longer than the one before, and how many longer than all.
    pub fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        let counts = self.counts.iter().take(self.bounds.len() + 1);
        counts.map(|count| count.load(Ordering::Relaxed))
    }

    /// All of them together, in seconds.
    pub fn seconds(&self) -> f64 {
        self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9
    }
}

/// Ends when dropped.
#[derive(Debug)]
pub struct Running(&'static Times, Instant);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.add(self.1.elapsed());
    }
}

pub(crate) fn compilation() -> Running {
    Running(&COMPILATIONS, Instant::now())
}

/// An evaluation begins.
pub fn evaluation() -> Running {
    Running(&EVALUATIONS, Instant::now())
}

/// What compiling took.
pub fn compilations() -> &'static Times {
    &COMPILATIONS
}

/// What evaluating took.
pub fn evaluations() -> &'static Times {
    &EVALUATIONS
}
