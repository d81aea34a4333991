//! The store of one resource.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use crate::cache::{ResourceCache, RunningHub};
use crate::error::StorageError;
use crate::metrics::ResourceMetrics;
use crate::object::{Marks, ObjectRef, StoredObject};
use crate::resource::ResourceSpec;
use crate::revision::{RequestedRevision, Revision};
use crate::spans::{self, SpanKind};
use crate::watcher::Watcher;
use opentelemetry::KeyValue;

mod continue_token;
mod direct;
mod key;
mod list;
mod watch;
mod write;

pub use continue_token::continue_key;
pub(crate) use direct::{DirectWatcher, Measured};

/// Selects objects by label and field; made from parsed selectors by the caller.
#[derive(Clone)]
pub struct Filter(Arc<Selection<dyn Fn(&StoredObject) -> bool + Send + Sync>>);

struct Selection<F: ?Sized> {
    marks: Marks,
    name: Option<Box<str>>,
    matches: F,
}

impl Filter {
    /// Selects what `matches` says. All that it selects must have `marks`, which spare it the look at most others.
    pub fn new(marks: Marks, matches: impl Fn(&StoredObject) -> bool + Send + Sync + 'static) -> Self {
        Filter::of_name(marks, None, matches)
    }

    /// The same where all that is selected has this name, if there is one.
    pub fn of_name(
        marks: Marks,
        name: Option<&str>,
        matches: impl Fn(&StoredObject) -> bool + Send + Sync + 'static,
    ) -> Self {
        Filter(Arc::new(Selection {
            marks,
            name: name.map(Box::from),
            matches,
        }))
    }

    /// Whether the object is selected.
    pub fn matches(&self, object: &StoredObject) -> bool {
        (self.0.matches)(object)
    }

    pub(crate) fn marks(&self) -> Marks {
        self.0.marks
    }

    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }
}

/// What must hold for a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    pub uid: Option<String>,
    /// As the client wrote it; compared as text.
    pub resource_version: Option<String>,
}

/// The JSON of an object that is to be written.
#[derive(Clone, Debug, Default)]
pub struct Json {
    pub bytes: Vec<u8>,
    /// Where maps and lists in it begin and end, in the order of their beginnings; those that are known. What isn't
    /// looked for is not read then.
    pub spans: Vec<Range<u32>>,
    /// What the caller wants to know when it reads the object again. Kept beside the object in memory, and not stored.
    pub notes: Box<[u32]>,
}

impl From<Vec<u8>> for Json {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }
}

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Json {
    fn from(bytes: &T) -> Self {
        bytes.as_ref().to_vec().into()
    }
}

/// What an update function decides.
#[derive(Clone, Debug)]
pub enum Change {
    /// Write this JSON object (its resourceVersion is ignored). A time to live replaces the key's old one.
    Write { json: Json, ttl: Option<Duration> },
    /// Delete the object.
    Delete,
    /// Leave everything as it is.
    Nothing,
}

/// What an update came to.
#[derive(Clone, Debug)]
pub enum Updated {
    Created(ObjectRef),
    Written(ObjectRef),
    /// The object as it last was, under the revision of its deletion.
    Deleted(ObjectRef),
    Unchanged(Option<ObjectRef>),
}

/// `resourceVersionMatch`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevisionMatch {
    Exact,
    NotOlderThan,
}

/// A list call.
#[derive(Clone, Default)]
pub struct ListRequest {
    /// None or empty lists all namespaces.
    pub namespace: Option<String>,
    pub revision: RequestedRevision,
    pub revision_match: Option<RevisionMatch>,
    /// 0 is no limit.
    pub limit: usize,
    /// `continue` as the client sent it.
    pub continue_token: Option<String>,
    pub filter: Option<Filter>,
}

/// One page of a list.
#[derive(Debug)]
pub struct ListPage {
    /// resourceVersion of the list.
    pub revision: Revision,
    pub items: Vec<ObjectRef>,
    /// `metadata.continue`
    pub continue_token: Option<String>,
    /// `metadata.remainingItemCount`; only known without a filter.
    pub remaining: Option<u64>,
}

/// A watch call.
#[derive(Clone, Default)]
pub struct WatchRequest {
    /// None or empty watches all namespaces.
    pub namespace: Option<String>,
    pub revision: RequestedRevision,
    /// `sendInitialEvents`; None is the behaviour of old clients.
    pub send_initial_events: Option<bool>,
    /// `allowWatchBookmarks`
    pub bookmarks: bool,
    /// When the caller will end the watch, if that is known: the last bookmark comes shortly before.
    pub until: Option<Instant>,
    pub filter: Option<Filter>,
}

