//! Field ownership of a kind: managedFields on writes, and server-side apply.
use crate::{Resource, defaults, strategy};
use apimachinery::decode::{self, Unchanged};
use apimachinery::fieldset::FieldSet;
use apimachinery::managed_fields::{Compact, FieldManager, Writer};
use apimachinery::{ApiError, GroupVersionKind};
use serde_json::Value;

/// Records a create (`old` is `None`) or update in the new object's managedFields.
pub fn track(
    resource: &Resource,
    old: Option<&Compact>,
    new: &mut Compact,
    unchanged: &Unchanged,
    writer: Writer<'_>,
) {
    let reset = strategy::reset_fields(resource, writer.subresource);
    manager(resource, &resource.gvk.api_version(), &reset).update(old, new, unchanged, writer);
}

/// Records who sent an object of a built-in kind that is no resource, such as what a subresource takes. `None` if there is no
/// such kind.
pub fn track_new(kind: &GroupVersionKind, new: &mut Compact, writer: Writer<'_>) -> Option<()> {
    let schemas = crate::schema::built_in();
    let manager = FieldManager {
        schemas: &schemas,
        schema: schemas.id(&crate::schema_name(kind))?,
        api_version: &kind.api_version(),
        reset: &FieldSet::default(),
        typed: true,
    };
    manager.update(None, new, &Unchanged::default(), writer);
    Some(())
}

/// The same for objects that the server makes of itself and holds whole.
pub fn track_whole(resource: &Resource, old: Option<&Value>, new: &mut Value, writer: Writer<'_>) {
    let old = old.cloned().map(Compact::of);
    let mut compact = Compact::of(new.take());
    let unchanged = old
        .as_ref()
        .map_or_else(Unchanged::default, |old| Unchanged::between(old, &compact));
    track(resource, old.as_ref(), &mut compact, &unchanged, writer);
    *new = compact.into_whole();
}

/// Merges an applied configuration into an object, or makes an object of it; the result is defaulted. What is known to
/// be as before goes with it.
pub fn apply(
    resource: &Resource,
    old: Option<&Compact>,
    applied: &Value,
    writer: Writer<'_>,
    force: bool,
) -> Result<(Compact, Unchanged), ApiError> {
    let reset = strategy::reset_fields(resource, writer.subresource);
    let mut new =
        manager(resource, &resource.gvk.api_version(), &reset).apply(old, applied, writer, force)?;
    let mut unchanged = old.map_or_else(Unchanged::default, |old| Unchanged::between(old, &new));
    match &resource.custom {
        Some(definition) => crate::custom::fit(definition, &mut new).map_err(ApiError::bad_request)?,
        None => decode::fit_except(&resource.schemas, resource.schema_id, &mut new, &unchanged)
            .map_err(|error| ApiError::bad_request(error.to_string()))?,
    };
    defaults::apply_change(resource, &mut new, &mut unchanged);
    Ok((new, unchanged))
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
