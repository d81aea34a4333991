//! The revisioned key-value store under everything: one trait; etcd, an embedded log and memory behind it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::BackendMetrics;
use crate::revision::Revision;

mod embedded;
mod etcd;
mod history;
mod memory;

pub use embedded::EmbeddedBackend;
pub use etcd::{EtcdBackend, EtcdDialer, EtcdOptions, EtcdStream, EtcdTls};
pub use memory::MemoryBackend;

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: String,
    pub value: Vec<u8>,
    pub mod_revision: Revision,
}

/// Keys from `start` (inclusive) to `end` (exclusive).
#[derive(Clone, Debug, Default)]
pub struct RangeRequest {
    pub start: String,
    pub end: String,
    /// At most this many; 0 is all.
    pub limit: usize,
    /// The state to read; None is the newest, linearizable.
    pub revision: Option<Revision>,
}

impl RangeRequest {
    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &str) -> Self {
        RangeRequest {
            start: prefix.to_owned(),
            end: prefix_end(prefix),
            ..RangeRequest::default()
        }
    }
}

/// The first key after all that begin with `prefix`, which must end in a character below 0x7f.
pub(crate) fn prefix_end(prefix: &str) -> String {
    let mut end = prefix.to_owned();
    match end.pop() {
        Some(last) if last < '\u{7f}' => end.push(char::from(last as u8 + 1)),
        _ => end.push('\u{10ffff}'),
    }
    end
}

/// Result of a range.
#[derive(Clone, Debug)]
pub struct RangeResult {
    pub kvs: Vec<KeyValue>,
    /// Whether `limit` cut the range short.
    pub more: bool,
    /// Number of keys in the whole range.
    pub count: u64,
    /// The newest revision of the store when it answered, whatever revision was read.
    pub revision: Revision,
}

/// Result of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Written at this revision.
    Done(Revision),
    /// The condition didn't hold; what is there instead.
    Conflict(Option<KeyValue>),
}

/// A watch of keys that begin with `prefix`, from the change at `from` on.
#[derive(Clone, Debug)]
pub struct WatchRange {
    pub prefix: String,
    pub from: Revision,
    /// Changes come with what was there before.
    pub with_previous: bool,
    /// Nobody waits for a reader that is far behind: its watch ends as if the backend had become unavailable, and it
    /// resumes where it is. Else the backend waits, which is for readers that all others depend on.
    pub resumable: bool,
}

impl WatchRange {
    /// Changes alone, all of them on one watch.
    pub fn new(prefix: &str, from: Revision) -> Self {
        WatchRange {
            prefix: prefix.to_owned(),
            from,
            with_previous: false,
            resumable: false,
        }
    }
}

/// What a key held before a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Previous {
    /// The watch didn't ask for it, or the history before the change is gone.
    #[default]
    Unknown,
    /// The key was made.
    Nothing,
    Value(Bytes),
}

/// One change seen by a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEvent {
    pub key: String,
    /// None for a deletion.
    pub value: Option<Bytes>,
    pub previous: Previous,
    pub revision: Revision,
}

/// Changes in order; all changes of one revision come in one message.
#[derive(Clone, Debug)]
pub struct WatchMessage {
    pub events: Vec<RawEvent>,
    /// Every change up to and including this revision has been delivered.
    pub revision: Revision,
}

/// A running watch; it ends when dropped.
pub struct BackendWatch {
    pub messages: mpsc::Receiver<Result<WatchMessage, BackendError>>,
    pub progress: ProgressRequester,
    /// What feeds it, if that is a task.
    pub feed: Option<AbortOnDropHandle<()>>,
}

/// Asks a watch to report how far it is, by a message without events.
#[derive(Clone)]
pub struct ProgressRequester(pub(crate) mpsc::Sender<()>);

impl ProgressRequester {
    /// Never waits; a request that is pending already serves.
    pub fn request(&self) {
        // Full means that one is on its way; closed is noticed by who reads the messages.
        let _ = self.0.try_send(());
    }
}

/// Failure of the backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    #[error("revision {requested} has been compacted, the oldest is {oldest}")]
    Compacted { requested: Revision, oldest: Revision },
    #[error("revision {requested} is in the future, the newest is {current}")]
    FutureRevision { requested: Revision, current: Revision },
    #[error("request is too large")]
    TooLarge,
    /// It can't be asked, or says that it can't serve: a write has not been applied.
    #[error("{message}")]
    Unavailable { message: String },
    /// No answer in time, or an answer that got lost: a write may have been applied, or may still be.
    #[error("{message}")]
    Unanswered { message: String },
}

/// A revisioned key-value store.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Reads a range of keys in order.
    async fn range(&self, request: RangeRequest) -> Result<RangeResult, BackendError>;

    /// Writes the key if it doesn't exist. With a time to live the key goes away by itself, not before it.
    async fn create(
        &self,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError>;

    /// Writes the key if its last change was at `expected`.
    async fn update(
        &self,
        key: &str,
        value: Bytes,
        expected: Revision,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError>;

    /// Deletes the key if its last change was at `expected`.
    async fn delete(&self, key: &str, expected: Revision) -> Result<TxnOutcome, BackendError>;

    /// The newest revision, linearizable.
    async fn current_revision(&self) -> Result<Revision, BackendError>;

    /// Watches keys for changes.
    async fn watch(&self, range: WatchRange) -> Result<BackendWatch, BackendError>;

    /// Forgets history before `revision`; it stays readable itself.
    async fn compact(&self, revision: Revision) -> Result<(), BackendError>;

    /// Bytes that the database takes on its disk, free pages included; `None` where nobody knows.
    async fn size(&self) -> Result<Option<u64>, BackendError> {
        Ok(None)
    }

    /// What it counts of itself.
    fn metrics(&self) -> Option<&BackendMetrics> {
        None
    }
}
