//! Where a watch begins.

use super::list::{at_hand, newest, not_older_than};
use super::{Filter, Store, WatchRequest};
use crate::cache::{Begin, CachedWatcher, WatcherParts};
use crate::error::StorageError;
use crate::object::{Marks, ObjectRef};
use crate::revision::{RequestedRevision, Revision};

pub(super) async fn watch(store: &Store, request: WatchRequest) -> Result<CachedWatcher, StorageError> {
    store.warm_up().await?;
    // Without sendInitialEvents: unset and "0" send the state first, a revision only what follows.
    let initial = match request.send_initial_events {
        Some(wanted) => wanted,
        None => !matches!(request.revision, RequestedRevision::At(_)),
    };
    let begin = if initial {
        match request.revision {
            RequestedRevision::Unset => {
                newest(store).await?;
            }
            RequestedRevision::Any => {}
            RequestedRevision::At(revision) => not_older_than(store, revision).await?,
        }
        with_state(store, &request)?
    } else {
        match request.revision {
            RequestedRevision::Unset => {
                newest(store).await?;
                from_now(store)
            }
            RequestedRevision::Any => from_now(store),
            RequestedRevision::At(revision) => after(store, revision)?,
        }
    };
    let parts = WatcherParts {
        scope: request
            .namespace
            .as_deref()
            .filter(|namespace| !namespace.is_empty())
            .map(|namespace| store.cache.scope(Some(namespace))),
        filter: request.filter,
        bookmarks: request.bookmarks,
        until: request.until,
    };
    Ok(CachedWatcher::new(
        store.hub.clone(),
        store.cache.clone(),
        parts,
        begin,
    ))
}

fn with_state(store: &Store, request: &WatchRequest) -> Result<Begin, StorageError> {
    let position = store.hub.position();
    let (view, cursor) = store.cache.view_and_cursor();
    let scope = store.cache.scope(request.namespace.as_deref());
    let revision = position.max(view.revision);
    store.cache.unreadable().check(&scope, revision)?;
    let marks = request.filter.as_ref().map_or_else(Marks::default, Filter::marks);
    let initial: Vec<ObjectRef> = view.iter(&scope, marks).cloned().collect();
    store.metrics().initial.add(initial.len());
    Ok(Begin {
        cursor,
        initial,
        revision,
        mark_end: request.send_initial_events == Some(true) && request.bookmarks,
    })
}

fn from_now(store: &Store) -> Begin {
    let revision = at_hand(store).revision;
    let (view, cursor) = store.cache.view_and_cursor();
    Begin {
        cursor,
        initial: Vec::new(),
        revision: revision.max(view.revision),
        mark_end: false,
    }
}

fn after(store: &Store, revision: Revision) -> Result<Begin, StorageError> {
    let cursor = store
        .cache
        .cursor_after(revision)
        .map_err(|oldest| StorageError::Expired {
            requested: revision,
            oldest,
        })?;
    Ok(Begin {
        cursor,
        initial: Vec::new(),
        revision,
        mark_end: false,
    })
}
