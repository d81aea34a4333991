//! A durable backend inside the API server, for a single node, development and tests: a write-ahead log that is
//! synced before a write is shown or acknowledged, and snapshots that keep it short. All keys are held in memory.

use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::history::{History, Shared};
use super::{Backend, BackendError, BackendWatch, RangeRequest, RangeResult, TxnOutcome, WatchRange};
use crate::revision::Revision;

mod files;
mod record;
mod writer;

use files::Files;
use writer::{Job, Writer};

/// The log begins anew above this many bytes.
const ROTATE_ABOVE: u64 = 64 << 20;

/// One directory of files; a second server on it is refused.
pub struct EmbeddedBackend {
    shared: Arc<Shared>,
    /// Unbounded: the API server bounds the requests that wait here. None while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Taken by the one who watches over the thread.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl EmbeddedBackend {
    /// Opens the directory, made if it is missing. Reads all of it, so not to be called where others wait.
    pub fn open(directory: &Path) -> Result<Self, BackendError> {
        Self::open_with(directory, ROTATE_ABOVE)
    }

    /// The same with another limit of the log's bytes.
    pub fn open_with(directory: &Path, rotate_above: u64) -> Result<Self, BackendError> {
        let (files, history) = Files::open(directory)?;
        let shared = Arc::new(Shared::new(history));
        let (jobs, queue) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&shared), files, rotate_above);
        let (thread, ended) =
            thread(move || writer.run(&queue)).map_err(|error| BackendError::Unavailable {
                message: format!("starting the log's thread: {error}"),
            })?;
        Ok(EmbeddedBackend {
            shared,
            jobs: Some(jobs),
            thread: Some(thread),
            ended: Mutex::new(Some(ended)),
        })
    }

    /// Ends with the thread that writes, which before the backend's own end means that it panicked: nothing can be
    /// written any more. For the first caller; further ones wait for ever.
    pub async fn ended(&self) {
        let ended = self.ended.lock().take();
        match ended {
            // Nothing is ever sent.
            Some(ended) => {
                let _ = ended.await;
            }
            None => std::future::pending().await,
        }
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, BackendError>>) -> Job,
    ) -> Result<T, BackendError> {
        let ended = || BackendError::Unavailable {
            message: "the log's thread has ended".to_owned(),
        };
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job(answer)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    async fn write(
        &self,
        key: &str,
        expected: Option<Revision>,
        value: Option<Bytes>,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        let key = key.to_owned();
        self.ask(|answer| Job::Write {
            key,
            expected,
            value,
            ttl,
            answer,
        })
        .await
    }
}

/// Starts the thread; the receiver is told when it ends, also by a panic.
fn thread(work: impl FnOnce() + Send + 'static) -> io::Result<(JoinHandle<()>, oneshot::Receiver<()>)> {
    let (running, ended) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("storage-log".to_owned())
        .spawn(move || {
            let _running = running;
            work();
        })?;
    Ok((thread, ended))
}

impl Drop for EmbeddedBackend {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It ends after the sync under way; a panic in it has been reported by itself.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Backend for EmbeddedBackend {
    async fn range(&self, request: RangeRequest) -> Result<RangeResult, BackendError> {
        self.shared.read(|history| history.range(request))
    }

    async fn create(
        &self,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        self.write(key, None, Some(value), ttl).await
    }

    async fn update(
        &self,
        key: &str,
        value: Bytes,
        expected: Revision,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        self.write(key, Some(expected), Some(value), ttl).await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<TxnOutcome, BackendError> {
        self.write(key, Some(expected), None, None).await
    }

    async fn current_revision(&self) -> Result<Revision, BackendError> {
        Ok(self.shared.read(History::revision))
    }

    async fn watch(&self, range: WatchRange) -> Result<BackendWatch, BackendError> {
        self.shared.watch(range)
    }

    async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        self.ask(|answer| Job::Compact { revision, answer }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_thread_that_panics_is_not_missed_by_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let mut backend = EmbeddedBackend::open(directory.path()).unwrap();
        assert!(futures::FutureExt::now_or_never(backend.ended()).is_none());
        let (panicking, ended) = thread(|| panic!("on purpose")).unwrap();
        backend.ended = Mutex::new(Some(ended));
        tokio::time::timeout(Duration::from_secs(10), backend.ended())
            .await
            .unwrap();
        assert!(panicking.join().is_err());
    }
}
