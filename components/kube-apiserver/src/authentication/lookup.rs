//! Reading the objects that credentials are bound to, and noting on them that they were used.

use async_trait::async_trait;
use serde_json::Value;

/// An object could not be read, which is not the same as its not being there.
#[derive(Debug, thiserror::Error)]
#[error("reading {resource} failed: {message}")]
pub struct LookupError {
    pub resource: String,
    pub message: String,
}

/// Reads single objects: from the watch cache, and from etcd when the cache doesn't have them yet.
#[async_trait]
pub trait Lookup: Send + Sync {
    async fn get(&self, resource: &str, namespace: &str, name: &str) -> Result<Option<Value>, LookupError>;

    /// Labels an object that is still the one with this uid; one that is gone is left alone.
    async fn label(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        uid: &str,
        label: (&str, &str),
    ) -> Result<(), LookupError>;
}
