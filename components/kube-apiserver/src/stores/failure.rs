//! What ends a transaction before it is stored.

use super::to_api_error;
use apimachinery::{ApiError, GroupResource};
use storage::StorageError;

/// An error on its way through a transaction of the storage: its own, or an answer to the client.
#[derive(Debug)]
pub enum Failure {
    Storage(StorageError),
    Api(ApiError),
}

impl Failure {
    /// The answer, when the object was this.
    pub fn into_api_error(self, resource: &GroupResource, name: &str) -> ApiError {
        match self {
            Self::Storage(error) => to_api_error(error, resource, name),
            Self::Api(error) => error,
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}
