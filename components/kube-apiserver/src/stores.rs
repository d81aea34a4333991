//! The store of each kind.
mod failure;
mod followed;
mod stamp;
mod stored;

pub use failure::Failure;
pub use stored::StoredKind;

use crate::authentication::lookup::{Lookup, LookupError};
use api::Resource;
use apimachinery::json::SyntaxError;
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, GroupResource, meta};
use async_trait::async_trait;
use component_config::kube_apiserver::ServingFlags;
use serde_json::{Value, json};
use std::sync::Arc;
use storage::{
    CacheFor, Change, ListRequest, ObjectRef, Preconditions, RequestedRevision, ResourceSpec, Storage,
    StorageError, Store, StoredDecoder, StoredObject,
};

/// All stores, over one watch of etcd.
#[derive(Clone)]
pub struct Stores {
    pub storage: Storage,
    registry: Arc<arc_swap::ArcSwap<api::Registry>>,
    /// The family of addresses of the cluster's first range of services.
    primary: &'static str,
    /// Which build this is, if that is known.
    build: Option<&'static str>,
    /// What is said of caches.
    serving: Arc<ServingFlags>,
    /// Stores that are open.
    known: Arc<parking_lot::RwLock<ahash::AHashMap<GroupResource, Store>>>,
}

impl Stores {
    pub fn new(
        storage: Storage,
        registry: Arc<arc_swap::ArcSwap<api::Registry>>,
        primary: &'static str,
        build: Option<&'static str>,
        serving: ServingFlags,
    ) -> Self {
        Self {
            storage,
            registry,
            primary,
            build,
            serving: Arc::new(serving),
            known: Arc::default(),
        }
    }

    /// The store of a row's objects.
    pub fn of(&self, row: &Resource) -> Store {
        let resource = row.group_resource();
        if let Some(store) = self.known.read().get(&resource) {
            return store.clone();
        }
        let store = self.open(row);
        self.known.write().insert(resource, store.clone());
        store
    }

    /// Forgets the store of a custom resource whose definition is gone or another one; its watches end.
    pub fn forget(&self, row: &Resource) {
        self.known.write().remove(&row.group_resource());
        self.storage.remove(&storage_name(row));
    }

    fn open(&self, row: &Resource) -> Store {
        let name = storage_name(row);
        self.storage.store(ResourceSpec {
            cache: match self.serving.is_cached(&name, row.custom.is_some()) {
                true => CacheFor::All,
                false if followed::is_followed(row) => CacheFor::Server,
                false => CacheFor::Nobody,
            },
            name,
            path: row.storage_prefix.clone(),
            namespaced: row.namespaced,
            fields: crate::selectors::selectable_fields(row),
            // Custom objects are fitted to the version that is asked for when they are served.
            decoder: row.custom.is_none().then(|| {
                let kind = StoredKind::in_cluster(self.storage_row(row), self.primary);
                Arc::new(kind.written_by(self.build)) as Arc<dyn StoredDecoder>
            }),
        })
    }

    /// The row of the version in which a row's objects are stored.
    fn storage_row(&self, row: &Resource) -> Arc<Resource> {
        let version = &row.storage_version;
        let registry = self.registry.load();
        let stored = registry.resource(&version.group, &version.version, &row.plural);
        stored.map_or_else(|| Arc::new(row.clone()), Arc::clone)
    }

    /// The row in whose version a built-in resource's objects are stored.
    pub fn stored_row(&self, resource: &GroupResource) -> Option<Arc<Resource>> {
        let row = self.registry.load().versions(resource).next().cloned()?;
        Some(self.storage_row(&row))
    }

    /// The store of a built-in resource of the core or another group, by names.
    pub fn named(&self, group: &str, resource: &str) -> Option<Store> {
        let resource = GroupResource::new(group, resource);
        if let Some(store) = self.known.read().get(&resource) {
            return Some(store.clone());
        }
        let registry = self.registry.load();
        let row = registry.versions(&resource).next()?;
        Some(self.of(row))
    }

