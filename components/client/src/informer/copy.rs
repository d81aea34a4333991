//! The copy of one resource with its indexes, and who is told of changes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use kube::Resource;
use parking_lot::RwLock;

use super::{Change, Key, key_of};
use crate::supervise;

type Handler<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;
type IndexFunction<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

struct Index<K> {
    name: &'static str,
    keys_of: Arc<IndexFunction<K>>,
    entries: AHashMap<String, AHashSet<Key>>,
}

impl<K> Index<K> {
    fn add(&mut self, key: &Key, values: Vec<String>) {
        for value in values {
            self.entries.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &Key, values: &[String]) {
        for value in values {
            if let Some(keys) = self.entries.get_mut(value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.entries.remove(value);
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

/// Written by one feed, read by many.
pub(super) struct Copy<K> {
    kind: &'static str,
    state: RwLock<State<K>>,
}

impl<K> Copy<K> {
    pub(super) fn new() -> Self {
        Self {
            kind: std::any::type_name::<K>().rsplit("::").next().unwrap_or_default(),
            state: RwLock::new(State {
                objects: AHashMap::new(),
                indexes: Vec::new(),
                handlers: Vec::new(),
            }),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// From now on `handler` is told; the objects that were known before are returned.
    pub(super) fn subscribe(
        &self,
        handler: impl Fn(&Change<K>) + Send + Sync + 'static,
    ) -> (Arc<Handler<K>>, Vec<Arc<K>>) {
        let handler: Arc<Handler<K>> = Arc::new(Box::new(handler));
        let mut state = self.state.write();
        state.handlers.push(handler.clone());
        (handler, state.objects.values().cloned().collect())
    }

    pub(super) fn add_index(
        &self,
        name: &'static str,
        keys_of: impl Fn(&K) -> Vec<String> + Send + Sync + 'static,
    ) {
        let keys_of: Arc<IndexFunction<K>> = Arc::new(Box::new(keys_of));
        let mut state = self.state.write();
        let mut index = Index {
            name,
            keys_of: keys_of.clone(),
            entries: AHashMap::new(),
        };
        for (key, object) in &state.objects {
            index.add(key, self.values(&keys_of, key, object));
        }
        state.indexes.push(index);
    }

    pub(super) fn has_index(&self, name: &str) -> bool {
        self.state.read().indexes.iter().any(|index| index.name == name)
    }

    pub(super) fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
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

    pub(super) fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.state.read().objects.get(key).cloned()
    }

    pub(super) fn list(&self, wanted: impl Fn(&Key) -> bool) -> Vec<Arc<K>> {
        let state = self.state.read();
        let found = state.objects.iter().filter(|(key, _)| wanted(key));
        found.map(|(_, object)| object.clone()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    /// Takes one object in. What a list after a reconnect repeats is no change, unless `replay` wants it told again.
    pub(super) fn apply(&self, object: K, replay: bool)
    where
        K: Resource,
    {
        let key = key_of(&object);
        let object = Arc::new(object);
        let (old, handlers) = {
            let mut state = self.state.write();
            let old = state.objects.insert(key.clone(), object.clone());
            let repeated = old.as_ref().is_some_and(|old| {
                old.meta().resource_version.is_some()
                    && old.meta().resource_version == object.meta().resource_version
            });
            if repeated && !replay {
                return;
            }
            for index in &mut state.indexes {
                if let Some(old) = &old {
                    let values = self.values(&index.keys_of, &key, old);
                    index.remove(&key, &values);
                }
                let values = self.values(&index.keys_of, &key, &object);
                index.add(&key, values);
            }
            (old, state.handlers.clone())
        };
        self.tell(
            &handlers,
            &key,
            &Change {
                old,
                new: Some(object),
            },
        );
    }

    pub(super) fn delete(&self, key: &Key) {
        let (old, handlers) = {
            let mut state = self.state.write();
            let Some(old) = state.objects.remove(key) else {
                return;
            };
            for index in &mut state.indexes {
                let values = self.values(&index.keys_of, key, &old);
                index.remove(key, &values);
            }
            (old, state.handlers.clone())
        };
        self.tell(
            &handlers,
            key,
            &Change {
                old: Some(old),
                new: None,
            },
        );
    }

    /// Deletes what was not listed.
    pub(super) fn retain(&self, listed: &AHashSet<Key>) {
        let gone: Vec<Key> = {
            let state = self.state.read();
            state
                .objects
                .keys()
                .filter(|key| !listed.contains(*key))
                .cloned()
                .collect()
        };
        gone.iter().for_each(|key| self.delete(key));
    }

    /// One handler's panic is neither the others' nor the next object's.
    fn tell(&self, handlers: &[Arc<Handler<K>>], key: &Key, change: &Change<K>) {
        for handler in handlers {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| handler(change))) {
                self.log(key, &*panic, "a handler of changes panicked");
            }
        }
    }

    fn values(&self, keys_of: &IndexFunction<K>, key: &Key, object: &K) -> Vec<String> {
        catch_unwind(AssertUnwindSafe(|| keys_of(object))).unwrap_or_else(|panic| {
            self.log(key, &*panic, "an index panicked, the object is not in it");
            Vec::new()
        })
    }

    fn log(&self, key: &Key, panic: &(dyn std::any::Any + Send), what: &'static str) {
        tracing::error!(
            kind = self.kind,
            namespace = key.0,
            name = key.1,
            panic = supervise::message(panic),
            "{what}"
        );
    }
}
