//! Revisioned storage: backends, encryption at rest, the watch cache, and one store per resource.

mod backend;
mod cache;
mod cbor;
pub mod compaction;
mod encryption;
mod error;
mod local;
pub mod metrics;
mod object;
mod raw;
mod resource;
mod revision;
pub mod spans;
mod storage;
mod store;
mod watcher;

pub use backend::{
    Backend, BackendError, BackendWatch, EmbeddedBackend, EtcdBackend, EtcdDialer, EtcdOptions, EtcdStream,
    EtcdTls, KeyValue, MemoryBackend, Previous, ProgressRequester, RangeRequest, RangeResult, RawEvent,
    TxnOutcome, WatchMessage, WatchRange,
};
pub use cache::{EventKind, WatchEvent, bookmark_frame};
pub use encryption::{
    EncryptionConfigError, Mistake, ReloadError, Transformers, kms_metrics,
    register_metrics as register_encryption_metrics,
};
pub use error::StorageError;
pub use object::{EncodingId, Marks, ObjectRef, OwnerUid, StoredObject};
pub use raw::RawStore;
pub use resource::{CacheFor, Decoded, FieldSpec, ResourceSpec, StoredDecoder};
pub use revision::{RequestedRevision, Revision};
pub use storage::{Storage, StorageOptions};
pub use store::{
    Change, Filter, Json, ListPage, ListRequest, Preconditions, RevisionMatch, Store, Updated, WatchRequest,
    continue_key,
};
pub use watcher::{WatchItem, Watcher};
