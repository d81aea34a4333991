//! A watch of the backend for one client: the state in pages if it is wanted, then the changes from the history on.
//! Nothing is kept for it here but what it is about to deliver; where it stands is enough to resume it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::super::{Filter, Store, WatchRequest};
use super::{PAGE, at_least, keys, refused};
use crate::backend::{
    BackendError, BackendWatch, KeyValue, Previous, RangeRequest, RangeResult, RawEvent, WatchMessage,
    WatchRange,
};
use crate::cache::{Counted, EventKind, Scope, WatchEvent};
use crate::error::StorageError;
use crate::metrics::Operation;
use crate::object::{ObjectRef, StoredObject};
use crate::revision::{RequestedRevision, Revision};
use crate::watcher::WatchItem;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// What is still to be looked at, in order.
enum Raw {
    Initial(KeyValue),
    InitialEnd,
    Change(RawEvent),
}

/// What is waited for.
enum State {
    Listing(BoxFuture<'static, Result<RangeResult, StorageError>>),
    Opening(BoxFuture<'static, Result<BackendWatch, BackendError>>),
    Watching(BackendWatch),
    Ended,
}

pub(crate) struct DirectWatcher {
    store: Store,
    _counted: Counted,
    /// The resource is gone.
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
    scope: Scope,
    filter: Option<Filter>,
    mark_end: bool,
    least: RequestedRevision,
    state: State,
    pending: VecDeque<Raw>,
    /// The state of the first page, while it is listed; then everything up to here has been received.
    received: Revision,
    retry: Duration,
}

impl DirectWatcher {
    /// Begins with the newest state.
    pub(super) fn with_state(store: &Store, request: WatchRequest) -> Self {
        let least = request.revision;
        let mark_end = request.send_initial_events == Some(true) && request.bookmarks;
        let mut watcher = Self::after(store, request, Revision::ZERO);
        watcher.mark_end = mark_end;
        watcher.least = least;
        watcher.state = State::Listing(watcher.page(watcher.scope.start.clone(), None));
        watcher
    }

    /// Begins with the first change after `revision`.
    pub(super) fn after(store: &Store, request: WatchRequest, revision: Revision) -> Self {
        let mut watcher = DirectWatcher {
            _counted: store.cache.count_watcher(),
            gone: Box::pin(store.cache.gone().clone().cancelled_owned()),
            scope: keys(store, request.namespace.as_deref(), request.filter.as_ref()),
            store: store.clone(),
            filter: request.filter,
            mark_end: false,
            least: RequestedRevision::Unset,
            state: State::Ended,
            pending: VecDeque::new(),
            received: revision,
            retry: FIRST_RETRY,
        };
        watcher.state = State::Opening(watcher.open(Duration::ZERO));
        watcher
    }

    pub(crate) fn revision(&self) -> Revision {
        self.received
    }

    /// Reads a page of the state.
    fn page(
        &self,
        start: String,
        at: Option<Revision>,
    ) -> BoxFuture<'static, Result<RangeResult, StorageError>> {
        let (store, end) = (self.store.clone(), self.scope.end.clone());
        async move {
            let range = RangeRequest {
                start,
                end,
                limit: PAGE,
                revision: at,
            };
            let begun = Instant::now();
            let found = store.hub.backend().range(range).await;
            store.metrics().asked(Operation::List, begun, &found);
            match found {
                Ok(found) => Ok(found),
                Err(error) => Err(refused(&store, error, at).await),
            }
        }
        .boxed()
    }

    /// Watches from what has been received on.
    fn open(&self, delay: Duration) -> BoxFuture<'static, Result<BackendWatch, BackendError>> {
        let backend = Arc::clone(self.store.hub.backend());
        let range = WatchRange {
            with_previous: true,
            resumable: true,
            ..WatchRange::new(&self.scope.start, self.received.next())
        };
        async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..1.0))).await;
            }
            backend.watch(range).await
        }
        .boxed()
    }

    pub(crate) fn try_next(&mut self) -> Option<WatchItem> {
        match self.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(item) => Some(item),
            Poll::Pending => None,
        }
    }

    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<WatchItem> {
        loop {
            while let Some(raw) = self.pending.pop_front() {
                match self.item(raw) {
                    Ok(Some(item)) => return Poll::Ready(item),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(self.failed(error)),
                }
            }
            let step = match &mut self.state {
                State::Listing(page) => page.poll_unpin(context).map(|page| self.take_page(page)),
                State::Opening(open) => open.poll_unpin(context).map(|watch| self.take_watch(watch)),
                State::Watching(watch) => watch
                    .messages
                    .poll_recv(context)
                    .map(|message| self.take_message(message)),
                State::Ended => return Poll::Ready(WatchItem::Closed),
            };
            match step {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(self.failed(error)),
                // What has come before the resource went is told first.
                Poll::Pending => {
                    std::task::ready!(self.gone.as_mut().poll(context));
                    self.state = State::Ended;
                }
            }
        }
    }

    fn failed(&mut self, error: StorageError) -> WatchItem {
        self.pending.clear();
        self.state = State::Ended;
        WatchItem::Failed(Box::new(error))
    }

    fn take_page(&mut self, page: Result<RangeResult, StorageError>) -> Result<(), StorageError> {
        let page = page?;
        if self.received == Revision::ZERO {
            at_least(self.least, page.revision)?;
            self.received = page.revision;
        }
        self.store.metrics().initial.add(page.kvs.len());
        let last = page.kvs.last().map(|kv| kv.key.clone());
        self.pending.extend(page.kvs.into_iter().map(Raw::Initial));
        self.state = match last.filter(|_| page.more) {
            Some(last) => State::Listing(self.page(format!("{last}\0"), Some(self.received))),
            None => {
                if self.mark_end {
                    self.pending.push_back(Raw::InitialEnd);
                }
                State::Opening(self.open(Duration::ZERO))
            }
        };
        Ok(())
    }

    fn take_watch(&mut self, watch: Result<BackendWatch, BackendError>) -> Result<(), StorageError> {
        match watch {
            Ok(watch) => self.state = State::Watching(watch),
            Err(error) => self.resume(error)?,
        }
        Ok(())
    }

    fn take_message(
        &mut self,
        message: Option<Result<WatchMessage, BackendError>>,
    ) -> Result<(), StorageError> {
        match message {
            Some(Ok(message)) => {
                self.retry = FIRST_RETRY;
                self.received = self.received.max(message.revision);
                self.store.metrics().told.add(message.events.len());
                self.pending.extend(message.events.into_iter().map(Raw::Change));
                Ok(())
            }
            Some(Err(error)) => self.resume(error),
            None => self.resume(BackendError::Unavailable {
                message: "the watch ended".to_owned(),
            }),
        }
    }

    /// Watches anew unless what would come next is gone.
    fn resume(&mut self, error: BackendError) -> Result<(), StorageError> {
        if let BackendError::Compacted { oldest, .. } = error {
            return Err(StorageError::Expired {
                requested: self.received,
                oldest,
            });
        }
        tracing::debug!(resource = self.store.resource().name, %error, "a client's watch of the backend is resumed");
        self.state = State::Opening(self.open(self.retry));
        self.retry = (self.retry * 2).min(LAST_RETRY);
        Ok(())
    }

    /// What the client sees of it.
    fn item(&self, raw: Raw) -> Result<Option<WatchItem>, StorageError> {
        let event = match raw {
            Raw::Initial(kv) => {
                let object = self
                    .store
                    .cache
                    .decode(&kv.key, kv.value, kv.mod_revision, EventKind::Added)?;
                self.selects(&object)
                    .then(|| WatchEvent::of(EventKind::Added, object))
            }
            Raw::InitialEnd => {
                return Ok(Some(WatchItem::Bookmark {
                    revision: self.received,
                    initial_events_end: true,
                }));
            }
            Raw::Change(change) => self.change(change)?,
        };
        Ok(event.map(WatchItem::Event))
    }

    fn selects(&self, object: &StoredObject) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(object))
    }

    fn change(&self, change: RawEvent) -> Result<Option<WatchEvent>, StorageError> {
        let RawEvent {
            key,
            value,
            previous,
            revision,
        } = change;
        let decode = |value: bytes::Bytes, kind| self.store.cache.decode(&key, value.into(), revision, kind);
        let kind = match previous {
            Previous::Nothing => EventKind::Added,
            Previous::Value(_) => EventKind::Modified,
            // Whether the client has seen it can't be known.
            Previous::Unknown => {
                return Err(StorageError::Expired {
                    requested: Revision::new(revision.value() - 1),
                    oldest: revision,
                });
            }
        };
        let after = value.map(|value| decode(value, kind)).transpose()?;
        let before: Option<ObjectRef> = match previous {
            // Without a selector the client has seen it as surely as it sees what it has become.
            Previous::Value(_) if after.is_some() && self.filter.is_none() => None,
            Previous::Value(value) => Some(decode(value, EventKind::Deleted)?),
            Previous::Nothing | Previous::Unknown => None,
        };
        let after = after.filter(|object| self.selects(object));
        let was_seen = match &before {
            Some(before) => self.selects(before),
            None => kind == EventKind::Modified,
        };
        Ok(match (was_seen, before, after) {
            (true, _, Some(after)) => Some(WatchEvent::of(EventKind::Modified, after)),
            (false, _, Some(after)) => Some(WatchEvent::of(EventKind::Added, after)),
            (true, Some(before), None) => Some(WatchEvent::of(EventKind::Deleted, before)),
            (_, _, None) => None,
        })
    }
}