/// Store of one resource; cheap to clone.
#[derive(Clone)]
pub struct Store {
    hub: Arc<RunningHub>,
    cache: Arc<ResourceCache>,
}

impl Store {
    pub(crate) fn new(hub: Arc<RunningHub>, cache: Arc<ResourceCache>) -> Self {
        Store { hub, cache }
    }

    pub(crate) fn cache(&self) -> &Arc<ResourceCache> {
        &self.cache
    }

    /// The resource this is the store of.
    pub fn resource(&self) -> &ResourceSpec {
        self.cache.spec()
    }

    /// Loads the cache if that hasn't happened yet, and follows the resource from then on: what is cached may be asked
    /// for, also where clients read from the backend.
    pub async fn warm_up(&self) -> Result<(), StorageError> {
        self.cache.follow();
        self.hub.ready(&self.cache).await
    }

    /// Whether what is cached may be asked for.
    pub fn is_followed(&self) -> bool {
        self.cache.is_followed()
    }

    /// Creates an object from its JSON; a resourceVersion in it is ignored.
    pub async fn create(
        &self,
        namespace: &str,
        name: &str,
        json: impl Into<Json>,
        ttl: Option<Duration>,
    ) -> Result<ObjectRef, StorageError> {
        let creating = write::create(self, namespace, name, json.into(), ttl);
        self.traced("Create etcd3", namespace, name, creating).await
    }

    /// Reads, asks `decide` what to do, and does it in one transaction on the revision that was read; begins again
    /// when the object has changed meanwhile. The first try works on the cached object; when `decide` fails on
    /// an outdated one it is asked again with the newest. `decide` gets None when the object doesn't exist,
    /// where `Change::Write` creates it.
    pub async fn update<F, Fut, E>(
        &self,
        namespace: &str,
        name: &str,
        preconditions: &Preconditions,
        decide: F,
    ) -> Result<Updated, E>
    where
        F: FnMut(Option<ObjectRef>) -> Fut + Send,
        Fut: Future<Output = Result<Change, E>> + Send,
        E: From<StorageError> + Send,
    {
        let updating = write::update(self, namespace, name, preconditions, decide);
        self.traced("GuaranteedUpdate etcd3", namespace, name, updating)
            .await
    }

    /// Deletes an object that `check` agrees to; returns it as it last was, under the revision of the deletion.
    pub async fn delete<F, Fut, E>(
        &self,
        namespace: &str,
        name: &str,
        preconditions: &Preconditions,
        mut check: F,
    ) -> Result<ObjectRef, E>
    where
        F: FnMut(ObjectRef) -> Fut + Send,
        Fut: Future<Output = Result<(), E>> + Send,
        E: From<StorageError> + Send,
    {
        write::delete(self, namespace, name, preconditions, &mut check).await
    }

    /// Deletes an object if it is still this one; gives it under the revision of the deletion.
    pub async fn remove(&self, object: &ObjectRef) -> Result<Option<ObjectRef>, StorageError> {
        write::remove_this(self, object).await
    }

    /// Reads one object. Unset is the newest state, Any and At (not older than) may come from the cache as it is.
    pub async fn get(
        &self,
        namespace: &str,
        name: &str,
        revision: RequestedRevision,
    ) -> Result<ObjectRef, StorageError> {
        if self.cache.is_bypassed() {
            return direct::get(self, namespace, name, revision).await;
        }
        list::get(self, namespace, name, revision).await
    }

    /// Lists objects in the order of their keys.
    pub async fn list(&self, request: ListRequest) -> Result<ListPage, StorageError> {
        let kind = SpanKind::Internal;
        let attributes = || {
            let mut attributes = vec![KeyValue::new("type", self.resource().name.clone())];
            attributes.extend(spans::audit_id());
            attributes
        };
        if self.cache.is_bypassed() {
            let listing = direct::list(self, request);
            return spans::traced("List(recursive=true) etcd3", kind, attributes, listing).await;
        }
        spans::traced("cacher.GetList", kind, attributes, list::list(self, request)).await
    }

    fn traced<F: Future>(
        &self,
        span: &'static str,
        namespace: &str,
        name: &str,
        work: F,
    ) -> impl Future<Output = F::Output> {
        let attributes = || {
            let resource = self.resource();
            let parts = [resource.path.trim_matches('/'), namespace, name];
            let parts = parts.into_iter().filter(|part| !part.is_empty());
            let key: String = parts.flat_map(|part| ["/", part]).collect();
            spans::of_object(key, &resource.name)
        };
        spans::traced(span, SpanKind::Internal, attributes, work)
    }

