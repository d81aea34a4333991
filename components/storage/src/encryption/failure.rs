//! Why a value can't be encrypted or decrypted.

use crate::error::StorageError;

/// What went wrong; never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub message: String,
    /// A key management service failed to answer: later it may.
    pub awaits_service: bool,
}

impl Failure {
    pub(super) fn of_service(message: String) -> Self {
        Self {
            message,
            awaits_service: true,
        }
    }

    /// What all providers said.
    pub(super) fn all(failures: &[Self]) -> Self {
        let messages: Vec<&str> = failures.iter().map(|failure| &*failure.message).collect();
        Self {
            message: messages.join("; "),
            awaits_service: failures.iter().any(|failure| failure.awaits_service),
        }
    }

    /// The same of the value under a key.
    pub(super) fn of(self, key: &str) -> StorageError {
        let message = format!("unable to transform key {key:?}: {}", self.message);
        let key = key.to_owned();
        if self.awaits_service {
            StorageError::KeyUnavailable { key, message }
        } else {
            StorageError::Corrupt { key, message }
        }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self {
            message,
            awaits_service: false,
        }
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}
