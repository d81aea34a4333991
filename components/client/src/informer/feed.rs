//! The task that lists, watches, and keeps a copy right.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashSet;
use futures::StreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::copy::Copy;
use super::{Key, key_of};
use crate::lenient::Lenient;
use crate::supervise;

pub(super) struct Feed<K> {
    pub(super) api: Api<Lenient<K>>,
    pub(super) config: watcher::Config,
    pub(super) copy: Arc<Copy<K>>,
    pub(super) trim: Box<dyn Fn(&mut K) + Send + Sync>,
    pub(super) synced: watch::Sender<bool>,
}

impl<K> Feed<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Feeds until `shutdown`. After a panic it lists anew and tells everything again.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut replay = false;
        supervise::keep_running(self.copy.kind(), &shutdown, || {
            self.watch(std::mem::replace(&mut replay, true))
        })
        .await;
    }

    async fn watch(&self, replay: bool) {
        let stream = watcher(self.api.clone(), self.config.clone()).backoff(WatchBackoff::default());
        let mut stream = std::pin::pin!(stream);
        // Keys seen since the last Init; what is missing at InitDone was deleted while we were away.
        let mut listed: Option<AHashSet<Key>> = None;
        while let Some(event) = stream.next().await {
            match event {
                Ok(watcher::Event::Init) => listed = Some(AHashSet::new()),
                Ok(watcher::Event::InitApply(object)) => {
                    if let Some(listed) = &mut listed {
                        listed.insert(key_of(&object));
                    }
                    self.take_in(object, replay);
                }
                Ok(watcher::Event::InitDone) => {
                    if let Some(listed) = listed.take() {
                        self.copy.retain(&listed);
                    }
                    self.synced.send_replace(true);
                }
                Ok(watcher::Event::Apply(object)) => self.take_in(object, false),
                Ok(watcher::Event::Delete(object)) => self.copy.delete(&key_of(&object)),
                Err(error) => tracing::warn!(kind = self.copy.kind(), %error, "watch failed, trying again"),
            }
        }
    }

    /// An object that does not decode stays as it was last known: no news is not a deletion.
    fn take_in(&self, object: Lenient<K>, replay: bool) {
        let mut object = match object {
            Lenient::Object(object) => object,
            Lenient::Malformed(malformed) => return malformed.log(self.copy.kind()),
        };
        object.managed_fields_mut().clear();
        let (namespace, name) = key_of(&object);
        match catch_unwind(AssertUnwindSafe(|| (self.trim)(&mut object))) {
            Ok(()) => self.copy.apply(object, replay),
            Err(panic) => {
                let (kind, panic) = (self.copy.kind(), supervise::message(&*panic));
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
