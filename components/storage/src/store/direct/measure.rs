//! What is known of the number and size of objects that no cache holds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::backend::RangeRequest;
use crate::error::StorageError;
use crate::metrics::Operation;
use crate::store::Store;

/// As of the last count, and of the last objects that were read.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    objects: AtomicUsize,
    /// Bytes of one object as JSON, on average.
    size: AtomicUsize,
}

impl Measured {
    pub(crate) fn objects(&self) -> usize {
        self.objects.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.objects().saturating_mul(self.size.load(Ordering::Relaxed))
    }

    /// Objects with this many bytes in all were read.
    pub(super) fn saw(&self, objects: usize, bytes: usize) {
        if let Some(size) = bytes.checked_div(objects) {
            self.size.store(size, Ordering::Relaxed);
        }
    }
}

/// Asks the backend how many objects there are. It tells with a range of any length; one object is the cheapest.
pub(in crate::store) async fn count(store: &Store) -> Result<(), StorageError> {
    let prefix = store.cache().prefix();
    let request = RangeRequest {
        limit: 1,
        ..RangeRequest::prefix(prefix)
    };
    let begun = Instant::now();
    let found = store.hub.backend().range(request).await;
    store.metrics().asked(Operation::List, begun, &found);
    let found = found.map_err(|error| StorageError::from_backend(prefix, error))?;
    let count = usize::try_from(found.count).unwrap_or(usize::MAX);
    store.cache().measured().objects.store(count, Ordering::Relaxed);
    Ok(())
}
