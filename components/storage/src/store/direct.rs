//! Reads of clients without the cache: from the backend's newest state and its history.

mod list;
mod measure;
mod watcher;

pub(super) use list::list;
pub(crate) use measure::Measured;
pub(super) use measure::count;
pub(crate) use watcher::DirectWatcher;

use super::key::object_key;
use super::list::range_of;
use super::{Filter, Store, WatchRequest};
use crate::backend::BackendError;
use crate::cache::{EventKind, Scope};
use crate::error::StorageError;
use crate::object::ObjectRef;
use crate::revision::{RequestedRevision, Revision};

/// Objects per request to the backend where the client sets no limit.
const PAGE: usize = 500;

/// One object as it is now, if the backend is as new as was asked for.
pub(super) async fn get(
    store: &Store,
    namespace: &str,
    name: &str,
    revision: RequestedRevision,
) -> Result<ObjectRef, StorageError> {
    let key = object_key(store, namespace, name)?;
    let mut found = range_of(store, &key).await?;
    at_least(revision, found.revision)?;
    match found.kvs.pop() {
        Some(kv) => store
            .cache
            .decode(&key, kv.value, kv.mod_revision, EventKind::Added),
        None => Err(StorageError::NotFound { key }),
    }
}

/// The keys that a request is about: few if its selector names the object.
fn keys(store: &Store, namespace: Option<&str>, filter: Option<&Filter>) -> Scope {
    let scope = store.cache.scope(namespace);
    let is_parent = !store.resource().namespaced || namespace.is_some_and(|namespace| !namespace.is_empty());
    match filter.and_then(Filter::name) {
        Some(name) if is_parent && !name.is_empty() => Scope::prefix(&format!("{}{name}", scope.start)),
        _ => scope,
    }
}

/// Refuses a state that is older than the one asked for.
fn at_least(wanted: RequestedRevision, current: Revision) -> Result<(), StorageError> {
    match wanted {
        RequestedRevision::At(requested) if requested > current => {
            Err(StorageError::TooLargeResourceVersion { requested, current })
        }
        _ => Ok(()),
    }
}

/// A watch of the backend. All that it begins with is read when it is first asked for something, so that what goes
/// wrong is told in the stream.
pub(super) async fn watch(store: &Store, request: WatchRequest) -> Result<DirectWatcher, StorageError> {
    let initial = match request.send_initial_events {
        Some(wanted) => wanted,
        None => !matches!(request.revision, RequestedRevision::At(_)),
    };
    if initial {
        return Ok(DirectWatcher::with_state(store, request));
    }
    let after = match request.revision {
        RequestedRevision::At(revision) => revision,
        RequestedRevision::Unset | RequestedRevision::Any => newest(store).await?,
    };
    Ok(DirectWatcher::after(store, request, after))
}

async fn newest(store: &Store) -> Result<Revision, StorageError> {
    let newest = store.hub.backend().current_revision().await;
    newest.map_err(|error| StorageError::from_backend(store.cache.prefix(), error))
}

/// What a client is told of a range that failed. Backends don't say how new they are when they refuse the future.
async fn refused(store: &Store, error: BackendError, at: Option<Revision>) -> StorageError {
    if let (BackendError::FutureRevision { .. }, Some(requested)) = (&error, at) {
        return match newest(store).await {
            Ok(current) => StorageError::TooLargeResourceVersion { requested, current },
            Err(error) => error,
        };
    }
    StorageError::from_backend(store.cache.prefix(), error)
}
