//! Warnings that go with an accepted write.
use crate::Resource;
use crate::value::{list, text};
use serde_json::Value;

/// Warning texts for a new object.
pub fn create(resource: &Resource, object: &Value) -> Vec<String> {
    let _ = (resource, list(object, &[]), text(object, &[]));
    Vec::new()
}

/// Warning texts for a changed object.
pub fn update(resource: &Resource, _old: &Value, new: &Value) -> Vec<String> {
    create(resource, new)
}
