//! Outcomes of token checks, kept for a few seconds.

use super::Authenticated;
use super::notes::Notes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// As upstream: a deleted pod's token stops working after this long at the latest.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// Bounds memory against floods of made-up tokens.
const CAPACITY: usize = 4096;

type Outcome = Result<Option<Authenticated>, String>;

/// Keyed by hash, so that tokens themselves aren't kept in memory.
pub struct TokenCache {
    good_for: Duration,
    entries: Mutex<ahash::AHashMap<[u8; 32], (Instant, Outcome, Notes)>>,
}

fn key(token: &str, audiences: &[String]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(token);
    for audience in audiences {
        hash.update([0]);
        hash.update(audience);
    }
    hash.finalize().into()
}

impl Default for TokenCache {
    fn default() -> Self {
        Self::for_time(GOOD_FOR)
    }
}

impl TokenCache {
    /// Keeps outcomes for this long.
    pub fn for_time(good_for: Duration) -> Self {
        Self {
            good_for,
            entries: Mutex::default(),
        }
    }

    pub fn clear(&self) {
        self.entries.lock().clear();
    }

    /// What is known of a token, and what every request with it is to be told.
    pub fn get(&self, token: &str, audiences: &[String]) -> Option<(Outcome, Notes)> {
        let entries = self.entries.lock();
        let (made, outcome, notes) = entries.get(&key(token, audiences))?;
        (made.elapsed() < self.good_for).then(|| (outcome.clone(), notes.clone()))
    }

    /// Keeps successes only: a failure may be cured by the object that the token is bound to arriving.
    pub fn put(&self, token: &str, audiences: &[String], outcome: Outcome, notes: &Notes) {
        if !matches!(outcome, Ok(Some(_))) {
            return;
        }
        let mut entries = self.entries.lock();
        if entries.len() >= CAPACITY {
            entries.retain(|_, (made, ..)| made.elapsed() < self.good_for);
            if entries.len() >= CAPACITY {
                entries.clear();
            }
        }
        entries.insert(key(token, audiences), (Instant::now(), outcome, notes.clone()));
    }
}
