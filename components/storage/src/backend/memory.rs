//! A backend in memory, for tests: the same history, compaction and watch rules as etcd.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::{
    Backend, BackendError, BackendWatch, KeyValue, ProgressRequester, RangeRequest, RangeResult, RawEvent,
    TxnOutcome, WatchMessage,
};
use crate::revision::Revision;

/// Messages a watch may be behind its reader before the reader is waited for.
const WATCH_BUFFER: usize = 16;

#[derive(Clone)]
struct Version {
    at: Revision,
    value: Option<Vec<u8>>,
    lease: Option<u64>,
}

struct State {
    revision: Revision,
    compacted: Revision,
    keys: BTreeMap<String, Vec<Version>>,
    /// Every change after the compaction.
    log: Vec<RawEvent>,
    next_lease: u64,
}

struct Inner {
    state: Mutex<State>,
    revision: watch::Sender<Revision>,
}

/// Everything is lost with the last handle.
#[derive(Clone)]
pub struct MemoryBackend {
    inner: Arc<Inner>,
}

impl Default for MemoryBackend {
    fn default() -> Self {
        let revision = Revision::new(1);
        let state = State {
            revision,
            compacted: Revision::ZERO,
            keys: BTreeMap::new(),
            log: Vec::new(),
            next_lease: 0,
        };
        MemoryBackend {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                revision: watch::Sender::new(revision),
            }),
        }
    }
}

impl State {
    fn current(&self, key: &str) -> Option<&Version> {
        self.keys
            .get(key)?
            .last()
            .filter(|version| version.value.is_some())
    }

    fn current_kv(&self, key: &str) -> Option<KeyValue> {
        let version = self.current(key)?;
        Some(KeyValue {
            key: key.to_owned(),
            value: version.value.clone()?,
            mod_revision: version.at,
        })
    }

    fn write(&mut self, key: &str, value: Option<Vec<u8>>, lease: Option<u64>) -> Revision {
        self.revision = self.revision.next();
        let at = self.revision;
        self.log.push(RawEvent {
            key: key.to_owned(),
            value: value.clone(),
            revision: at,
        });
        self.keys
            .entry(key.to_owned())
            .or_default()
            .push(Version { at, value, lease });
        at
    }

    fn write_if(
        &mut self,
        key: &str,
        expected: Option<Revision>,
        value: Option<Vec<u8>>,
        lease: Option<u64>,
    ) -> TxnOutcome {
        match self.current(key).map(|version| version.at) == expected {
            true => TxnOutcome::Done(self.write(key, value, lease)),
            false => TxnOutcome::Conflict(self.current_kv(key)),
        }
    }
}

impl Inner {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        self.revision.send_replace(state.revision);
        result
    }
}

