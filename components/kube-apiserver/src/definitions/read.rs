//! Stored custom objects as their kinds see them: pruned, defaulted, in the version that is asked for.

use crate::stores;
use api::Resource;
use api::custom::{self, Conversion, Definition};
use apimachinery::{ApiError, meta};
use bytes::Bytes;
use serde_json::{Value, json};
use storage::{EncodingId, StoredObject};

/// Where an object keeps its form under this definition.
pub fn encoding(definition: &Definition) -> EncodingId {
    EncodingId(definition.encoding)
}

/// The object's JSON in the row's version. It is made once and kept beside the object; what is stored is used when
/// nothing has to change. An object that a webhook has to convert must have been converted before.
pub fn json(row: &Resource, definition: &Definition, object: &StoredObject) -> Result<Bytes, ApiError> {
    object.encoding(encoding(definition), |object| {
        let stored = serde_json::from_slice(object.json_bytes()).map_err(ApiError::internal)?;
        let fitted = fit(row, definition, stored)?;
        let made = serde_json::to_vec(&fitted).map_err(ApiError::internal)?;
        Ok(if made == object.json_bytes() {
            object.json()
        } else {
            made.into()
        })
    })
}

/// Pruned and defaulted in its own version, then in the row's.
fn fit(row: &Resource, definition: &Definition, mut object: Value) -> Result<Value, ApiError> {
    let wanted = row.gvk.api_version();
    if meta::api_version(&object) != wanted {
        if definition.conversion != Conversion::None {
            return Err(ApiError::internal(format!(
                "{} was not converted to {wanted}",
                meta::name(&object)
            )));
        }
        fit_own(definition, &mut object);
        object["apiVersion"] = json!(wanted);
    }
    custom::fit_stored(definition, &mut object);
    Ok(object)
}

/// Pruned and defaulted in the version in which it is stored.
pub fn fit_own(definition: &Definition, object: &mut Value) {
    let version = meta::api_version(object).rsplit('/').next().unwrap_or("");
    if let Some(version) = definition.version(version) {
        custom::fit_to(&version.schema, object);
    }
}

/// The object's value in the row's version.
pub fn value(row: &Resource, definition: &Definition, object: &StoredObject) -> Result<Value, ApiError> {
    let bytes = json(row, definition, object)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::internal(stores::to_api_error(
            storage::StorageError::corrupt(object.key(), error),
            &row.group_resource(),
            object.name(),
        ))
    })
}

/// A field's value as selectors compare it.
pub fn selector_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ => String::new(),
    }
}
