//! What a client holds of a watch.

use std::task::{Context, Poll};

use crate::cache::{CachedWatcher, WatchEvent};
use crate::error::StorageError;
use crate::revision::Revision;
use crate::store::DirectWatcher;

/// What a watch brings.
#[derive(Clone, Debug)]
pub enum WatchItem {
    Event(WatchEvent),
    /// Everything up to `revision` has been delivered.
    Bookmark {
        revision: Revision,
        initial_events_end: bool,
    },
    /// The watcher fell behind the events that are kept: 410. Nothing follows.
    Expired {
        oldest: Revision,
    },
    /// The backend could not tell, or what it told can't be read. Nothing follows. In a box, as it is rare.
    Failed(Box<StorageError>),
    /// The resource is gone. Nothing follows.
    Closed,
}

/// One watch.
pub struct Watcher(Source);

/// Watches of the backend are the larger ones, and the fewer.
enum Source {
    Cache(CachedWatcher),
    Backend(Box<DirectWatcher>),
}

impl From<CachedWatcher> for Watcher {
    fn from(watcher: CachedWatcher) -> Self {
        Watcher(Source::Cache(watcher))
    }
}

impl From<DirectWatcher> for Watcher {
    fn from(watcher: DirectWatcher) -> Self {
        Watcher(Source::Backend(Box::new(watcher)))
    }
}

impl Watcher {
    /// Everything up to this revision has been delivered.
    pub fn revision(&self) -> Revision {
        match &self.0 {
            Source::Cache(watcher) => watcher.revision(),
            Source::Backend(watcher) => watcher.revision(),
        }
    }

    /// The next item; waits for it. After `Expired`, `Failed` or `Closed` it repeats `Closed`. Cancel safe.
    pub async fn next(&mut self) -> WatchItem {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The same for who polls.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<WatchItem> {
        match &mut self.0 {
            Source::Cache(watcher) => watcher.poll_next(context),
            Source::Backend(watcher) => watcher.poll_next(context),
        }
    }

    /// The next item if there is one now.
    pub fn try_next(&mut self) -> Option<WatchItem> {
        match &mut self.0 {
            Source::Cache(watcher) => watcher.try_next(),
            Source::Backend(watcher) => watcher.try_next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_of_the_cache_pay_nothing_for_the_others() {
        assert_eq!(size_of::<Watcher>(), size_of::<CachedWatcher>());
    }
}
