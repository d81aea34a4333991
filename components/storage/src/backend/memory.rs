//! A backend in memory, for tests: the same history, compaction and watch rules as etcd.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::history::{History, Record, Shared, Version};
use super::{Backend, BackendError, BackendWatch, RangeRequest, RangeResult, TxnOutcome, WatchRange};
use crate::revision::Revision;

struct Inner {
    shared: Arc<Shared>,
    next_lease: AtomicU64,
}

/// Everything is lost with the last handle.
#[derive(Clone)]
pub struct MemoryBackend {
    inner: Arc<Inner>,
}

impl Default for MemoryBackend {
    fn default() -> Self {
        MemoryBackend {
            inner: Arc::new(Inner {
                shared: Arc::new(Shared::new(History::default())),
                next_lease: AtomicU64::new(0),
            }),
        }
    }
}

fn write(history: &mut History, key: &str, value: Option<Bytes>, lease: Option<u64>) -> Revision {
    let at = history.revision().next();
    history.apply(Record {
        key: key.into(),
        version: Version { at, value, lease },
    });
    at
}

impl MemoryBackend {
    fn write_if(
        &self,
        key: &str,
        expected: Option<Revision>,
        value: Option<Bytes>,
        ttl: Option<Duration>,
    ) -> TxnOutcome {
        let lease = self.lease(key, ttl);
        self.inner.shared.change(
            |history| match history.current(key).map(|version| version.at) == expected {
                true => TxnOutcome::Done(write(history, key, value, lease)),
                false => TxnOutcome::Conflict(history.current_kv(key)),
            },
        )
    }

    fn lease(&self, key: &str, ttl: Option<Duration>) -> Option<u64> {
        let ttl = ttl?;
        let lease = self.inner.next_lease.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::downgrade(&self.inner.shared);
        let key = key.to_owned();
        // Ends with its one deletion, or with the backend.
        tokio::spawn(async move {
            tokio::time::sleep(ttl).await;
            if let Some(shared) = shared.upgrade() {
                shared.change(|history| {
                    let current = history.current(&key);
                    if current.is_some_and(|version| version.lease == Some(lease)) {
                        write(history, &key, None, None);
                    }
                });
            }
        });
        Some(lease)
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn range(&self, request: RangeRequest) -> Result<RangeResult, BackendError> {
        self.inner.shared.read(|history| history.range(request))
    }

    async fn create(
        &self,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        Ok(self.write_if(key, None, Some(value), ttl))
    }

    async fn update(
        &self,
        key: &str,
        value: Bytes,
        expected: Revision,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        Ok(self.write_if(key, Some(expected), Some(value), ttl))
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<TxnOutcome, BackendError> {
        Ok(self.write_if(key, Some(expected), None, None))
    }

    async fn current_revision(&self) -> Result<Revision, BackendError> {
        Ok(self.inner.shared.read(History::revision))
    }

    async fn watch(&self, range: WatchRange) -> Result<BackendWatch, BackendError> {
        self.inner.shared.watch(range)
    }

    async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        self.inner.shared.change(|history| {
            history.may_compact(revision)?;
            history.compact(revision);
            Ok(())
        })
    }
}
