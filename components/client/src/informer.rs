//! A watched copy of one resource, with callbacks for what changed.

mod copy;
mod feed;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::Arc;

use kube::runtime::watcher;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::undecoded::Undecoded;
use copy::Copy;
use feed::Trimmed;

/// Namespace (empty for cluster-scoped objects) and name.
pub type Key = (String, String);

/// What happened to one object: `old` is missing for an addition, `new` for a deletion.
#[derive(Debug)]
pub struct Change<K> {
    pub old: Option<Arc<K>>,
    pub new: Option<Arc<K>>,
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        Self {
            old: self.old.clone(),
            new: self.new.clone(),
        }
    }
}

impl<K> Change<K> {
    /// The object as it is now, or as it was last seen.
    pub fn object(&self) -> &Arc<K> {
        match (&self.new, &self.old) {
            (Some(object), _) | (None, Some(object)) => object,
            (None, None) => unreachable!("a change has an old or a new object"),
        }
    }
}

/// Shared handle to the copy. The task that feeds it ends with the token given to [`Informer::start`].
pub struct Informer<K> {
    copy: Arc<Copy<K>>,
    synced: watch::Receiver<bool>,
}

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self {
            copy: self.copy.clone(),
            synced: self.synced.clone(),
        }
    }
}

impl<K> Informer<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Starts to list and watch. `managedFields` are dropped from the copies: nobody reads them and they
    /// are up to half of an object. An object that does not decode is logged and left out.
    pub fn start(api: Api<K>, config: watcher::Config, shutdown: CancellationToken) -> Self {
        Self::start_with(api, config, shutdown, |_| {})
    }

    /// As [`Informer::start`], with a function that trims each object before it is kept.
    pub fn start_with(
        api: Api<K>,
        config: watcher::Config,
        shutdown: CancellationToken,
        trim: impl Fn(&mut K) + Send + Sync + 'static,
    ) -> Self {
        let (informer, synced) = Self::unfed();
        let sink = Box::new(Trimmed {
            copy: informer.copy.clone(),
            trim: Box::new(trim),
        });
        // Its own supervisor: it begins again after a panic and ends with the token.
        tokio::spawn(feed::run(Undecoded::of(api), config, sink, synced, shutdown));
        informer
    }

    /// An informer without a watch, fed by hand: for tests of what is built on informers.
    pub fn fixed(objects: impl IntoIterator<Item = K>) -> Self {
        let (informer, synced) = Self::unfed();
        for object in objects {
            informer.copy.apply(object, false);
        }
        synced.send_replace(true);
        informer
    }

    fn unfed() -> (Self, watch::Sender<bool>) {
        let (sender, synced) = watch::channel(false);
        let copy = Arc::new(Copy::new());
        (Self { copy, synced }, sender)
    }

    /// Calls `handler` for every change from now on, and at once for each object that is already known.
    ///
    /// It runs inside the watch task, so it must be quick and must not block: put a key into a queue.
    /// It may read this informer.
    pub fn on_change(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let (handler, known) = self.copy.subscribe(handler);
        for object in known {
            handler(&Change {
                old: None,
                new: Some(object),
            });
        }
    }

    /// Keeps an index under `name`: the values that `keys_of` gives for an object lead to it.
    pub fn add_index(&self, name: &'static str, keys_of: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) {
        self.copy.add_index(name, keys_of);
    }

    /// Whether an index of that name is kept already, for those who share an informer.
    pub fn has_index(&self, name: &str) -> bool {
        self.copy.has_index(name)
    }

    /// The objects that `value` leads to in the index `name`; none when there is no such index.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        self.copy.by_index(name, value)
    }

    /// The object of that name; `namespace` is empty for cluster-scoped ones.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.copy.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// All objects, in no order.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.copy.list(|_| true)
    }

    /// The objects of one namespace, in no order.
    pub fn list_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.copy.list(|key| key.0 == namespace)
    }

    pub fn len(&self) -> usize {
        self.copy.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until the first complete list has been taken in. Returns false when the watch has ended before.
    pub async fn synced(&self) -> bool {
        self.synced.clone().wait_for(|synced| *synced).await.is_ok()
    }
}

/// The key under which an object is kept.
pub fn key_of<K: Resource>(object: &K) -> Key {
    let meta = object.meta();
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

/// A set of things that must all be synced before a daemon acts.
pub async fn all_synced(waits: impl IntoIterator<Item = futures::future::BoxFuture<'_, bool>>) -> bool {
    futures::future::join_all(waits)
        .await
        .into_iter()
        .all(|synced| synced)
}
