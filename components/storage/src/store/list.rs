//! Get and list: which state a request reads, and pages of it.

use std::sync::Arc;
use std::time::Instant;

use super::continue_token::{self, Position};
use super::key::object_key;
use super::{Filter, ListPage, ListRequest, RevisionMatch, Store};
use crate::backend::{BackendError, RangeRequest, RangeResult};
use crate::cache::{EventKind, Failures, Scope, View, fetch};
use crate::error::StorageError;
use crate::metrics::Operation;
use crate::object::{Marks, ObjectRef};
use crate::revision::{RequestedRevision, Revision};

/// A snapshot and the revision it stands for.
pub(super) struct State {
    view: Arc<View>,
    pub(super) revision: Revision,
    /// Whether it was read from the backend for this request.
    fetched: bool,
}

pub(super) async fn get(
    store: &Store,
    namespace: &str,
    name: &str,
    revision: RequestedRevision,
) -> Result<ObjectRef, StorageError> {
    let key = object_key(store, namespace, name)?;
    match revision {
        RequestedRevision::Any => store.warm_up().await?,
        RequestedRevision::At(revision) => {
            store.warm_up().await?;
            not_older_than(store, revision).await?;
        }
        RequestedRevision::Unset => {
            let loaded = store.warm_up().await;
            let seen = match loaded {
                Ok(()) => consistent(store, &key).await?,
                Err(_) => false,
            };
            if !seen {
                return read(store, &key).await?.ok_or(StorageError::NotFound { key });
            }
        }
    }
    // What the cache has under a key that is unreadable is older than what is stored.
    if store.cache.unreadable().contains(&key) {
        return read(store, &key).await?.ok_or(StorageError::NotFound { key });
    }
    let found = store.cache.view().get(&key).cloned();
    found.ok_or(StorageError::NotFound { key })
}

/// Waits until the cache has seen the newest state; false when it is too slow.
async fn consistent(store: &Store, key: &str) -> Result<bool, StorageError> {
    let begun = Instant::now();
    let outcome = store.hub.consistent().await;
    let (_, seen) = outcome.map_err(|error| StorageError::from_backend(key, error))?;
    store.metrics().waited(begun.elapsed(), seen);
    Ok(seen)
}

/// What the backend has now under one key.
pub(super) async fn range_of(store: &Store, key: &str) -> Result<RangeResult, StorageError> {
    let request = RangeRequest {
        start: key.to_owned(),
        end: format!("{key}\0"),
        ..RangeRequest::default()
    };
    let begun = Instant::now();
    let found = store.hub.backend().range(request).await;
    store.metrics().asked(Operation::Get, begun, &found);
    found.map_err(|error| StorageError::from_backend(key, error))
}

/// Reads one object from the backend.
pub(super) async fn read(store: &Store, key: &str) -> Result<Option<ObjectRef>, StorageError> {
    let mut found = range_of(store, key).await?;
    match found.kvs.pop() {
        Some(kv) => store
            .cache
            .decode(key, kv.value, kv.mod_revision, EventKind::Added)
            .map(Some),
        None => Ok(None),
    }
}

pub(super) async fn list(store: &Store, request: ListRequest) -> Result<ListPage, StorageError> {
    let scope = store.cache.scope(request.namespace.as_deref());
    if let Some(token) = request
        .continue_token
        .as_deref()
        .filter(|token| !token.is_empty())
    {
        let position = continue_token::decode(&scope.start, token)?;
        let state = match position.revision {
            None => newest(store).await?,
            Some(revision) => match exact(store, revision).await {
                Err(StorageError::Expired { .. }) => {
                    let restart = Position {
                        revision: None,
                        start_key: position.start_key,
                    };
                    return Err(StorageError::ExpiredContinue {
                        restart: Some(continue_token::encode(&scope.start, &restart)),
                    });
                }
                state => state?,
            },
        };
        store.cache.unreadable().check(&scope, state.revision)?;
        return Ok(page(
            store,
            &request,
            state,
            &scope,
            position.start_key,
            request.limit,
        ));
    }
    let mut limit = request.limit;
    let state = match (request.revision, request.revision_match) {
        (RequestedRevision::Unset, _) => newest(store).await?,
        (RequestedRevision::Any, _) => {
            // Any state is served whole, as clients that list at "0" expect.
            limit = 0;
            store.warm_up().await?;
            at_hand(store)
        }
        (RequestedRevision::At(revision), Some(RevisionMatch::Exact)) => exact(store, revision).await?,
        // Clients from before resourceVersionMatch: with a limit the revision was exact.
        (RequestedRevision::At(revision), None) if limit > 0 => exact(store, revision).await?,
        (RequestedRevision::At(revision), _) => {
            store.warm_up().await?;
            not_older_than(store, revision).await?;
            at_hand(store)
        }
    };
    store.cache.unreadable().check(&scope, state.revision)?;
    let start = scope.start.clone();
    Ok(page(store, &request, state, &scope, start, limit))
}