impl MemoryBackend {
    fn lease(&self, key: &str, ttl: Option<Duration>) -> Option<u64> {
        let ttl = ttl?;
        let lease = {
            let mut state = self.inner.state.lock();
            state.next_lease += 1;
            state.next_lease
        };
        let inner = Arc::downgrade(&self.inner);
        let key = key.to_owned();
        // Ends with its one deletion, or with the backend.
        tokio::spawn(async move {
            tokio::time::sleep(ttl).await;
            if let Some(inner) = inner.upgrade() {
                inner.change(|state| {
                    if state
                        .current(&key)
                        .is_some_and(|version| version.lease == Some(lease))
                    {
                        state.write(&key, None, None);
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
        let state = self.inner.state.lock();
        let at = request.revision.unwrap_or(state.revision);
        if at > state.revision {
            return Err(BackendError::FutureRevision {
                requested: at,
                current: state.revision,
            });
        }
        if at < state.compacted {
            return Err(BackendError::Compacted {
                requested: at,
                oldest: state.compacted,
            });
        }
        let mut result = RangeResult {
            kvs: Vec::new(),
            more: false,
            count: 0,
            revision: state.revision,
        };
        if request.start >= request.end {
            return Ok(result);
        }
        for (key, versions) in state.keys.range(request.start..request.end) {
            let Some(version) = versions.iter().rev().find(|version| version.at <= at) else {
                continue;
            };
            let Some(value) = &version.value else { continue };
            result.count += 1;
            if request.limit == 0 || result.kvs.len() < request.limit {
                result.kvs.push(KeyValue {
                    key: key.clone(),
                    value: value.clone(),
                    mod_revision: version.at,
                });
            } else {
                result.more = true;
            }
        }
        Ok(result)
    }

    async fn create(
        &self,
        key: &str,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        let lease = self.lease(key, ttl);
        Ok(self
            .inner
            .change(|state| state.write_if(key, None, Some(value), lease)))
    }

    async fn update(
        &self,
        key: &str,
        value: Vec<u8>,
        expected: Revision,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        let lease = self.lease(key, ttl);
        Ok(self
            .inner
            .change(|state| state.write_if(key, Some(expected), Some(value), lease)))
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<TxnOutcome, BackendError> {
        Ok(self.inner.change(|state| match state.current(key).is_some() {
            true => state.write_if(key, Some(expected), None, None),
            false => TxnOutcome::Conflict(None),
        }))
    }

    async fn current_revision(&self) -> Result<Revision, BackendError> {
        Ok(self.inner.state.lock().revision)
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<BackendWatch, BackendError> {
        let (sender, messages) = mpsc::channel(WATCH_BUFFER);
        let (progress, progress_requests) = mpsc::channel(1);
        let compacted = self.inner.state.lock().compacted;
        if from < compacted {
            return Err(BackendError::Compacted {
                requested: from,
                oldest: compacted,
            });
        }
        let revision = self.inner.revision.subscribe();
        let feed = Feed {
            inner: Arc::downgrade(&self.inner),
            prefix: prefix.to_owned(),
            next: from,
        };
        // Ends when the reader goes away.
        tokio::spawn(feed.run(revision, progress_requests, sender));
        Ok(BackendWatch {
            messages,
            progress: ProgressRequester(progress),
        })
    }

    async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        let mut state = self.inner.state.lock();
        if revision > state.revision {
            return Err(BackendError::FutureRevision {
                requested: revision,
                current: state.revision,
            });
        }
        if revision <= state.compacted {
            return Err(BackendError::Compacted {
                requested: revision,
                oldest: state.compacted,
            });
        }
        state.compacted = revision;
        state.log.retain(|event| event.revision >= revision);
        for versions in state.keys.values_mut() {
            let keep = versions
                .iter()
                .rposition(|version| version.at <= revision)
                .unwrap_or(0);
            versions.drain(..keep);
        }
        state.keys.retain(|_, versions| {
            versions
                .iter()
                .any(|version| version.value.is_some() || version.at > revision)
        });
        Ok(())
    }
}

/// One watch: reads the log from where it is.
struct Feed {
    inner: std::sync::Weak<Inner>,
    prefix: String,
    next: Revision,
}

impl Feed {
    async fn run(
        mut self,
        mut revision: watch::Receiver<Revision>,
        mut requests: mpsc::Receiver<()>,
        sender: mpsc::Sender<Result<WatchMessage, BackendError>>,
    ) {
        let mut report = false;
        loop {
            revision.borrow_and_update();
            let message = match self.take() {
                None => return,
                Some(Ok(message)) if message.events.is_empty() && !report => None,
                Some(message) => Some(message),
            };
            report = false;
            if let Some(message) = message {
                let failed = message.is_err();
                if sender.send(message).await.is_err() || failed {
                    return;
                }
            }
            tokio::select! {
                changed = revision.changed() => if changed.is_err() { return },
                request = requests.recv() => match request {
                    Some(()) => report = true,
                    None => return,
                },
                () = sender.closed() => return,
            }
        }
    }

    fn take(&mut self) -> Option<Result<WatchMessage, BackendError>> {
        let inner = self.inner.upgrade()?;
        let state = inner.state.lock();
        if self.next < state.compacted {
            return Some(Err(BackendError::Compacted {
                requested: self.next,
                oldest: state.compacted,
            }));
        }
        let begin = state.log.partition_point(|event| event.revision < self.next);
        let events = state.log[begin..]
            .iter()
            .filter(|event| event.key.starts_with(&self.prefix))
            .cloned()
            .collect();
        // A watch may begin in the future.
        self.next = self.next.max(state.revision.next());
        Some(Ok(WatchMessage {
            events,
            revision: state.revision,
        }))
    }
}
