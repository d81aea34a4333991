//! A watcher of the cache: a position in the ring of its resource.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tokio_stream::wrappers::WatchStream;

use super::event::{CacheEvent, EventKind, WatchEvent};
use super::hub::RunningHub;
use super::resource::{CLOSED, Counted, ResourceCache};
use super::view::Scope;
use crate::object::{ObjectRef, StoredObject};
use crate::revision::Revision;
use crate::store::Filter;
use crate::watcher::WatchItem;

/// Events taken from the ring at once.
const BATCH: usize = 64;

/// Where a watcher begins.
pub(crate) struct Begin {
    pub cursor: u64,
    /// Objects to send as ADDED first.
    pub initial: Vec<ObjectRef>,
    /// Everything up to here is known to the client or among `initial`.
    pub revision: Revision,
    /// End the initial objects with a marked bookmark.
    pub mark_end: bool,
}

pub(crate) struct WatcherParts {
    pub scope: Option<Scope>,
    pub filter: Option<Filter>,
    pub bookmarks: bool,
    pub until: Option<Instant>,
}

/// How long before its end a watch gets its last bookmark: with it the client goes on from close to now.
const BEFORE_END: Duration = Duration::from_secs(2);

impl WatcherParts {
    /// When the next bookmark is due; none is after the last one.
    fn next_bookmark(&self, hub: &RunningHub) -> Option<Instant> {
        let regular = hub.next_bookmark();
        let Some(until) = self.until else {
            return Some(regular);
        };
        let last = until.checked_sub(BEFORE_END)?;
        (last > Instant::now()).then_some(regular.min(last))
    }
}

/// One watch. Holds no events beyond the few it is about to deliver; when it isn't polled it costs nobody anything.
pub(crate) struct CachedWatcher {
    hub: Arc<RunningHub>,
    cache: Arc<ResourceCache>,
    _counted: Counted,
    /// Sees whether the resource is gone.
    changes: watch::Receiver<u64>,
    wakes: WatchStream<u64>,
    parts: WatcherParts,
    cursor: u64,
    initial: std::vec::IntoIter<ObjectRef>,
    mark_end: bool,
    /// Events up to here are not sent; for watches that begin in the future.
    after: Revision,
    revision: Revision,
    pending: VecDeque<Arc<CacheEvent>>,
    /// Only for watches that want bookmarks.
    bookmark_due: Option<Pin<Box<Sleep>>>,
    /// The task that the timer of bookmarks wakes, so that it is not asked with each event.
    timed: Option<Waker>,
    ended: bool,
}

impl CachedWatcher {
    pub(crate) fn new(
        hub: Arc<RunningHub>,
        cache: Arc<ResourceCache>,
        parts: WatcherParts,
        begin: Begin,
    ) -> Self {
        let first = parts.next_bookmark(&hub).filter(|_| parts.bookmarks);
        let bookmark_due = first.map(|at| Box::pin(tokio::time::sleep_until(at)));
        CachedWatcher {
            _counted: cache.count_watcher(),
            changes: cache.changes_here(),
            wakes: WatchStream::from_changes(cache.changes_here()),
            bookmark_due,
            timed: None,
            hub,
            cache,
            parts,
            cursor: begin.cursor,
            initial: begin.initial.into_iter(),
            mark_end: begin.mark_end,
            after: begin.revision,
            revision: begin.revision,
            pending: VecDeque::new(),
            ended: false,
        }
    }

    /// Everything up to this revision has been delivered.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// The next item. What is waited for is set up anew only after a change.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<WatchItem> {
        loop {
            if let Some(item) = self.try_next() {
                return Poll::Ready(item);
            }
            if let Some(bookmark) = &mut self.bookmark_due
                && !self
                    .timed
                    .as_ref()
                    .is_some_and(|task| task.will_wake(context.waker()))
            {
                // Due means that `try_next` gives it.
                if bookmark.as_mut().poll(context).is_ready() {
                    continue;
                }
                self.timed = Some(context.waker().clone());
            }
            // The sender lives in the cache that this watcher holds.
            match self.wakes.poll_next_unpin(context) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => self.ended = true,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The next item if there is one now.
    pub(crate) fn try_next(&mut self) -> Option<WatchItem> {
        if self.ended {
            return Some(WatchItem::Closed);
        }
        if let Some(object) = self.next_initial() {
            return Some(WatchItem::Event(WatchEvent::of(EventKind::Added, object)));
        }
        if std::mem::take(&mut self.mark_end) {
            return Some(WatchItem::Bookmark {
                revision: self.revision,
                initial_events_end: true,
            });
        }
        loop {
            while let Some(event) = self.pending.pop_front() {
                if let Some(item) = self.seen(&event) {
                    return Some(WatchItem::Event(item));
                }
            }
            // Before the ring: everything up to here is in the ring then.
            let position = self.hub.position();
            let closed = *self.changes.borrow_and_update() == CLOSED;
            let mut batch = Vec::new();
            if self.cache.read_ring(self.cursor, BATCH, &mut batch).is_none() {
                self.ended = true;
                self.cache.metrics().left_behind.add(1);
                return Some(WatchItem::Expired {
                    oldest: self.cache.cursor_after(Revision::ZERO).err().unwrap_or(position),
                });
            }
            self.cursor += batch.len() as u64;
            self.pending = batch.into();
            if self.pending.is_empty() {
                // What happened before the resource went is told first.
                if closed {
                    self.ended = true;
                    return Some(WatchItem::Closed);
                }
                self.revision = self.revision.max(position);
                return self.bookmark();
            }
        }
    }

    fn next_initial(&mut self) -> Option<ObjectRef> {
        let filter = self.parts.filter.clone();
        let found = self
            .initial
            .find(|object| filter.as_ref().is_none_or(|filter| filter.matches(object)));
        if found.is_none() && self.initial.as_slice().is_empty() {
            // Frees the list.
            self.initial = Vec::new().into_iter();
        }
        found
    }

    fn seen(&mut self, event: &Arc<CacheEvent>) -> Option<WatchEvent> {
        if event.revision <= self.after {
            return None;
        }
        self.revision = self.revision.max(event.revision);
        if !self
            .parts
            .scope
            .as_ref()
            .is_none_or(|scope| scope.contains(event.object.key()))
        {
            return None;
        }
        match &self.parts.filter {
            Some(filter) => event.seen_by(&|object: &StoredObject| filter.matches(object)),
            None => event.seen_by(&|_| true),
        }
    }

    fn bookmark(&mut self) -> Option<WatchItem> {
        let due = self.bookmark_due.as_mut()?;
        if Instant::now() < due.deadline() {
            return None;
        }
        match self.parts.next_bookmark(&self.hub) {
            Some(at) => due.as_mut().reset(at),
            None => self.bookmark_due = None,
        }
        self.timed = None;
        Some(WatchItem::Bookmark {
            revision: self.revision,
            initial_events_end: false,
        })
    }
}
