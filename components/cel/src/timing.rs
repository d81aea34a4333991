//! How long expressions take, counted for the whole process. Who evaluates for a request says when that begins; one
//! evaluation is all expressions that one decision takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Upper bounds in seconds, as upstream's metrics have them.
pub const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Times by upper bound.
#[derive(Debug)]
pub struct Times {
    /// One for each bound, and one for what is above all of them.
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

static COMPILATIONS: Times = Times::new();
static EVALUATIONS: Times = Times::new();

impl Times {
    const fn new() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; BOUNDS.len() + 1],
            nanoseconds: AtomicU64::new(0),
        }
    }

    /// How many took up to each bound but longer than the one before, and how many longer than all.
    pub fn counts(&self) -> [u64; BOUNDS.len() + 1] {
        std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed))
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
        let elapsed = self.1.elapsed();
        let seconds = elapsed.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound);
        self.0.counts[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.0.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
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
