//! The one thread that writes: it takes what has been asked for meanwhile, decides, syncs once, and only then shows
//! and acknowledges it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::history::{History, Record, Shared, Version, key_value};
use super::super::{BackendError, TxnOutcome};
use super::files::Files;
use super::record::Entry;
use crate::revision::Revision;

/// Jobs that share a sync.
const BATCH: usize = 256;
/// An expiry is looked for again after this long at the latest, whatever the clock does.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is asked of the writer.
pub(super) enum Job {
    Write {
        key: String,
        expected: Option<Revision>,
        value: Option<Bytes>,
        ttl: Option<Duration>,
        /// The asker may have gone; what it asked for is done all the same.
        answer: oneshot::Sender<Result<TxnOutcome, BackendError>>,
    },
    Compact {
        revision: Revision,
        answer: oneshot::Sender<Result<(), BackendError>>,
    },
}

enum Answer {
    Write(oneshot::Sender<Result<TxnOutcome, BackendError>>, TxnOutcome),
    Compact(oneshot::Sender<Result<(), BackendError>>),
}

impl Answer {
    fn give(self, failure: Option<&BackendError>) {
        // The asker may have gone.
        match (self, failure) {
            (Answer::Write(sender, _), Some(error)) => drop(sender.send(Err(error.clone()))),
            (Answer::Write(sender, outcome), None) => drop(sender.send(Ok(outcome))),
            (Answer::Compact(sender), Some(error)) => drop(sender.send(Err(error.clone()))),
            (Answer::Compact(sender), None) => drop(sender.send(Ok(()))),
        }
    }
}

/// When a key goes away, unless it has changed since that revision.
type Expiry = Reverse<(u64, Revision, Arc<str>)>;

pub(super) struct Writer {
    shared: Arc<Shared>,
    files: Files,
    expiries: BinaryHeap<Expiry>,
    /// The log begins anew above this many bytes.
    rotate_above: u64,
    /// After a failed sync nobody knows what is on disk: nothing is written until the server starts again.
    broken: Option<BackendError>,
}

