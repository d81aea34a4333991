//! A watched copy of one resource, with callbacks for what changed.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use futures::StreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

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

type Handler<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;
type IndexFunction<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

struct Index<K> {
    name: &'static str,
    keys_of: IndexFunction<K>,
    entries: AHashMap<String, AHashSet<Key>>,
}

impl<K> Index<K> {
    fn add(&mut self, key: &Key, object: &K) {
        for value in (self.keys_of)(object) {
            self.entries.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &Key, object: &K) {
        for value in (self.keys_of)(object) {
            if let Some(keys) = self.entries.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.entries.remove(&value);
                }
            }
        }
    }
}

struct State<K> {
    objects: AHashMap<Key, Arc<K>>,
    indexes: Vec<Index<K>>,
    handlers: Vec<Arc<Handler<K>>>,
}

/// Shared handle to the copy. The task that feeds it ends with the token given to [`Informer::start`].
pub struct Informer<K> {
    state: Arc<RwLock<State<K>>>,
    synced: watch::Receiver<bool>,
}

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            synced: self.synced.clone(),
        }
    }
}

impl<K> Informer<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Starts to list and watch. `managedFields` are dropped from the copies: nobody reads them and they
    /// are up to half of an object.
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
        let state = informer.state.clone();
        let kind = std::any::type_name::<K>().rsplit("::").next().unwrap_or_default();
        tokio::spawn(async move {
            let mut stream = std::pin::pin!(watcher(api, config).backoff(WatchBackoff { failures: 0 }));
            // Keys seen since the last Init; what is missing at InitDone was deleted while we were away.
            let mut listed: Option<AHashSet<Key>> = None;
            loop {
                let event = tokio::select! {
                    () = shutdown.cancelled() => return,
                    event = stream.next() => event,
                };
                match event {
                    Some(Ok(watcher::Event::Init)) => listed = Some(AHashSet::new()),
                    Some(Ok(watcher::Event::InitApply(mut object))) => {
                        object.managed_fields_mut().clear();
                        trim(&mut object);
                        if let Some(listed) = &mut listed {
                            listed.insert(key_of(&object));
                        }
                        apply(&state, object);
                    }
                    Some(Ok(watcher::Event::InitDone)) => {
                        if let Some(listed) = listed.take() {
                            retain(&state, &listed);
                        }
                        synced.send_replace(true);
                    }
                    Some(Ok(watcher::Event::Apply(mut object))) => {
                        object.managed_fields_mut().clear();
                        trim(&mut object);
                        apply(&state, object);
                    }
                    Some(Ok(watcher::Event::Delete(object))) => delete(&state, &key_of(&object)),
                    Some(Err(error)) => tracing::warn!(kind, %error, "watch failed, trying again"),
                    None => return,
                }
            }
        });
        informer
    }

    /// An informer without a watch, fed by hand: for tests of what is built on informers.
    pub fn fixed(objects: impl IntoIterator<Item = K>) -> Self {
        let (informer, synced) = Self::unfed();
        for object in objects {
            apply(&informer.state, object);
        }
        synced.send_replace(true);
        informer
    }

    fn unfed() -> (Self, watch::Sender<bool>) {
        let (sender, synced) = watch::channel(false);
        let state = State {
            objects: AHashMap::new(),
            indexes: Vec::new(),
            handlers: Vec::new(),
        };
        (
            Self {
                state: Arc::new(RwLock::new(state)),
                synced,
            },
            sender,
        )
    }

    /// Calls `handler` for every change from now on, and at once for each object that is already known.
    ///
    /// It runs inside the watch task, so it must be quick and must not block: put a key into a queue.
    /// It may read this informer.
    pub fn on_change(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let handler: Arc<Handler<K>> = Arc::new(Box::new(handler));
        let known: Vec<Arc<K>> = {
            let mut state = self.state.write();
            state.handlers.push(handler.clone());
            state.objects.values().cloned().collect()
        };
        for object in known {
            handler(&Change {
                old: None,
                new: Some(object),
            });
        }
    }

    /// Keeps an index under `name`: the values that `keys_of` gives for an object lead to it.
    pub fn add_index(&self, name: &'static str, keys_of: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) {
        let mut state = self.state.write();
        let mut index = Index {
            name,
            keys_of: Box::new(keys_of),
            entries: AHashMap::new(),
        };
        for (key, object) in &state.objects {
            index.add(key, object);
        }
        state.indexes.push(index);
    }

    /// Whether an index of that name is kept already, for those who share an informer.
    pub fn has_index(&self, name: &str) -> bool {
        self.state.read().indexes.iter().any(|index| index.name == name)
    }

    /// The objects that `value` leads to in the index `name`; none when there is no such index.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        let state = self.state.read();
        let Some(index) = state.indexes.iter().find(|index| index.name == name) else {
            return Vec::new();
        };
        let Some(keys) = index.entries.get(value) else {
            return Vec::new();
        };
        keys.iter()
            .filter_map(|key| state.objects.get(key).cloned())
            .collect()
    }

    /// The object of that name; `namespace` is empty for cluster-scoped ones.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.state
            .read()
            .objects
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    /// All objects, in no order.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.state.read().objects.values().cloned().collect()
    }

    /// The objects of one namespace, in no order.
    pub fn list_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let state = self.state.read();
        state
            .objects
            .iter()
            .filter(|(key, _)| key.0 == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    pub fn len(&self) -> usize {
        self.state.read().objects.len()
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

/// Reconnects almost at once after the first failure, since most failures are a server that has gone away
/// while another one answers, and every five seconds at the slowest.
struct WatchBackoff {
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

fn apply<K: Resource>(state: &RwLock<State<K>>, object: K) {
    let key = key_of(&object);
    let object = Arc::new(object);
    let (old, handlers) = {
        let mut state = state.write();
        let old = state.objects.insert(key.clone(), object.clone());
        // A list after a reconnect repeats what is known.
        if old.as_ref().is_some_and(|old| {
            old.meta().resource_version.is_some()
                && old.meta().resource_version == object.meta().resource_version
        }) {
            return;
        }
        for index in &mut state.indexes {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            index.add(&key, &object);
        }
        (old, state.handlers.clone())
    };
    let change = Change {
        old,
        new: Some(object),
    };
    handlers.iter().for_each(|handler| handler(&change));
}

fn delete<K>(state: &RwLock<State<K>>, key: &Key) {
    let (old, handlers) = {
        let mut state = state.write();
        let Some(old) = state.objects.remove(key) else {
            return;
        };
        for index in &mut state.indexes {
            index.remove(key, &old);
        }
        (old, state.handlers.clone())
    };
    let change = Change {
        old: Some(old),
        new: None,
    };
    handlers.iter().for_each(|handler| handler(&change));
}

fn retain<K>(state: &RwLock<State<K>>, listed: &AHashSet<Key>) {
    let gone: Vec<Key> = state
        .read()
        .objects
        .keys()
        .filter(|key| !listed.contains(*key))
        .cloned()
        .collect();
    for key in &gone {
        delete(state, key);
    }
}

/// A set of things that must all be synced before a daemon acts.
pub async fn all_synced(waits: impl IntoIterator<Item = futures::future::BoxFuture<'_, bool>>) -> bool {
    futures::future::join_all(waits)
        .await
        .into_iter()
        .all(|synced| synced)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use parking_lot::Mutex;

    use super::*;

    fn config_map(name: &str, version: &str, label: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object.metadata.namespace = Some("n".to_owned());
        object.metadata.resource_version = Some(version.to_owned());
        object.metadata.labels = Some([("app".to_owned(), label.to_owned())].into());
        object
    }

    #[test]
    fn a_relist_reports_only_what_changed() {
        let informer = Informer::fixed([config_map("a", "1", "x"), config_map("b", "2", "x")]);
        informer.add_index("app", |object| object.labels().values().cloned().collect());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        informer.on_change(move |change| {
            log.lock().push((
                change.object().name_any(),
                change.old.is_some(),
                change.new.is_some(),
            ));
        });
        seen.lock().clear();
        apply(&informer.state, config_map("a", "1", "x"));
        apply(&informer.state, config_map("c", "4", "y"));
        retain(
            &informer.state,
            &[("n".to_owned(), "a".to_owned()), ("n".to_owned(), "c".to_owned())].into(),
        );
        assert_eq!(
            *seen.lock(),
            [("c".to_owned(), false, true), ("b".to_owned(), true, false)]
        );
        assert_eq!(informer.by_index("app", "x").len(), 1);
        assert_eq!(informer.by_index("app", "y").len(), 1);
        apply(&informer.state, config_map("c", "5", "x"));
        assert_eq!(informer.by_index("app", "x").len(), 2);
        assert!(informer.by_index("app", "y").is_empty());
    }
}
