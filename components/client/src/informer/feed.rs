//! The task that lists, watches, and keeps a copy right.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashSet;
use futures::StreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Key;
use super::copy::Copy;
use crate::supervise;
use crate::undecoded::Undecoded;

/// Feeds `sink` until `shutdown`. After a panic it lists anew and tells everything again.
pub(super) async fn run(
    api: Api<Undecoded>,
    config: watcher::Config,
    sink: Box<dyn Sink>,
    synced: watch::Sender<bool>,
    shutdown: CancellationToken,
) {
    let mut replay = false;
    supervise::keep_running(sink.kind(), &shutdown, || {
        let replay = std::mem::replace(&mut replay, true);
        watch(api.clone(), config.clone(), &*sink, &synced, replay)
    })
    .await;
}

async fn watch(
    api: Api<Undecoded>,
    config: watcher::Config,
    sink: &dyn Sink,
    synced: &watch::Sender<bool>,
    replay: bool,
) {
    let stream = watcher(api, config).backoff(WatchBackoff::default());
    let mut stream = std::pin::pin!(stream);
    // Keys seen since the last Init; what is missing at InitDone was deleted while we were away.
    let mut listed: Option<AHashSet<Key>> = None;
    while let Some(event) = stream.next().await {
        match event {
            Ok(watcher::Event::Init) => listed = Some(AHashSet::new()),
            Ok(watcher::Event::InitApply(object)) => {
                if let Some(listed) = &mut listed {
                    listed.insert(object.key());
                }
                sink.take_in(&object, replay);
            }
            Ok(watcher::Event::InitDone) => {
                if let Some(listed) = listed.take() {
                    sink.retain(&listed);
                }
                synced.send_replace(true);
            }
            Ok(watcher::Event::Apply(object)) => sink.take_in(&object, false),
            Ok(watcher::Event::Delete(object)) => sink.delete(&object.key()),
            Err(error) => tracing::warn!(kind = sink.kind(), %error, "watch failed, trying again"),
        }
    }
}

/// Where objects of one kind go; the only part of a feed that knows the kind.
pub(super) trait Sink: Send + Sync {
    fn kind(&self) -> &'static str;

    /// What a list after a panic repeats is told again with `replay`.
    fn take_in(&self, object: &Undecoded, replay: bool);

    fn delete(&self, key: &Key);

    fn retain(&self, listed: &AHashSet<Key>);
}

pub(super) struct Trimmed<K> {
    pub(super) copy: Arc<Copy<K>>,
    pub(super) trim: Box<dyn Fn(&mut K) + Send + Sync>,
}

impl<K> Sink for Trimmed<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    fn kind(&self) -> &'static str {
        self.copy.kind()
    }

    /// An object that does not decode stays as it was last known: no news is not a deletion.
    fn take_in(&self, object: &Undecoded, replay: bool) {
        let (kind, (namespace, name)) = (self.copy.kind(), object.key());
        let mut object: K = match object.decode() {
            Ok(object) => object,
            Err(reason) => {
                tracing::warn!(kind, namespace, name, %reason, "an object does not decode and is left out");
                return;
            }
        };
        // Not an empty list, with which whoever writes the copy back would make the server forget all managers.
        object.meta_mut().managed_fields = None;
        match catch_unwind(AssertUnwindSafe(|| (self.trim)(&mut object))) {
            Ok(()) => self.copy.apply(object, replay),
            Err(panic) => {
                let panic = supervise::message(&*panic);
                tracing::error!(
                    kind,
                    namespace,
                    name,
                    panic,
                    "trimming panicked, the object is left out"
                );
            }
        }
    }

    fn delete(&self, key: &Key) {
        self.copy.delete(key);
    }

    fn retain(&self, listed: &AHashSet<Key>) {
        self.copy.retain(listed);
    }
}

/// Reconnects almost at once after the first failure, since most failures are a server that has gone away
/// while another one answers, and every five seconds at the slowest.
#[derive(Default)]
pub(crate) struct WatchBackoff {
    failures: u32,
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = Duration::from_millis(50 << self.failures.min(7)).min(Duration::from_secs(5));
        self.failures = self.failures.saturating_add(1);
        Some(wait.mul_f64(1.0 + rand::random::<f64>() * 0.2))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.failures = 0;
    }
}