    /// Watches for changes.
    pub async fn watch(&self, request: WatchRequest) -> Result<Watcher, StorageError> {
        if self.cache.is_bypassed() {
            return direct::watch(self, request).await.map(Watcher::from);
        }
        self.watch_cached(request).await
    }

    /// The same from the cache, for the server's own use: what is followed is read once for all who do.
    pub async fn watch_cached(&self, request: WatchRequest) -> Result<Watcher, StorageError> {
        watch::watch(self, request).await.map(Watcher::from)
    }

    /// Where nobody loads the cache, "not loaded" would pass for "there is none", and that for a permission: such a
    /// question is a mistake in the server, and nobody gets an answer to it.
    fn expect_followed(&self) {
        if !self.cache.is_followed() {
            let resource = &self.resource().name;
            tracing::error!(
                resource,
                "asked for what is cached of a resource that isn't followed"
            );
            panic!("{resource} are not followed, so that what is cached of them tells nothing");
        }
    }

    /// The cached state as it is, without waiting (quotas, allocators, admission). Empty before `warm_up`; panics where
    /// nobody follows the resource, and so do the others that tell what is cached.
    pub fn cached(&self, namespace: Option<&str>) -> Vec<ObjectRef> {
        self.expect_followed();
        let view = self.cache.view();
        view.iter(&self.cache.scope(namespace), Marks::default())
            .cloned()
            .collect()
    }

    /// All cached objects as they are, and the keys of those that can't be read and of which nothing is known from before:
    /// for those to whom an object that is missing would be a permission. Changes of both are in `changes`.
    pub fn cached_and_unknown(&self) -> (Vec<ObjectRef>, Vec<String>) {
        self.expect_followed();
        let (view, unknown) = self.cache.known_and_unknown();
        let everything = self.cache.scope(None);
        let known = view.iter(&everything, Marks::default()).cloned().collect();
        (known, unknown)
    }

    /// One cached object as it is, without waiting. None before `warm_up`.
    pub fn cached_object(&self, namespace: &str, name: &str) -> Option<ObjectRef> {
        self.expect_followed();
        let key = key::object_key(self, namespace, name).ok()?;
        self.cache.view().get(&key).cloned()
    }

    /// One cached object, which knows of everything that this server has written: a client that got the answer to a write
    /// may build on it. None where the cache has none, or isn't followed, or is too far behind.
    pub async fn known_object(&self, namespace: &str, name: &str) -> Option<ObjectRef> {
        match self.is_followed() && self.knows_own_writes().await {
            true => self.cached_object(namespace, name),
            false => None,
        }
    }

    /// Waits until the cache has seen what this server has written; false when it isn't loaded or is too slow.
    pub async fn knows_own_writes(&self) -> bool {
        self.cache.is_ready()
            && list::not_older_than(self, self.cache.last_written())
                .await
                .is_ok()
    }

    /// Changes with every change of the resource; for indexes built over `cached`.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.expect_followed();
        self.cache.changes()
    }

    /// Whether the object is stored as it would be stored now; if not, writing it again changes what is stored even when
    /// the object is the same.
    pub fn is_current(&self, object: &StoredObject) -> bool {
        let found = object.found();
        !found.stale && found.generation == self.cache.transformer().generation()
    }

    /// What is counted of it.
    pub fn metrics(&self) -> &ResourceMetrics {
        self.cache.metrics()
    }

    /// Reports of its backend that its cache has seen everything up to a revision.
    pub(crate) fn progressed(&self) -> &crate::metrics::Count {
        self.hub.progressed()
    }

    /// Bytes of the objects as JSON: of those in the cache, or about as many where [`Self::count`] counts.
    pub fn bytes(&self) -> usize {
        match self.is_counted() {
            true => self.cache.measured().bytes(),
            false => self.cache.view().bytes(),
        }
    }

    /// Number of objects: of those in the cache, or as [`Self::count`] found.
    pub fn objects(&self) -> usize {
        match self.is_counted() {
            true => self.cache.measured().objects(),
            false => self.cache.view().len(),
        }
    }

    /// Whether no cache knows how many objects there are.
    fn is_counted(&self) -> bool {
        self.cache.is_bypassed() && !self.cache.is_ready()
    }

    /// Has the backend count the objects where no cache knows how many there are.
    pub async fn count(&self) -> Result<(), StorageError> {
        match self.is_counted() {
            true => direct::count(self).await,
            false => Ok(()),
        }
    }

    /// Number of watches that run.
    pub fn watchers(&self) -> usize {
        self.cache.watchers()
    }
}
