//! Validation of new and changed objects, with upstream's paths, types and messages.
mod metadata;

use crate::Resource;
use apimachinery::field::ErrorList;
use apimachinery::{ApiError, meta};
use serde_json::Value;

/// Checks a new object.
pub fn create(resource: &Resource, object: &Value) -> Result<(), ApiError> {
    let mut errors = metadata::create(resource, object);
    errors.extend(ErrorList::new());
    answer(resource, object, errors)
}

/// Checks a changed object.
pub fn update(resource: &Resource, subresource: &str, old: &Value, new: &Value) -> Result<(), ApiError> {
    let mut errors = metadata::update(resource, old, new);
    let _ = subresource;
    errors.extend(ErrorList::new());
    answer(resource, new, errors)
}

fn answer(resource: &Resource, object: &Value, errors: ErrorList) -> Result<(), ApiError> {
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(&resource.gvk, meta::name(object), &errors)) }
}
