//! One watch over the whole store feeds the caches of all resources.

use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::consistent::RevisionProbe;
use super::resource::ResourceCache;
use crate::backend::{
    Backend, BackendError, BackendWatch, ProgressRequester, RawEvent, WatchMessage, WatchRange,
};
use crate::error::StorageError;
use crate::local::PerRuntime;
use crate::metrics::Count;
use crate::revision::Revision;

/// A silent watch is asked for its progress this often, which also keeps bookmarks young.
const QUIET: Duration = Duration::from_secs(10);
/// A watch that doesn't answer for this long is given up.
const DEAD: Duration = Duration::from_secs(5);
/// A reader that waits asks again for progress after this long.
const NUDGE: Duration = Duration::from_millis(50);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

pub(crate) struct CacheOptions {
    pub consistent_read_timeout: Duration,
    pub bookmark_every: Duration,
}

pub(crate) struct Hub {
    backend: Arc<dyn Backend>,
    prefix: String,
    options: CacheOptions,
    routes: RwLock<BTreeMap<String, Arc<ResourceCache>>>,
    /// All caches have seen everything up to here; zero before the first contact.
    position: watch::Sender<Revision>,
    progress: Mutex<Option<ProgressRequester>>,
    probes: PerRuntime<RevisionProbe>,
    /// There is no history before this revision.
    compacted: AtomicI64,
    last_failure: Mutex<Option<BackendError>>,
    /// Reports of progress that came without changes.
    progressed: Count,
    /// Told when something can't be read.
    pub(super) unreadable: Arc<Notify>,
}

/// A hub with its tasks, which end with the last handle.
pub(crate) struct RunningHub {
    hub: Arc<Hub>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl RunningHub {
    pub(crate) fn start(hub: Arc<Hub>) -> Self {
        RunningHub {
            tasks: [
                tokio::spawn(hub.clone().run()),
                tokio::spawn(super::mend::run(hub.clone())),
            ],
            hub,
        }
    }
}

impl std::ops::Deref for RunningHub {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.hub
    }
}

impl Drop for RunningHub {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Hub {
    pub(crate) fn new(backend: Arc<dyn Backend>, prefix: String, options: CacheOptions) -> Arc<Self> {
        Arc::new(Hub {
            backend,
            prefix,
            options,
            routes: RwLock::default(),
            position: watch::Sender::new(Revision::ZERO),
            progress: Mutex::default(),
            probes: PerRuntime::default(),
            compacted: AtomicI64::new(0),
            last_failure: Mutex::default(),
            progressed: Count::default(),
            unreadable: Arc::default(),
        })
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub(super) fn caches(&self) -> Vec<Arc<ResourceCache>> {
        self.routes.read().values().cloned().collect()
    }

    /// The revision before which there is no history.
    pub(crate) fn compacted(&self) -> Revision {
        Revision::new(self.compacted.load(Ordering::Relaxed))
    }

    pub(crate) fn forget_before(&self, revision: Revision) {
        self.compacted.fetch_max(revision.value(), Ordering::Relaxed);
    }

    pub(crate) fn consistent_read_timeout(&self) -> Duration {
        self.options.consistent_read_timeout
    }

    /// When the next bookmark of a watcher is due.
    pub(super) fn next_bookmark(&self) -> Instant {
        Instant::now() + self.options.bookmark_every.mul_f64(rand::random_range(0.8..1.2))
    }

    /// Reports of progress that came without changes.
    pub(crate) fn progressed(&self) -> &Count {
        &self.progressed
    }

    pub(crate) fn register(&self, cache: Arc<ResourceCache>) {
        cache.unreadable().tell(Arc::clone(&self.unreadable));
        self.routes.write().insert(cache.prefix().to_owned(), cache);
    }

    pub(crate) fn unregister(&self, cache: &ResourceCache) {
        self.routes.write().remove(cache.prefix());
        cache.close();
    }

    /// All caches have seen everything up to this revision. Read it before a snapshot: then the snapshot holds at
    /// least at this revision.
    pub(crate) fn position(&self) -> Revision {
        *self.position.borrow()
    }

    /// Waits until the caches have seen `revision`; false when that takes longer than `limit`.
    pub(crate) async fn wait_for(&self, revision: Revision, limit: Duration) -> bool {
        if self.position() >= revision {
            return true;
        }
        let deadline = Instant::now() + limit;
        let mut position = self.position.subscribe();
        loop {
            let nudge = (Instant::now() + NUDGE).min(deadline);
            match timeout_at(nudge, position.wait_for(|seen| *seen >= revision)).await {
                Ok(seen) => return seen.is_ok(),
                Err(_) if Instant::now() >= deadline => return false,
                // The revision may be a write outside of the prefix, of which the watch only tells when asked.
                Err(_) => self.request_progress(),
            }
        }
    }

    /// Waits until the caches have seen the newest revision of the backend.
    pub(crate) async fn consistent(&self) -> Result<(Revision, bool), BackendError> {
        let probe = self.probes.get_or_insert_with(RevisionProbe::default);
        let newest = probe.newest(&self.backend).await?;
        Ok((
            newest,
            self.wait_for(newest, self.options.consistent_read_timeout).await,
        ))
    }

    fn request_progress(&self) {
        if let Some(progress) = &*self.progress.lock() {
            progress.request();
        }
    }

    /// Waits for the first contact with the backend.
    pub(super) async fn started(&self) -> Result<(), StorageError> {
        if self
            .wait_for(Revision::new(1), self.options.consistent_read_timeout)
            .await
        {
            return Ok(());
        }
        let message = match &*self.last_failure.lock() {
            Some(error) => error.to_string(),
            None => "no answer from the backend".to_owned(),
        };
        Err(StorageError::Unavailable { message })
    }

    /// Watches for ever. After a panic nobody knows which caches have taken a change in, so all are listed anew,
    /// as if history had been lost.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut doubtful = false;
        loop {
            let Err(panic) = AssertUnwindSafe(self.feed(doubtful)).catch_unwind().await;
            tracing::error!(
                panic = panic_message(&*panic),
                "the feed of the caches panicked, listing anew"
            );
            doubtful = true;
            tokio::time::sleep(LAST_RETRY).await;
        }
    }

