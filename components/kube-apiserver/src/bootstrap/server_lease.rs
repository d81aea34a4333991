//! Keys of single API servers in etcd, which run out unless their server writes them again.

use apimachinery::meta;
use serde_json::Value;
use std::time::Duration;
use storage::{RawStore, StorageError, TxnOutcome};

/// A server that has not written its key for this long is gone.
const LIFETIME: Duration = Duration::from_secs(15);
/// How often a key is written.
pub const PERIOD: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 5;

/// Writes the key anew. `object` makes its value with a generation, one more than the last.
pub async fn renew(raw: &RawStore, key: &str, object: impl Fn(i64) -> Value) -> anyhow::Result<()> {
    for _ in 0..ATTEMPTS {
        let stored = raw.get(key).await?;
        let generation = stored
            .as_ref()
            .and_then(|stored| serde_json::from_slice::<Value>(&stored.value).ok())
            .map_or(0, |value| meta::generation(&value));
        let value = object(generation + 1).to_string().into_bytes();
        let expected = stored.map(|stored| stored.mod_revision);
        if let TxnOutcome::Done(_) = raw.put(key, value, expected, Some(LIFETIME)).await? {
            return Ok(());
        }
    }
    anyhow::bail!("{key} is being written by somebody else")
}

/// Removes the key if it is there.
pub async fn end(raw: &RawStore, key: &str) -> Result<(), StorageError> {
    if let Some(stored) = raw.get(key).await? {
        raw.delete(key, stored.mod_revision).await?;
    }
    Ok(())
}