    /// A cached object as a value, not older than what this server has written; the newest state is read when there is no
    /// cache, or it doesn't have it.
    pub async fn read(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Value>>, StorageError> {
        let Some(store) = self.named(group, resource) else {
            return Ok(None);
        };
        if let Some(object) = store.known_object(namespace, name).await {
            return value(group, resource, &object).map(Some);
        }
        newest_in(&store, group, resource, namespace, name).await
    }

    /// The newest state of an object as a value, for answers that must know of every write before them.
    pub async fn newest(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Value>>, StorageError> {
        match self.named(group, resource) {
            Some(store) => newest_in(&store, group, resource, namespace, name).await,
            None => Ok(None),
        }
    }

    /// A cached object as it is, without waiting. Its resource must be among those that are followed.
    pub fn cached(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let object = self.named(group, resource)?.cached_object(namespace, name)?;
        value(group, resource, &object).ok()
    }

    /// All cached objects of a namespace, or of all. Their resource must be among those that are followed.
    pub fn cached_list(&self, group: &str, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let Some(store) = self.named(group, resource) else {
            return Vec::new();
        };
        store
            .cached(namespace)
            .iter()
            .filter_map(|object| value(group, resource, object).ok())
            .collect()
    }

    /// The same, where what this server has written is waited for.
    pub async fn known_list(&self, group: &str, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        if let Some(store) = self.named(group, resource) {
            store.knows_own_writes().await;
        }
        self.cached_list(group, resource, namespace)
    }

    /// All objects of a namespace in their newest state.
    pub async fn newest_list(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
    ) -> Result<Vec<Arc<Value>>, StorageError> {
        let Some(store) = self.named(group, resource) else {
            return Ok(Vec::new());
        };
        let request = ListRequest {
            namespace: Some(namespace.to_owned()),
            ..ListRequest::default()
        };
        let page = store.list(request).await?;
        page.items
            .iter()
            .map(|object| value(group, resource, object))
            .collect()
    }
}

async fn newest_in(
    store: &Store,
    group: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<Value>>, StorageError> {
    match store.get(namespace, name, RequestedRevision::Unset).await {
        Ok(object) => value(group, resource, &object).map(Some),
        Err(StorageError::NotFound { .. } | StorageError::InvalidKey { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name that EncryptionConfiguration uses; all versions of a resource share one store.
fn storage_name(row: &Resource) -> String {
    GroupResource::new(&*row.storage_version.group, &*row.plural).to_string()
}

/// What writes of other objects are checked against. These are few and small, and asked for with every write, so
/// their values are kept beside them.
const KEPT: &[(&str, &str)] = &[
    ("", "namespaces"),
    ("", "serviceaccounts"),
    ("", "limitranges"),
    ("", "resourcequotas"),
    ("scheduling.k8s.io", "priorityclasses"),
    ("node.k8s.io", "runtimeclasses"),
];

fn value(group: &str, resource: &str, object: &ObjectRef) -> Result<Arc<Value>, StorageError> {
    if KEPT.contains(&(group, resource)) {
        return object.kept_value(|| parse(object));
    }
    parse(object).map(Arc::new)
}

/// A stored object as a value.
pub fn parse(object: &ObjectRef) -> Result<Value, StorageError> {
    match apimachinery::json::parse(object.json_bytes()) {
        Ok(document) => Ok(document.value),
        Err(error) => Err(corrupt(object, &error)),
    }
}

/// The same in compact form. `json` is the object's, or what was made of it.
pub fn parse_compact(object: &StoredObject, json: &[u8]) -> Result<Compact, StorageError> {
    let is_own = std::ptr::eq(json, object.json_bytes());
    let field_sets = if is_own { object.notes() } else { &[] };
    Compact::parse_written(json, field_sets).map_err(|error| corrupt(object, &error))
}

fn corrupt(object: &StoredObject, error: &SyntaxError) -> StorageError {
    StorageError::corrupt(object.key(), error)
}

#[async_trait]
impl Lookup for Stores {
    async fn get(&self, resource: &str, namespace: &str, name: &str) -> Result<Option<Value>, LookupError> {
        let found = self.read("", resource, namespace, name).await;
        found
            .map(|object| object.map(Arc::unwrap_or_clone))
            .map_err(|error| LookupError {
                resource: resource.to_owned(),
                message: error.to_string(),
            })
    }

    async fn label(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        uid: &str,
        (key, value): (&str, &str),
    ) -> Result<(), LookupError> {
        let Some(store) = self.named("", resource) else {
            return Ok(());
        };
        let decide = |current: Option<ObjectRef>| async move {
            let Some(mut object) = current.as_ref().map(parse).transpose()? else {
                return Ok(Change::Nothing);
            };
            if meta::uid(&object) != uid {
                return Ok(Change::Nothing);
            }
            let labels = &mut object["metadata"]["labels"];
            if !labels.is_object() {
                *labels = json!({});
            }
            labels[key] = json!(value);
            meta::remove(&mut object, "resourceVersion");
            Ok::<Change, StorageError>(Change::Write {
                json: object.to_string().into_bytes().into(),
                ttl: None,
            })
        };
        let outcome = store
            .update::<_, _, StorageError>(namespace, name, &Preconditions::default(), decide)
            .await;
        outcome.map(drop).map_err(|error| LookupError {
            resource: resource.to_owned(),
            message: error.to_string(),
        })
    }
}

/// What Go says of a revision that is no number.
pub fn invalid_revision(value: &str) -> String {
    let why = match value.bytes().all(|byte| byte.is_ascii_digit()) {
        true if !value.is_empty() => "value out of range",
        _ => "invalid syntax",
    };
    format!("resourceVersion: Invalid value: {value:?}: strconv.ParseUint: parsing {value:?}: {why}")
}

/// The one place where storage failures become API errors.
pub fn to_api_error(error: StorageError, resource: &GroupResource, name: &str) -> ApiError {
    match error {
        StorageError::NotFound { .. } => ApiError::not_found(resource, name),
        StorageError::AlreadyExists { .. } => ApiError::already_exists(resource, name),
        StorageError::PreconditionFailed { message, .. } => ApiError::conflict(resource, name, &message),
        StorageError::Contended { .. } => ApiError::modified(resource, name),
        StorageError::Expired { .. } => ApiError::expired(error.to_string()),
        StorageError::ExpiredContinue { restart } => expired_continue(restart),
        StorageError::TooLargeResourceVersion { .. } => {
            let text = error.to_string();
            let details = apimachinery::status::Details {
                retry_after_seconds: 1,
                causes: vec![apimachinery::status::Cause {
                    reason: "ResourceVersionTooLarge".to_owned(),
                    message: "Too large resource version".to_owned(),
                    field: String::new(),
                }],
                ..Default::default()
            };
            ApiError::new(
                504,
                apimachinery::Reason::Timeout,
                format!("Timeout: {text}"),
                Some(details),
            )
        }
        StorageError::InvalidResourceVersion { value } => {
            ApiError::bad_request(format!("invalid resource version: {}", invalid_revision(&value)))
        }
        StorageError::InvalidContinue { message } => ApiError::bad_request(format!(
            "invalid continue token: continue key is not valid: {message}"
        )),
        StorageError::InvalidKey { .. } => ApiError::not_found(resource, name),
        // Upstream hands etcd's words on, and clients look for them.
        StorageError::TooLarge { .. } => ApiError::new(
            500,
            apimachinery::Reason::Unknown,
            "etcdserver: request is too large",
            None,
        ),
        StorageError::Corrupt { .. } | StorageError::KeyUnavailable { .. } => ApiError::internal(error),
        StorageError::Unanswered { message } => {
            tracing::warn!(message, "storage doesn't answer");
            unanswered()
        }
        StorageError::Unavailable { message } => {
            tracing::warn!(message, "storage is unavailable");
            // etcd's own words begin so.
            let said = message.trim_start_matches("etcdserver: ");
            ApiError::new(
                500,
                apimachinery::Reason::Unknown,
                format!("etcdserver: {said}"),
                None,
            )
        }
    }
}

/// What is asked may still happen, so it is told as upstream tells it whose own time is over by then.
fn unanswered() -> ApiError {
    ApiError::timeout(
        "request did not complete within requested timeout - context deadline exceeded",
        0,
    )
}

/// Told how to go on: with what is left of the list as it is now, which is what the token stands for.
fn expired_continue(restart: Option<String>) -> ApiError {
    const EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter";
    let Some(restart) = restart else {
        return ApiError::expired(format!("{EXPIRED}."));
    };
    ApiError::expired(format!(
        "{EXPIRED}, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list."
    ))
    .continued(restart)
}