/// The cached state. The position is read first: what it covers is in the snapshot read after it.
pub(super) fn at_hand(store: &Store) -> State {
    let position = store.hub.position();
    let view = store.cache.view();
    let revision = position.max(view.revision);
    State {
        view,
        revision,
        fetched: false,
    }
}

/// The newest state, from the cache if it keeps up.
pub(super) async fn newest(store: &Store) -> Result<State, StorageError> {
    let prefix = store.cache.prefix();
    if store.warm_up().await.is_ok() {
        if consistent(store, prefix).await? {
            return Ok(at_hand(store));
        }
        tracing::warn!(
            resource = store.resource().name,
            "the cache is behind, listing from the backend"
        );
    }
    let (view, failures) = fetch(store.hub.backend(), &store.cache, None)
        .await
        .map_err(|error| StorageError::from_backend(prefix, error))?;
    all_read(failures)?;
    let revision = view.revision;
    Ok(from_backend(store, Arc::new(view), revision))
}

/// A state that lacks something is none.
fn all_read(failures: Failures) -> Result<(), StorageError> {
    match failures.into_values().next() {
        None => Ok(()),
        Some((_, error)) => Err(error),
    }
}

/// Counts a state that was read from the backend for a list. It is read whole, and kept for the pages that follow.
fn from_backend(store: &Store, view: Arc<View>, revision: Revision) -> State {
    let lists = &store.metrics().backend_lists;
    lists.count.add(1);
    lists.fetched.add(view.len());
    State {
        view,
        revision,
        fetched: true,
    }
}

pub(super) async fn not_older_than(store: &Store, revision: Revision) -> Result<(), StorageError> {
    if store.hub.position() >= revision || store.cache.view().revision >= revision {
        return Ok(());
    }
    if store
        .hub
        .wait_for(revision, store.hub.consistent_read_timeout())
        .await
    {
        return Ok(());
    }
    Err(StorageError::TooLargeResourceVersion {
        requested: revision,
        current: store.hub.position(),
    })
}

async fn exact(store: &Store, revision: Revision) -> Result<State, StorageError> {
    store.warm_up().await?;
    not_older_than(store, revision).await?;
    let oldest = store.hub.compacted();
    if revision < oldest {
        return Err(StorageError::Expired {
            requested: revision,
            oldest,
        });
    }
    if let Some(view) = store.cache.view_at(revision) {
        return Ok(State {
            view,
            revision,
            fetched: false,
        });
    }
    match fetch(store.hub.backend(), &store.cache, Some(revision)).await {
        Ok((view, failures)) => {
            all_read(failures)?;
            let view = Arc::new(view);
            store.cache.pin(revision, view.clone());
            Ok(from_backend(store, view, revision))
        }
        Err(BackendError::Compacted { requested, oldest }) => {
            Err(StorageError::Expired { requested, oldest })
        }
        Err(error) => Err(StorageError::from_backend(store.cache.prefix(), error)),
    }
}

/// One page, counted.
fn page(
    store: &Store,
    request: &ListRequest,
    state: State,
    scope: &Scope,
    start: String,
    limit: usize,
) -> ListPage {
    let mut looked = 0;
    let fetched = state.fetched;
    let page = page_of(store, request, state, scope, start, limit, &mut looked);
    let lists = if fetched {
        let lists = &store.metrics().backend_lists;
        lists.evaluated.add(looked);
        lists
    } else {
        let lists = &store.metrics().cache_lists;
        lists.count.add(1);
        lists.fetched.add(looked);
        lists
    };
    lists.returned.add(page.items.len());
    page
}

/// `looked` is told how many objects it came by.
fn page_of(
    store: &Store,
    request: &ListRequest,
    State { view, revision, .. }: State,
    scope: &Scope,
    start: String,
    limit: usize,
    looked: &mut usize,
) -> ListPage {
    let rest = Scope {
        start,
        end: scope.end.clone(),
    };
    let filter = request.filter.as_ref();
    let marks = filter.map_or_else(Marks::default, Filter::marks);
    let mut matching = view
        .iter(&rest, marks)
        .inspect(|_| *looked += 1)
        .filter(|object| filter.is_none_or(|filter| filter.matches(object)));
    if limit == 0 {
        let items: Vec<ObjectRef> = matching.cloned().collect();
        return ListPage {
            revision,
            items,
            continue_token: None,
            remaining: None,
        };
    }
    let items: Vec<ObjectRef> = matching.by_ref().take(limit).cloned().collect();
    let more = matching.next().is_some();
    let last = match items.last() {
        Some(last) if more => last,
        _ => {
            return ListPage {
                revision,
                items,
                continue_token: None,
                remaining: None,
            };
        }
    };
    let remaining = filter.is_none().then(|| matching.count() as u64 + 1);
    let position = Position {
        revision: Some(revision),
        start_key: format!("{}\0", last.key()),
    };
    let continue_token = Some(continue_token::encode(&scope.start, &position));
    store.cache.pin(revision, view);
    ListPage {
        revision,
        items,
        continue_token,
        remaining,
    }
}
