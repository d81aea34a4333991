//! What has become of a level's requests since the server's start, for dumps.

use super::level::Refusal;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

#[derive(Debug, Default)]
pub struct Tally {
    dispatched: AtomicU64,
    ended: AtomicU64,
    rejected: AtomicU64,
    timed_out: AtomicU64,
    cancelled: AtomicU64,
}

/// A tally as it was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tallied {
    pub executing: u64,
    pub dispatched: u64,
    pub rejected: u64,
    pub timed_out: u64,
    /// The client hung up while they waited.
    pub cancelled: u64,
}

impl Tally {
    pub fn dispatched(&self) {
        self.dispatched.fetch_add(1, Relaxed);
    }

    pub fn ended(&self) {
        self.ended.fetch_add(1, Relaxed);
    }

    pub fn refused(&self, refusal: Refusal) {
        let count = match refusal {
            Refusal::QueueFull | Refusal::ConcurrencyLimit => &self.rejected,
            Refusal::TimeOut => &self.timed_out,
        };
        count.fetch_add(1, Relaxed);
    }

    pub fn cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    pub fn so_far(&self) -> Tallied {
        // The ends first: one that comes in between must not make the rest negative.
        let ended = self.ended.load(Relaxed);
        let dispatched = self.dispatched.load(Relaxed);
        Tallied {
            executing: dispatched.saturating_sub(ended),
            dispatched,
            rejected: self.rejected.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
        }
    }
}
