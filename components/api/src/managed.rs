//! Field ownership of a kind: managedFields on writes, and server-side apply.
use crate::{Resource, defaults, strategy};
use apimachinery::managed_fields::{Compact, FieldManager, Writer};
use apimachinery::{ApiError, decode};
use serde_json::Value;

/// Records a create (`old` is `None`) or update in the new object's managedFields.
pub fn track(resource: &Resource, old: Option<&Compact>, new: &mut Compact, writer: Writer<'_>) {
    let reset = strategy::reset_fields(resource, writer.subresource);
    manager(resource, &resource.gvk.api_version(), &reset).update(old, new, writer);
}

/// The same for objects that the server makes of itself and holds whole.
pub fn track_whole(resource: &Resource, old: Option<&Value>, new: &mut Value, writer: Writer<'_>) {
    let old = old.cloned().map(Compact::of);
    let mut compact = Compact::of(new.take());
    track(resource, old.as_ref(), &mut compact, writer);
    *new = compact.into_whole();
}

/// Merges an applied configuration into an object, or makes an object of it; the result is defaulted.
pub fn apply(
    resource: &Resource,
    old: Option<&Compact>,
    applied: &Value,
    writer: Writer<'_>,
    force: bool,
) -> Result<Compact, ApiError> {
    let reset = strategy::reset_fields(resource, writer.subresource);
    let mut new =
        manager(resource, &resource.gvk.api_version(), &reset).apply(old, applied, writer, force)?;
    match &resource.custom {
        Some(definition) => crate::custom::fit(definition, &mut new).map_err(ApiError::bad_request)?,
        None => {
            let before = old.map_or(&Value::Null, |old| &**old);
            decode::fit_change(&resource.schemas, resource.schema_id, &mut new, before)
                .map_err(|error| ApiError::bad_request(error.to_string()))?
        }
    };
    defaults::apply(resource, &mut new);
    Ok(new)
}

fn manager<'a>(
    resource: &'a Resource,
    api_version: &'a str,
    reset: &'a apimachinery::fieldset::FieldSet,
) -> FieldManager<'a> {
    FieldManager {
        schemas: &resource.schemas,
        schema: resource.schema_id,
        api_version,
        reset,
        typed: resource.custom.is_none(),
    }
}
