//! Lists from the backend: only as much of it as the page takes.

use std::time::Instant;

use super::super::continue_token::{self, Position};
use super::super::{ListPage, ListRequest, RevisionMatch, Store};
use super::{PAGE, at_least, keys, refused};
use crate::backend::{BackendError, RangeRequest};
use crate::cache::{EventKind, Scope};
use crate::error::StorageError;
use crate::metrics::Operation;
use crate::object::ObjectRef;
use crate::revision::{RequestedRevision, Revision};

/// Objects per request to the backend at most.
const MOST: usize = 10_000;

/// What is to be read.
struct Start {
    key: String,
    /// None is the newest state.
    at: Option<Revision>,
    /// The client goes on with a list.
    continued: bool,
    /// What the state must not be older than.
    least: RequestedRevision,
}

impl Start {
    fn of(request: &ListRequest, scope: &Scope, keys: &Scope) -> Result<Self, StorageError> {
        let token = request.continue_token.as_deref();
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            let position = continue_token::decode(&scope.start, token)?;
            return Ok(Start {
                key: position.start_key,
                at: position.revision,
                continued: true,
                least: RequestedRevision::Unset,
            });
        }
        let at = match (request.revision, request.revision_match) {
            (RequestedRevision::At(revision), Some(RevisionMatch::Exact)) => Some(revision),
            // Clients from before resourceVersionMatch: with a limit the revision was exact.
            (RequestedRevision::At(revision), None) if request.limit > 0 => Some(revision),
            _ => None,
        };
        Ok(Start {
            key: keys.start.clone(),
            at,
            continued: false,
            least: request.revision,
        })
    }

    /// What a client is told whose list can't go on from here.
    async fn refused(&self, store: &Store, scope: &Scope, error: BackendError) -> StorageError {
        if self.continued && matches!(error, BackendError::Compacted { .. }) {
            let restart = Position {
                revision: None,
                start_key: self.key.clone(),
            };
            return StorageError::ExpiredContinue {
                restart: Some(continue_token::encode(&scope.start, &restart)),
            };
        }
        refused(store, error, self.at).await
    }
}

pub(in super::super) async fn list(store: &Store, request: ListRequest) -> Result<ListPage, StorageError> {
    let scope = store.cache.scope(request.namespace.as_deref());
    let filter = request.filter.as_ref();
    let keys = keys(store, request.namespace.as_deref(), filter);
    let mut start = Start::of(&request, &scope, &keys)?;
    let lists = &store.metrics().backend_lists;
    lists.count.add(1);
    let limit = request.limit;
    let is_full = |items: &[ObjectRef]| limit > 0 && items.len() >= limit;
    let mut size = if limit == 0 { PAGE } else { limit.min(MOST) };
    let mut items: Vec<ObjectRef> = Vec::new();
    let (mut last, mut rest);
    loop {
        if start.key >= keys.end {
            // A continue key can lie behind the end; such a range is empty, not an error.
            start.key.clone_from(&keys.end);
        }
        let range = RangeRequest {
            start: start.key.clone(),
            end: keys.end.clone(),
            limit: size,
            revision: start.at,
        };
        let begun = Instant::now();
        let found = store.hub.backend().range(range).await;
        store.metrics().asked(Operation::List, begun, &found);
        let found = match found {
            Ok(found) => found,
            Err(error) => return Err(start.refused(store, &scope, error).await),
        };
        at_least(start.least, found.revision)?;
        start.at.get_or_insert(found.revision);
        lists.fetched.add(found.kvs.len());
        rest = found.count;
        last = None;
        let mut bytes = 0;
        for kv in found.kvs {
            if is_full(&items) {
                break;
            }
            let object = store
                .cache
                .decode(&kv.key, kv.value, kv.mod_revision, EventKind::Added)?;
            rest = rest.saturating_sub(1);
            bytes += object.json_bytes().len();
            last = Some(kv.key);
            if filter.is_none_or(|filter| filter.matches(&object)) {
                items.push(object);
            }
        }
        let looked = usize::try_from(found.count.saturating_sub(rest)).unwrap_or(usize::MAX);
        lists.evaluated.add(looked);
        store.cache.measured().saw(looked, bytes);
        match &last {
            Some(last) if rest > 0 && !is_full(&items) => start.key = format!("{last}\0"),
            _ => break,
        }
        if limit > 0 {
            // The selector drops much: fewer, larger requests.
            size = (size * 2).min(MOST);
        }
    }
    lists.returned.add(items.len());
    let revision = start.at.unwrap_or(Revision::ZERO);
    let position = last.filter(|_| rest > 0).map(|last| Position {
        revision: Some(revision),
        start_key: format!("{last}\0"),
    });
    Ok(ListPage {
        revision,
        items,
        remaining: position.as_ref().filter(|_| filter.is_none()).map(|_| rest),
        continue_token: position.map(|position| continue_token::encode(&scope.start, &position)),
    })
}