    /// Watches; resumes after every failure where it was.
    async fn feed(&self, mut doubtful: bool) -> Infallible {
        let mut delay = FIRST_RETRY;
        loop {
            if doubtful {
                match self.relist().await {
                    Ok(()) => doubtful = false,
                    Err(error) => {
                        tracing::warn!(%error, "cannot list anew, trying again");
                        tokio::time::sleep(delay).await;
                        delay = (delay * 2).min(LAST_RETRY);
                        continue;
                    }
                }
            }
            let failure = match self.watch_once(&mut delay).await {
                Ok(never) => match never {},
                Err(BackendError::Compacted { .. }) => match self.relist().await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tracing::warn!(error = %failure, position = %self.position(), "the watch of the store broke, resuming");
            *self.last_failure.lock() = Some(failure);
            tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..1.0))).await;
            delay = (delay * 2).min(LAST_RETRY);
        }
    }

    async fn watch_once(&self, delay: &mut Duration) -> Result<Infallible, BackendError> {
        if self.position() == Revision::ZERO {
            let newest = self.backend.current_revision().await?;
            self.position.send_replace(newest.max(Revision::new(1)));
        }
        let mut watch = self
            .backend
            .watch(WatchRange::new(&self.prefix, self.position().next()))
            .await?;
        *self.progress.lock() = Some(watch.progress.clone());
        let end = self.drain(&mut watch, delay).await;
        *self.progress.lock() = None;
        end
    }

    async fn drain(
        &self,
        watch: &mut BackendWatch,
        delay: &mut Duration,
    ) -> Result<Infallible, BackendError> {
        let ended = || BackendError::Unavailable {
            message: "the watch ended".to_owned(),
        };
        loop {
            let message = match timeout(QUIET, watch.messages.recv()).await {
                Ok(message) => message,
                Err(_) => {
                    watch.progress.request();
                    for cache in self.routes.read().values() {
                        cache.drop_old_pins();
                    }
                    match timeout(DEAD, watch.messages.recv()).await {
                        Ok(message) => message,
                        Err(_) => {
                            return Err(BackendError::Unavailable {
                                message: "the watch is silent".to_owned(),
                            });
                        }
                    }
                }
            };
            self.deliver(message.ok_or_else(ended)??);
            *delay = FIRST_RETRY;
        }
    }

    /// Gives each cache its changes, then makes the new position known.
    fn deliver(&self, message: WatchMessage) {
        if message.events.is_empty() {
            self.progressed.add(1);
        }
        let mut events = message.events.into_iter().peekable();
        let routes = self.routes.read();
        while let Some(event) = events.next() {
            let Some(cache) = route(&routes, &event.key) else {
                continue;
            };
            let mut batch: Vec<RawEvent> = vec![event];
            while let Some(event) = events.next_if(|event| event.key.starts_with(cache.prefix())) {
                batch.push(event);
            }
            cache.take_in(batch);
        }
        drop(routes);
        self.position.send_if_modified(|seen| {
            let newer = message.revision > *seen;
            if newer {
                *seen = message.revision;
            }
            newer
        });
    }

    /// History is gone, or in doubt: every loaded cache is compared with a new list.
    async fn relist(&self) -> Result<(), BackendError> {
        let newest = self.backend.current_revision().await?;
        let caches = self.caches();
        tracing::warn!(caches = caches.len(), revision = %newest, "listing anew, the watch cannot go on where it was");
        for cache in caches {
            // A load under way may miss changes that are lost to the watch, so it ends first and is redone.
            let _one = cache.load_lock.lock().await;
            if !cache.is_ready() {
                continue;
            }
            let (view, failures) = super::load::fetch(&self.backend, &cache, None).await?;
            cache.replace(view, failures);
        }
        self.position.send_if_modified(|seen| {
            *seen = newest.max(*seen);
            true
        });
        Ok(())
    }
}

/// The cache whose prefix the key has; prefixes are not nested.
fn route<'a>(routes: &'a BTreeMap<String, Arc<ResourceCache>>, key: &str) -> Option<&'a Arc<ResourceCache>> {
    let (prefix, cache) = routes
        .range::<str, _>((Bound::Unbounded, Bound::Included(key)))
        .next_back()?;
    key.starts_with(prefix.as_str()).then_some(cache)
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
