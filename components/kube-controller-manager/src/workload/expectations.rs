//! What a controller has asked for and not yet seen in its informers.
//!
//! A key with open expectations is left alone, since a decision on a stale copy would create or delete
//! twice. An expectation that is not met within five minutes is given up, as upstream does.

use std::time::{Duration, Instant};

use ahash::{AHashMap, AHashSet};
use client::informer::Key;
use parking_lot::Mutex;

const TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct Open {
    creations: i64,
    deletions: AHashSet<String>,
    since: Instant,
}

/// Open expectations by the key of what the controller works on.
#[derive(Debug, Default)]
pub struct Expectations {
    open: Mutex<AHashMap<Key, Open>>,
}

impl Expectations {
    pub fn expect_creations(&self, key: &Key, count: usize) {
        self.with(key, |open| {
            open.creations = open.creations.max(0) + i64::try_from(count).unwrap_or(i64::MAX);
        });
    }

    /// `uids` are about to be deleted.
    pub fn expect_deletions(&self, key: &Key, uids: impl IntoIterator<Item = String>) {
        self.with(key, |open| open.deletions.extend(uids));
    }

    fn with(&self, key: &Key, change: impl FnOnce(&mut Open)) {
        let mut all = self.open.lock();
        let open = all.entry(key.clone()).or_insert_with(|| Open {
            creations: 0,
            deletions: AHashSet::new(),
            since: Instant::now(),
        });
        open.since = Instant::now();
        change(open);
    }

    /// A creation was seen, or has failed.
    pub fn creation_observed(&self, key: &Key) {
        if let Some(open) = self.open.lock().get_mut(key) {
            open.creations -= 1;
        }
    }

    /// Some creations will not be tried after all.
    pub fn lower_creations(&self, key: &Key, count: usize) {
        if let Some(open) = self.open.lock().get_mut(key) {
            open.creations -= i64::try_from(count).unwrap_or(i64::MAX);
        }
    }

    /// A deletion was seen, or has failed.
    pub fn deletion_observed(&self, key: &Key, uid: &str) {
        if let Some(open) = self.open.lock().get_mut(key) {
            open.deletions.remove(uid);
        }
    }

    /// Whether the informers show everything that was asked for.
    pub fn satisfied(&self, key: &Key) -> bool {
        self.open.lock().get(key).is_none_or(|open| {
            (open.creations <= 0 && open.deletions.is_empty()) || open.since.elapsed() > TIMEOUT
        })
    }

    /// The object of this key is gone.
    pub fn forget(&self, key: &Key) {
        self.open.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_waits_for_what_it_has_asked_for() {
        let key = ("ns".to_owned(), "rs".to_owned());
        let expectations = Expectations::default();
        assert!(expectations.satisfied(&key));
        expectations.expect_creations(&key, 3);
        expectations.creation_observed(&key);
        assert!(!expectations.satisfied(&key));
        expectations.lower_creations(&key, 2);
        assert!(expectations.satisfied(&key));
        expectations.expect_deletions(&key, ["u".to_owned()]);
        expectations.deletion_observed(&key, "other");
        assert!(!expectations.satisfied(&key));
        expectations.deletion_observed(&key, "u");
        assert!(expectations.satisfied(&key));
    }
}
