//! First load of a cache.

use std::sync::Arc;
use std::time::Instant;

use super::hub::Hub;
use super::resource::ResourceCache;
use super::unreadable::Failures;
use super::view::View;
use crate::backend::{Backend, BackendError, RangeRequest};
use crate::error::StorageError;
use crate::metrics::Operation;
use crate::revision::Revision;

/// Objects per request to the backend.
const PAGE: usize = 500;

/// Reads all objects of a resource at one revision, the newest or `revision`, and what of them can't be read.
pub(crate) async fn fetch(
    backend: &Arc<dyn Backend>,
    cache: &ResourceCache,
    mut revision: Option<Revision>,
) -> Result<(View, Failures), BackendError> {
    let mut request = RangeRequest {
        limit: PAGE,
        revision,
        ..RangeRequest::prefix(cache.prefix())
    };
    let (mut view, mut failures) = (View::new(Revision::ZERO), Failures::new());
    loop {
        let begun = Instant::now();
        let found = backend.range(request.clone()).await;
        cache.metrics().asked(Operation::List, begun, &found);
        let found = found?;
        let at = *revision.get_or_insert(found.revision);
        view.revision = at;
        let Some(last) = found.kvs.last().map(|kv| kv.key.clone()) else {
            return Ok((view, failures));
        };
        cache.decode_all(found.kvs, &mut view, &mut failures);
        if !found.more {
            return Ok((view, failures));
        }
        request.start = format!("{last}\0");
        request.revision = Some(at);
    }
}

/// Returns the intake to idle when a load is abandoned, so that changes don't pile up.
struct Loading<'a>(&'a ResourceCache);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.abandon_loading();
    }
}

impl Hub {
    /// Loads the cache unless it is loaded; concurrent callers wait for the one load.
    pub(crate) async fn ready(&self, cache: &Arc<ResourceCache>) -> Result<(), StorageError> {
        while !cache.is_ready() {
            let _one = cache.load_lock.lock().await;
            if cache.is_ready() {
                break;
            }
            self.started().await?;
            // From here on changes are kept; the list that follows is at least as new as the watch was.
            if !cache.begin_loading() {
                return Err(StorageError::Unavailable {
                    message: format!("{} are no longer kept", cache.spec().name),
                });
            }
            let loading = Loading(cache);
            let (view, failures) = match fetch(self.backend(), cache, None).await {
                Ok(found) => found,
                // Compacted between two pages.
                Err(BackendError::Compacted { .. }) => continue,
                Err(error) => return Err(StorageError::from_backend(cache.prefix(), error)),
            };
            tracing::debug!(resource = cache.spec().name, objects = view.len(), revision = %view.revision, "loaded");
            // A key service that isn't there yet must not make a server that knows nothing of what it keeps.
            let awaited = failures
                .values()
                .find(|(_, error)| matches!(error, StorageError::KeyUnavailable { .. }));
            if let Some((_, error)) = awaited {
                return Err(error.clone());
            }
            cache.finish_loading(view, failures);
            drop(loading);
        }
        Ok(())
    }
}
