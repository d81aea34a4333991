//! What the backends without etcd have in common: keys with their versions, the changes since the compaction, and
//! watches over them. The rules are etcd's.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::{
    BackendError, BackendWatch, KeyValue, Previous, ProgressRequester, RangeRequest, RangeResult, RawEvent,
    WatchMessage, WatchRange,
};
use crate::revision::Revision;

/// Messages a watch may be behind its reader before the reader is waited for.
const WATCH_BUFFER: usize = 16;

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub at: Revision,
    /// None for a deletion.
    pub value: Option<Bytes>,
    /// What makes the key go away by itself; what it means is the backend's matter.
    pub lease: Option<u64>,
}

/// A change in the order of revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub key: Arc<str>,
    pub version: Version,
}

/// All keys, and the changes after the compaction.
pub(super) struct History {
    revision: Revision,
    compacted: Revision,
    keys: BTreeMap<Arc<str>, Vec<Version>>,
    changes: Vec<Record>,
}

impl Default for History {
    fn default() -> Self {
        History {
            revision: Revision::new(1),
            compacted: Revision::ZERO,
            keys: BTreeMap::new(),
            changes: Vec::new(),
        }
    }
}

impl History {
    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// The newest version of a key that exists.
    pub fn current(&self, key: &str) -> Option<&Version> {
        self.keys
            .get(key)?
            .last()
            .filter(|version| version.value.is_some())
    }

    /// Takes in a change, newer than all before.
    pub fn apply(&mut self, record: Record) {
        self.revision = self.revision.max(record.version.at);
        self.keys
            .entry(record.key.clone())
            .or_default()
            .push(record.version.clone());
        self.changes.push(record);
    }

    /// Goes on after `revision`, though nothing that is kept is as new.
    pub fn reach(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    /// Every version that is kept, in the order of revisions.
    pub fn records(&self) -> Vec<Record> {
        let versions = self.keys.iter().flat_map(|(key, versions)| {
            versions.iter().map(|version| Record {
                key: key.clone(),
                version: version.clone(),
            })
        });
        let mut records: Vec<Record> = versions.collect();
        records.sort_by_key(|record| record.version.at);
        records
    }

    /// Whether history may be dropped up to `revision`.
    pub fn may_compact(&self, revision: Revision) -> Result<(), BackendError> {
        if revision > self.revision {
            return Err(BackendError::FutureRevision {
                requested: revision,
                current: self.revision,
            });
        }
        if revision <= self.compacted {
            return Err(BackendError::Compacted {
                requested: revision,
                oldest: self.compacted,
            });
        }
        Ok(())
    }

    /// Drops what isn't needed to read at `revision` or later.
    pub fn compact(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
        self.compacted = self.compacted.max(revision);
        self.changes.retain(|change| change.version.at >= revision);
        self.keys.retain(|_, versions| {
            let keep = versions
                .iter()
                .rposition(|version| version.at <= revision)
                .unwrap_or(0);
            versions.drain(..keep);
            versions
                .iter()
                .any(|version| version.value.is_some() || version.at > revision)
        });
    }

    pub fn range(&self, request: RangeRequest) -> Result<RangeResult, BackendError> {
        let at = request.revision.unwrap_or(self.revision);
        if at > self.revision {
            return Err(BackendError::FutureRevision {
                requested: at,
                current: self.revision,
            });
        }
        if at < self.compacted {
            return Err(BackendError::Compacted {
                requested: at,
                oldest: self.compacted,
            });
        }
        let mut result = RangeResult {
            kvs: Vec::new(),
            more: false,
            count: 0,
            revision: self.revision,
        };
        if request.start >= request.end {
            return Ok(result);
        }
        let range = Arc::from(request.start)..Arc::from(request.end);
        for (key, versions) in self.keys.range::<Arc<str>, _>(range) {
            let Some(version) = versions.iter().rev().find(|version| version.at <= at) else {
                continue;
            };
            let Some(value) = &version.value else { continue };
            result.count += 1;
            if request.limit == 0 || result.kvs.len() < request.limit {
                result.kvs.push(KeyValue {
                    key: key.to_string(),
                    value: value.to_vec(),
                    mod_revision: version.at,
                });
            } else {
                result.more = true;
            }
        }
        Ok(result)
    }

    /// What a key held before its change at `at`.
    fn before(&self, key: &str, at: Revision) -> Previous {
        let versions = self.keys.get(key).map_or(&[][..], Vec::as_slice);
        let earlier = versions.partition_point(|version| version.at < at);
        match earlier.checked_sub(1).map(|index| &versions[index].value) {
            Some(Some(value)) => Previous::Value(value.clone()),
            Some(None) => Previous::Nothing,
            // The compaction has taken what was before the state that it kept.
            None if at <= self.compacted => Previous::Unknown,
            None => Previous::Nothing,
        }
    }

    /// A key with its value, as conflicts tell it.
    pub fn current_kv(&self, key: &str) -> Option<KeyValue> {
        self.current(key).and_then(|version| key_value(key, version))
    }
}

/// None when the version is a deletion.
pub(super) fn key_value(key: &str, version: &Version) -> Option<KeyValue> {
    Some(KeyValue {
        key: key.to_owned(),
        value: version.value.as_ref()?.to_vec(),
        mod_revision: version.at,
    })
}

/// A history that is read and watched while it grows.
pub(super) struct Shared {
    history: Mutex<History>,
    revision: watch::Sender<Revision>,
}

impl Shared {
    pub fn new(history: History) -> Self {
        Shared {
            revision: watch::Sender::new(history.revision),
            history: Mutex::new(history),
        }
    }

