//! All stores of an API server over one backend and one watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::backend::Backend;
use crate::cache::{CacheOptions, Hub, ResourceCache, RunningHub};
use crate::encryption::Transformers;
use crate::error::StorageError;
use crate::resource::ResourceSpec;
use crate::revision::Revision;
use crate::store::Store;

/// The size of a database is waited for no longer.
const MEASURE: Duration = Duration::from_secs(1);

/// How the store behaves.
#[derive(Clone)]
pub struct StorageOptions {
    /// `--etcd-prefix`
    pub prefix: String,
    /// Encryption at rest by resource.
    pub transformers: Transformers,
    /// Longest wait of a consistent read for the cache before it reads from the backend.
    pub consistent_read_timeout: Duration,
    /// Time between bookmarks of a watch, give or take a fifth so that watchers don't all wake at once.
    pub bookmark_every: Duration,
}

impl Default for StorageOptions {
    fn default() -> Self {
        StorageOptions {
            prefix: "/registry".to_owned(),
            transformers: Transformers::default(),
            consistent_read_timeout: Duration::from_secs(3),
            bookmark_every: Duration::from_secs(60),
        }
    }
}

/// The stores of all resources. The watch ends with the last handle of this or of a store.
#[derive(Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

struct Inner {
    hub: Arc<RunningHub>,
    /// Hubs of other backends, with the resources that these keep.
    others: Vec<(Vec<String>, Arc<RunningHub>)>,
    options: StorageOptions,
    stores: RwLock<BTreeMap<String, Store>>,
    /// What each backend said last of its size.
    sizes: Mutex<Vec<Option<u64>>>,
}

impl Inner {
    /// The hub of the backend that keeps a resource.
    fn hub_of(&self, name: &str) -> &Arc<RunningHub> {
        let other = self
            .others
            .iter()
            .find(|(names, _)| names.iter().any(|kept| kept == name));
        other.map_or(&self.hub, |(_, hub)| hub)
    }

    fn hubs(&self) -> impl Iterator<Item = &Arc<RunningHub>> {
        std::iter::once(&self.hub).chain(self.others.iter().map(|(_, hub)| hub))
    }
}

impl Storage {
    /// Starts the watch that feeds every cache. Needs a tokio runtime; doesn't wait for the backend.
    pub fn open(backend: Arc<dyn Backend>, options: StorageOptions) -> Self {
        Self::open_several(backend, Vec::new(), options)
    }

    /// The same where other backends keep the resources that are named with them, as [`ResourceSpec::name`] does.
    pub fn open_several(
        backend: Arc<dyn Backend>,
        others: Vec<(Vec<String>, Arc<dyn Backend>)>,
        mut options: StorageOptions,
    ) -> Self {
        options.prefix = format!("/{}", options.prefix.trim_matches('/'));
        let start = |backend: Arc<dyn Backend>| {
            let hub = Hub::new(
                backend,
                format!("{}/", options.prefix),
                CacheOptions {
                    consistent_read_timeout: options.consistent_read_timeout,
                    bookmark_every: options.bookmark_every,
                },
            );
            Arc::new(RunningHub::start(hub))
        };
        let hub = start(backend);
        let others = others
            .into_iter()
            .map(|(names, backend)| (names, start(backend)))
            .collect();
        Storage {
            inner: Arc::new(Inner {
                hub,
                others,
                options,
                stores: RwLock::default(),
                sizes: Mutex::default(),
            }),
        }
    }

    /// The store of a resource; made when first asked for. Its cache loads when first read.
    pub fn store(&self, spec: ResourceSpec) -> Store {
        if let Some(store) = self.inner.stores.read().get(&spec.name) {
            return store.clone();
        }
        let mut stores = self.inner.stores.write();
        if let Some(store) = stores.get(&spec.name) {
            return store.clone();
        }
        let name = spec.name.clone();
        let codec = self.inner.options.transformers.for_resource(&name);
        let prefix = format!("{}/{}/", self.inner.options.prefix, spec.path.trim_matches('/'));
        let cache = Arc::new(ResourceCache::new(Arc::new(spec), prefix, codec));
        let hub = self.inner.hub_of(&name);
        hub.register(cache.clone());
        let store = Store::new(hub.clone(), cache);
        stores.insert(name, store.clone());
        store
    }

    /// Forgets the store of a resource (a custom resource definition is gone or changed); its watchers end.
    pub fn remove(&self, name: &str) {
        if let Some(store) = self.inner.stores.write().remove(name) {
            self.inner.hub_of(name).unregister(store.cache());
        }
    }

    /// Loads the caches of all resources registered so far, as far as they are for somebody.
    pub async fn warm_up(&self) -> Result<(), StorageError> {
        let stores = self.stores();
        let followed = stores.iter().filter(|store| store.is_followed());
        futures::future::try_join_all(followed.map(Store::warm_up)).await?;
        Ok(())
    }

    /// Has the backends count the objects of which no cache knows. One resource after the other: nobody waits for it.
    pub async fn count(&self) {
        for store in self.stores() {
            if let Err(error) = store.count().await {
                tracing::warn!(resource = store.resource().name, %error, "objects can't be counted");
            }
        }
    }

    /// How many backends there are; the first keeps what no other keeps.
    pub fn backends(&self) -> usize {
        1 + self.inner.others.len()
    }

    /// Whether a backend answers, by its place among them: a linearizable read within `timeout`.
    pub async fn check(&self, backend: usize, timeout: Duration) -> Result<(), StorageError> {
        let unavailable = |message: &str| StorageError::Unavailable {
            message: message.to_owned(),
        };
        let hub = self.inner.hubs().nth(backend);
        let hub = hub.ok_or_else(|| unavailable("there is no such backend"))?;
        match tokio::time::timeout(timeout, hub.backend().current_revision()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(StorageError::from_backend("", error)),
            Err(_) => Err(unavailable("no answer from the backend")),
        }
    }

    /// Asks each backend for the size of its database, a second at most. One that doesn't answer has none.
    pub async fn measure(&self) {
        let asked = self.inner.hubs().map(|hub| async {
            let answer = tokio::time::timeout(MEASURE, hub.backend().size()).await;
            answer.ok().and_then(Result::ok).flatten()
        });
        *self.inner.sizes.lock() = futures::future::join_all(asked).await;
    }

    /// What [`Self::measure`] found, in the order of the backends.
    pub(crate) fn sizes(&self) -> Vec<Option<u64>> {
        self.inner.sizes.lock().clone()
    }

    /// All stores that there are now.
    pub(crate) fn stores(&self) -> Vec<Store> {
        self.inner.stores.read().values().cloned().collect()
    }

    /// The history before `revision` is gone: exact states from then are no longer served from memory either, so that
    /// what a client may come back to does not depend on the server that answers. Of the usual backend.
    pub fn forget_before(&self, revision: Revision) {
        self.inner.hub.forget_before(revision);
    }

    /// Of all backends.
    pub(crate) fn hubs(&self) -> Vec<Arc<RunningHub>> {
        self.inner.hubs().cloned().collect()
    }

    /// The backend itself with the prefix, for keys that are no objects of a resource.
    pub fn raw(&self) -> crate::raw::RawStore {
        crate::raw::RawStore::new(
            self.inner.hub.backend().clone(),
            self.inner.options.prefix.clone(),
        )
    }
}