/// Decided and not yet on disk.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    /// Newest versions among the entries.
    keys: HashMap<Arc<str>, Version>,
    answers: Vec<Answer>,
    revision: Option<Revision>,
    compacted: Option<Revision>,
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Writer {
    pub fn new(shared: Arc<Shared>, files: Files, rotate_above: u64) -> Self {
        let expiries = shared.read(|history| {
            let records = history.records();
            let leased = records
                .into_iter()
                .filter_map(|record| Some(Reverse((record.version.lease?, record.version.at, record.key))));
            leased.collect()
        });
        Writer {
            shared,
            files,
            expiries,
            rotate_above,
            broken: None,
        }
    }

    /// Ends when nobody can ask any more.
    pub fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let wait = self.expiries.peek().map_or(LONGEST_WAIT, |Reverse((at, ..))| {
                Duration::from_millis(at.saturating_sub(now())).min(LONGEST_WAIT)
            });
            let first = match jobs.recv_timeout(wait) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.broken.is_none() && self.files.length() > self.rotate_above {
                self.rotate();
            }
            let batch = self.decide(first.into_iter().chain(jobs.try_iter().take(BATCH)));
            self.finish(batch);
        }
    }

    fn decide(&mut self, jobs: impl Iterator<Item = Job>) -> Batch {
        let mut batch = Batch::default();
        let shared = Arc::clone(&self.shared);
        self.expire(&mut batch);
        for job in jobs {
            match job {
                Job::Write {
                    key,
                    expected,
                    value,
                    ttl,
                    answer,
                } => {
                    let lease = ttl.map(|ttl| now().saturating_add(ttl.as_millis() as u64).max(1));
                    let outcome = shared.read(|history| {
                        let current = batch.current(history, &key);
                        match current.as_ref().map(|version| version.at) == expected
                            && (value.is_some() || current.is_some())
                        {
                            true => Ok(()),
                            false => Err(current.and_then(|version| key_value(&key, &version))),
                        }
                    });
                    let outcome = match outcome {
                        Ok(()) => TxnOutcome::Done(self.stage(&mut batch, key.into(), value, lease)),
                        Err(current) => TxnOutcome::Conflict(current),
                    };
                    batch.answers.push(Answer::Write(answer, outcome));
                }
                Job::Compact { revision, answer } => {
                    let known = batch.compacted.is_some_and(|compacted| revision <= compacted);
                    match shared.read(|history| history.may_compact(revision)) {
                        Ok(()) if !known => {
                            batch.entries.push(Entry::Compact(revision));
                            batch.compacted = Some(revision);
                            batch.answers.push(Answer::Compact(answer));
                        }
                        Ok(()) => drop(answer.send(Err(BackendError::Compacted {
                            requested: revision,
                            oldest: batch.compacted.unwrap_or(revision),
                        }))),
                        Err(error) => drop(answer.send(Err(error))),
                    }
                }
            }
        }
        batch
    }

    fn stage(
        &mut self,
        batch: &mut Batch,
        key: Arc<str>,
        value: Option<Bytes>,
        lease: Option<u64>,
    ) -> Revision {
        let newest = batch
            .revision
            .unwrap_or_else(|| self.shared.read(History::revision));
        let at = newest.next();
        batch.revision = Some(at);
        if let Some(expiry) = lease {
            self.expiries.push(Reverse((expiry, at, key.clone())));
        }
        let version = Version { at, value, lease };
        batch.keys.insert(key.clone(), version.clone());
        batch.entries.push(Entry::Change(Record { key, version }));
        at
    }

    /// Deletes the keys whose time has come.
    fn expire(&mut self, batch: &mut Batch) {
        let now = now();
        while let Some(Reverse((at, revision, key))) = self.expiries.pop() {
            if at > now {
                self.expiries.push(Reverse((at, revision, key)));
                return;
            }
            let current = self.shared.read(|history| batch.current(history, &key));
            if current.is_some_and(|version| version.at == revision) {
                self.stage(batch, key, None, None);
            }
        }
    }

    /// Syncs, shows and acknowledges.
    fn finish(&mut self, batch: Batch) {
        if !batch.entries.is_empty() && self.broken.is_none() {
            let mut bytes = Vec::new();
            batch.entries.iter().for_each(|entry| entry.write(&mut bytes));
            match self.files.append(&bytes) {
                Ok(()) => self.show(batch.entries),
                Err(error) => {
                    tracing::error!(%error, "the store can no longer be written; the server has to be restarted");
                    self.broken = Some(error);
                }
            }
        }
        for answer in batch.answers {
            answer.give(self.broken.as_ref());
        }
    }

    fn show(&self, entries: Vec<Entry>) {
        self.shared.change(|history| {
            for entry in entries {
                match entry {
                    Entry::Change(record) => history.apply(record),
                    Entry::Compact(at) => history.compact(at),
                    Entry::End(_) => {}
                }
            }
        });
    }

    fn rotate(&mut self) {
        let (entries, at) = self.shared.read(|history| {
            let compacted = history.compacted();
            let before = (compacted > Revision::ZERO).then_some(Entry::Compact(compacted));
            let records = history.records().into_iter().map(Entry::Change);
            (records.chain(before).collect::<Vec<_>>(), history.revision())
        });
        if let Err(error) = self.files.write_snapshot(&entries, at) {
            tracing::error!(%error, "no snapshot could be written, the log goes on");
            self.rotate_above = self.files.length().saturating_mul(2);
            return;
        }
        if let Err(error) = self.files.rotate(at) {
            tracing::error!(%error, "the log can't begin anew; the server has to be restarted");
            self.broken = Some(error);
        }
    }
}

impl Batch {
    /// The newest version of a key that exists, with what is decided already.
    fn current(&self, history: &History, key: &str) -> Option<Version> {
        match self.keys.get(key) {
            Some(version) => Some(version).filter(|version| version.value.is_some()),
            None => history.current(key),
        }
        .cloned()
    }
}
