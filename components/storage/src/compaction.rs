//! Compaction of the store's history, agreed on by all API servers over one key as upstream does.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Backend, BackendError, KeyValue, RangeRequest, TxnOutcome};
use crate::cache::RunningHub;
use crate::error::StorageError;
use crate::revision::Revision;
use crate::storage::Storage;

/// Outside of the prefix, the same for every API server.
const KEY: &str = "compact_rev_key";

/// What a round has seen, for the next one.
#[derive(Default)]
struct Seen {
    /// Revision of the key itself; None when it doesn't exist.
    key_at: Option<Revision>,
    /// Newest revision of the store at that time.
    newest: Option<Revision>,
}

/// Compacts every backend every `interval` to where it was one interval ago. Runs until it is dropped.
pub async fn run(storage: Storage, interval: Duration) {
    let all = storage.hubs();
    futures::future::join_all(all.iter().map(|hub| keep_compacted(hub, interval))).await;
}

async fn keep_compacted(hub: &RunningHub, interval: Duration) {
    let mut seen = Seen::default();
    loop {
        match round(hub.backend(), &mut seen).await {
            Ok(compacted) => hub.forget_before(compacted),
            Err(error) => {
                tracing::warn!(%error, "compaction of the store failed, trying again in the next round");
            }
        }
        tokio::time::sleep(interval).await;
    }
}

/// One round: who moves the key compacts to what it saw in the round before. Gives the revision before which there is
/// no history any more, whoever compacted.
async fn round(backend: &Arc<dyn Backend>, seen: &mut Seen) -> Result<Revision, StorageError> {
    let failed = |error| StorageError::from_backend(KEY, error);
    let value = seen.newest.unwrap_or(Revision::ZERO).to_string().into_bytes();
    let outcome = match seen.key_at {
        None => backend.create(KEY, value.into(), None).await,
        Some(at) => backend.update(KEY, value.into(), at, None).await,
    };
    match outcome.map_err(failed)? {
        TxnOutcome::Conflict(current) => {
            // Another server has done it.
            let compacted = current.as_ref().and_then(said).unwrap_or(Revision::ZERO);
            seen.key_at = current.map(|kv| kv.mod_revision);
            seen.newest = Some(backend.current_revision().await.map_err(failed)?);
            Ok(compacted)
        }
        TxnOutcome::Done(at) => {
            let compact_to = seen.newest.replace(at);
            seen.key_at = Some(at);
            let Some(revision) = compact_to else {
                return Ok(Revision::ZERO);
            };
            match backend.compact(revision).await {
                Ok(()) => tracing::debug!(%revision, "compacted the store"),
                Err(BackendError::Compacted { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
            Ok(revision)
        }
    }
}

/// The revision that the key speaks of.
fn said(key: &KeyValue) -> Option<Revision> {
    Revision::parse(&String::from_utf8_lossy(&key.value)).ok()
}

/// Reads what the key says, for tests and diagnosis: the revision of the last compaction.
pub async fn last_compaction(backend: &Arc<dyn Backend>) -> Result<Option<Revision>, StorageError> {
    let request = RangeRequest {
        start: KEY.to_owned(),
        end: format!("{KEY}\0"),
        ..RangeRequest::default()
    };
    let found = backend
        .range(request)
        .await
        .map_err(|error| StorageError::from_backend(KEY, error))?;
    match found.kvs.first() {
        Some(kv) => Revision::parse(&String::from_utf8_lossy(&kv.value)).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::MemoryBackend;

    #[tokio::test]
    async fn two_servers_compact_once_a_round() {
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
        let (mut one, mut two) = (Seen::default(), Seen::default());
        round(&backend, &mut one).await.unwrap();
        round(&backend, &mut two).await.unwrap();
        let first = one.newest.unwrap();
        for number in 0..5 {
            backend
                .create(&format!("/r/{number}"), Default::default(), None)
                .await
                .unwrap();
        }
        let old = |revision| RangeRequest {
            revision: Some(revision),
            ..RangeRequest::prefix("/r/")
        };
        let before = backend.current_revision().await.unwrap();
        assert_eq!(round(&backend, &mut one).await.unwrap(), first);
        // The other server learns of it.
        assert_eq!(round(&backend, &mut two).await.unwrap(), first);
        assert_eq!(last_compaction(&backend).await.unwrap(), Some(first));
        // What the first round saw is still readable, and everything after it.
        backend.range(old(first)).await.unwrap();
        round(&backend, &mut two).await.unwrap();
        round(&backend, &mut one).await.unwrap();
        assert!(last_compaction(&backend).await.unwrap().unwrap() > before);
        let error = backend.range(old(before)).await.unwrap_err();
        assert!(matches!(error, BackendError::Compacted { .. }));
    }
}
