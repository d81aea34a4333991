//! What a caller of a store may branch on.

use crate::backend::BackendError;
use crate::revision::Revision;

/// Failure of a storage operation; the API server maps each variant to one Status.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// No object under this key.
    #[error("key {key} not found")]
    NotFound { key: String },
    /// Create found an object under this key.
    #[error("key {key} already exists")]
    AlreadyExists { key: String },
    /// A precondition (uid or resourceVersion) doesn't hold; `message` says which.
    #[error("{message}")]
    PreconditionFailed { key: String, message: String },
    /// The object kept changing under a write without preconditions.
    #[error("the object under {key} kept changing while it was written")]
    Contended { key: String },
    /// The requested revision is no longer in the history: 410 Expired.
    #[error("too old resource version: {requested} ({oldest})")]
    Expired { requested: Revision, oldest: Revision },
    /// A continue token whose revision is gone. `restart` continues at the same key with the newest state.
    #[error("the provided continue parameter is too old to display a consistent list result")]
    ExpiredContinue { restart: Option<String> },
    /// The store hasn't reached the requested revision: 504 with cause ResourceVersionTooLarge.
    #[error("Too large resource version: {requested}, current: {current}")]
    TooLargeResourceVersion { requested: Revision, current: Revision },
    /// `resourceVersion` is not a number.
    #[error("invalid resource version {value:?}")]
    InvalidResourceVersion { value: String },
    /// The continue token wasn't made by an API server.
    #[error("continue key is not valid: {message}")]
    InvalidContinue { message: String },
    /// A name or namespace that can't be part of a key.
    #[error("invalid key: {message}")]
    InvalidKey { message: String },
    /// What is stored under the key can't be decrypted or decoded, or what should be stored is no object.
    #[error("{message}")]
    Corrupt { key: String, message: String },
    /// The key of the stored value, or of a value to be stored, can't be had now: its key management service fails.
    #[error("{message}")]
    KeyUnavailable { key: String, message: String },
    /// The value is larger than the backend accepts.
    #[error("the object under {key} is too large for the store")]
    TooLarge { key: String },
    /// The backend can't be asked; a write has not been applied.
    #[error("storage is unavailable: {message}")]
    Unavailable { message: String },
    /// The backend was asked and didn't answer; a write may have been applied, or may still be.
    #[error("storage doesn't answer: {message}")]
    Unanswered { message: String },
}

impl StorageError {
    pub(crate) fn from_backend(key: &str, error: BackendError) -> Self {
        match error {
            BackendError::Compacted { requested, oldest } => StorageError::Expired { requested, oldest },
            BackendError::FutureRevision { requested, current } => {
                StorageError::TooLargeResourceVersion { requested, current }
            }
            BackendError::TooLarge => StorageError::TooLarge { key: key.to_owned() },
            BackendError::Unavailable { message } => StorageError::Unavailable { message },
            BackendError::Unanswered { message } => StorageError::Unanswered { message },
        }
    }

    /// What is stored under the key is no object.
    pub fn corrupt(key: &str, why: impl std::fmt::Display) -> Self {
        StorageError::Corrupt {
            key: key.to_owned(),
            message: format!("object under {key} is unreadable: {why}"),
        }
    }
}
