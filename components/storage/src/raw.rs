//! Keys that are no objects of a resource: API server leases, allocation bitmaps.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Backend, KeyValue, RangeRequest, TxnOutcome};
use crate::error::StorageError;
use crate::revision::Revision;

/// Raw access below the etcd prefix. Values are stored as given.
#[derive(Clone)]
pub struct RawStore {
    backend: Arc<dyn Backend>,
    prefix: String,
}

impl RawStore {
    pub(crate) fn new(backend: Arc<dyn Backend>, prefix: String) -> Self {
        RawStore { backend, prefix }
    }

    fn key(&self, path: &str) -> String {
        format!("{}/{}", self.prefix, path.trim_start_matches('/'))
    }

    /// Reads `PREFIX/path`, linearizable.
    pub async fn get(&self, path: &str) -> Result<Option<KeyValue>, StorageError> {
        let key = self.key(path);
        let request = RangeRequest {
            start: key.clone(),
            end: format!("{key}\0"),
            ..RangeRequest::default()
        };
        match self.backend.range(request).await {
            Ok(mut found) => Ok(found.kvs.pop()),
            Err(error) => Err(StorageError::from_backend(&key, error)),
        }
    }

    /// Reads all keys that begin with `PREFIX/path`; end it with a slash.
    pub async fn list(&self, path: &str) -> Result<Vec<KeyValue>, StorageError> {
        let key = self.key(path);
        match self.backend.range(RangeRequest::prefix(&key)).await {
            Ok(found) => Ok(found.kvs),
            Err(error) => Err(StorageError::from_backend(&key, error)),
        }
    }

    /// Creates (`expected` None) or replaces the key if it is still at `expected`.
    pub async fn put(
        &self,
        path: &str,
        value: Vec<u8>,
        expected: Option<Revision>,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, StorageError> {
        let key = self.key(path);
        let outcome = match expected {
            None => self.backend.create(&key, value.into(), ttl).await,
            Some(expected) => self.backend.update(&key, value.into(), expected, ttl).await,
        };
        outcome.map_err(|error| StorageError::from_backend(&key, error))
    }

    /// Deletes the key if it is still at `expected`.
    pub async fn delete(&self, path: &str, expected: Revision) -> Result<TxnOutcome, StorageError> {
        let key = self.key(path);
        self.backend
            .delete(&key, expected)
            .await
            .map_err(|error| StorageError::from_backend(&key, error))
    }
}
