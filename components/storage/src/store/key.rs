//! Keys of objects.

use super::Store;
use crate::error::StorageError;

/// A name must stay one path segment.
fn check_segment(what: &str, value: &str) -> Result<(), StorageError> {
    let message = match value {
        "" => format!("{what} must not be empty"),
        "." | ".." => format!("{what} must not be {value:?}"),
        value if value.contains('/') || value.contains('\0') => {
            format!("{what} must not contain a slash: {value:?}")
        }
        _ => return Ok(()),
    };
    Err(StorageError::InvalidKey { message })
}

/// `PREFIX/resource/[namespace/]name`
pub(super) fn object_key(store: &Store, namespace: &str, name: &str) -> Result<String, StorageError> {
    check_segment("name", name)?;
    let prefix = store.cache.prefix();
    if store.resource().namespaced {
        check_segment("namespace", namespace)?;
        Ok(format!("{prefix}{namespace}/{name}"))
    } else if namespace.is_empty() {
        Ok(format!("{prefix}{name}"))
    } else {
        Err(StorageError::InvalidKey {
            message: format!("{} have no namespace", store.resource().name),
        })
    }
}