    pub fn read<T>(&self, read: impl FnOnce(&History) -> T) -> T {
        read(&self.history.lock())
    }

    /// Changes it and wakes the watches.
    pub fn change<T>(&self, change: impl FnOnce(&mut History) -> T) -> T {
        let mut history = self.history.lock();
        let result = change(&mut history);
        self.revision.send_replace(history.revision);
        result
    }

    /// Watches keys for changes. A reader that is behind costs nobody anything, so that all may be.
    pub fn watch(self: &Arc<Self>, range: WatchRange) -> Result<BackendWatch, BackendError> {
        let from = range.from;
        let (sender, messages) = mpsc::channel(WATCH_BUFFER);
        // One request serves all who ask before it is answered.
        let (progress, progress_requests) = mpsc::channel(1);
        let oldest = self.read(History::compacted);
        if from < oldest {
            return Err(BackendError::Compacted {
                requested: from,
                oldest,
            });
        }
        let feed = Feed {
            shared: Arc::downgrade(self),
            prefix: range.prefix,
            next: from,
            with_previous: range.with_previous,
        };
        let feed = tokio::spawn(feed.run(self.revision.subscribe(), progress_requests, sender));
        Ok(BackendWatch {
            messages,
            progress: ProgressRequester(progress),
            feed: Some(AbortOnDropHandle::new(feed)),
        })
    }
}

/// One watch: reads the changes from where it is.
struct Feed {
    shared: Weak<Shared>,
    prefix: String,
    next: Revision,
    with_previous: bool,
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
        let shared = self.shared.upgrade()?;
        let history = shared.history.lock();
        if self.next < history.compacted {
            return Some(Err(BackendError::Compacted {
                requested: self.next,
                oldest: history.compacted,
            }));
        }
        let begin = history
            .changes
            .partition_point(|change| change.version.at < self.next);
        let events = history.changes[begin..]
            .iter()
            .filter(|change| change.key.starts_with(&self.prefix))
            .map(|change| RawEvent {
                key: change.key.to_string(),
                value: change.version.value.clone(),
                previous: match self.with_previous {
                    true => history.before(&change.key, change.version.at),
                    false => Previous::Unknown,
                },
                revision: change.version.at,
            })
            .collect();
        // A watch may begin in the future.
        self.next = self.next.max(history.revision.next());
        Some(Ok(WatchMessage {
            events,
            revision: history.revision,
        }))
    }
}
