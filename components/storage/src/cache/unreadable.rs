//! Stored values of one resource that can't be read: their key is gone or can't be asked for, or they are no objects.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::view::Scope;
use crate::error::StorageError;
use crate::revision::Revision;

/// Keys with the revision of the value and what is wrong with it.
pub(crate) type Failures = BTreeMap<String, (Revision, StorageError)>;

/// While there is one, lists and initial states that would have it fail, as upstream's do: left out, it would pass for
/// deleted. What was known of it before stays in the snapshot, for those who look without asking.
#[derive(Default)]
pub(crate) struct Unreadable {
    /// Spares readers the lock.
    any: AtomicBool,
    values: Mutex<Failures>,
    /// Who tries again.
    mender: OnceLock<Arc<Notify>>,
}

impl Unreadable {
    fn change<T>(&self, change: impl FnOnce(&mut Failures) -> T) -> T {
        let mut values = self.values.lock();
        let outcome = change(&mut values);
        let any = !values.is_empty();
        let before = self.any.swap(any, Ordering::AcqRel);
        if any
            && !before
            && let Some(mender) = self.mender.get()
        {
            mender.notify_one();
        }
        outcome
    }

    /// Told from now on when there is something that can't be read.
    pub(super) fn tell(&self, mender: Arc<Notify>) {
        // A cache belongs to one hub for good.
        let _ = self.mender.set(mender);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// After a list: these are all.
    pub(super) fn set(&self, resource: &str, failures: Failures) {
        for (_, error) in failures.values() {
            tracing::error!(resource, %error, "an object is unreadable");
        }
        self.change(|values| *values = failures);
    }

    /// After a change.
    pub(super) fn note(&self, key: String, revision: Revision, error: StorageError) {
        self.change(|values| values.insert(key, (revision, error)));
    }

    /// The key has another value now, or none; tells whether the last one was unreadable.
    pub(super) fn forget(&self, key: &str) -> bool {
        !self.is_empty() && self.change(|values| values.remove(key).is_some())
    }

    /// The value of this revision can be read now; false when it isn't the newest that is known of.
    pub(super) fn mended(&self, key: &str, revision: Revision) -> bool {
        self.change(|values| {
            let known = values.get(key).is_some_and(|(since, _)| *since == revision);
            if known {
                values.remove(key);
            }
            known
        })
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        !self.is_empty() && self.values.lock().contains_key(key)
    }

    /// What fails a list of the scope at this revision.
    pub(crate) fn check(&self, scope: &Scope, at: Revision) -> Result<(), StorageError> {
        if self.is_empty() {
            return Ok(());
        }
        let values = self.values.lock();
        let mut inside = values.range(scope.start.clone()..scope.end.clone());
        inside
            .find(|(_, (since, _))| *since <= at)
            .map_or(Ok(()), |(_, (_, error))| Err(error.clone()))
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.values.lock().keys().cloned().collect()
    }
}
