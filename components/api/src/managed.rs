//! Field ownership of a kind: managedFields on writes, and server-side apply.
use crate::custom::{Scale, Version};
use crate::{Resource, defaults, strategy};
use apimachinery::decode::{self, Unchanged};
use apimachinery::fieldset::FieldSet;
use apimachinery::managed_fields::{Compact, FieldManager, Kind, OnlyVersion, Part, Versions, Writer};
use apimachinery::{ApiError, GroupVersionKind, meta};
use serde_json::Value;
use std::sync::Arc;

/// Records a create (`old` is `None`) or update in the new object's managedFields.
pub fn track(
    resource: &Resource,
    old: Option<&Compact>,
    new: &mut Compact,
    unchanged: &Unchanged,
    writer: Writer<'_>,
    versions: &dyn Versions,
) {
    let reset = strategy::reset_fields(resource, writer.subresource);
    manager(resource, &resource.gvk.api_version(), &reset, versions).update(old, new, unchanged, writer);
}

/// Whether anybody owns the replicas that scales of the object show.
pub fn owns_replicas(resource: &Resource, object: &Compact) -> bool {
    object.is_owned(|api_version| replicas(resource, api_version))
}

/// The replicas that a scale shows, in a version of the object.
fn replicas(resource: &Resource, api_version: &str) -> Option<FieldSet> {
    let Some(definition) = &resource.custom else {
        return Some(FieldSet::of_names(&["spec.replicas"]));
    };
    let (_, version) = api_version.split_once('/')?;
    let path = definition.version(version)?.replicas.as_ref()?;
    Some(FieldSet::of_names(&[&path.names().join(".")]))
}

/// Whether the scale of an object has replicas for upstream's field managers: none are left out, and what a custom object
/// doesn't have is a number that stands for that.
fn shows_replicas(resource: &Resource, object: &Value) -> bool {
    let scale = resource
        .custom
        .as_ref()
        .and_then(|definition| definition.scale.as_ref());
    let replicas = match scale {
        Some(scale) => Scale::number(&scale.spec_replicas, object).ok().flatten(),
        None => object["spec"]["replicas"].as_i64().or(Some(0)),
    };
    replicas != Some(0)
}

/// A kind as field owners see it who write through its endpoint.
pub fn kind(resource: &Resource, subresource: &str) -> Kind {
    Kind {
        schemas: Arc::clone(&resource.schemas),
        schema: resource.schema_id,
        reset: strategy::reset_fields(resource, subresource),
    }
}

/// The same for a version of a custom kind, served or not.
pub fn custom_kind(version: &Version, subresource: &str) -> Kind {
    let (schemas, schema) = version.typed();
    Kind {
        schemas: Arc::clone(schemas),
        schema: *schema,
        reset: strategy::custom_reset_fields(version.has_status, subresource),
    }
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
        versions: &OnlyVersion,
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
    track(
        resource,
        old.as_ref(),
        &mut compact,
        &unchanged,
        writer,
        &OnlyVersion,
    );
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
    versions: &dyn Versions,
) -> Result<(Compact, Unchanged), ApiError> {
    check_type(resource, applied)?;
    let reset = strategy::reset_fields(resource, writer.subresource);
    let fields = |version: &str| replicas(resource, version);
    let part = (writer.subresource == "scale").then(|| Part {
        api_version: "autoscaling/v1",
        fields: &fields,
        is_set: old.is_some_and(|old| shows_replicas(resource, old)),
    });
    let (mut new, mut unchanged) = manager(resource, &resource.gvk.api_version(), &reset, versions)
        .apply_part(old, applied, writer, force, part.as_ref())?;
    match &resource.custom {
        Some(definition) => {
            crate::custom::fit_applied(definition, &mut new).map_err(ApiError::bad_request)?
        }
        None => decode::fit_except(&resource.schemas, resource.schema_id, &mut new, &unchanged)
            .map_err(|error| ApiError::bad_request(error.to_string()))?,
    };
    defaults::apply_change(resource, &mut new, &mut unchanged);
    Ok((new, unchanged))
}

/// What is applied must say that it is of the kind and version that it is applied to.
fn check_type(resource: &Resource, applied: &Value) -> Result<(), ApiError> {
    let given = meta::gvk(applied);
    if given == resource.gvk {
        return Ok(());
    }
    Err(ApiError::bad_request(format!("invalid object type: {given}")))
}

fn manager<'a>(
    resource: &'a Resource,
    api_version: &'a str,
    reset: &'a FieldSet,
    versions: &'a dyn Versions,
) -> FieldManager<'a> {
    FieldManager {
        schemas: &resource.schemas,
        schema: resource.schema_id,
        api_version,
        reset,
        typed: resource.custom.is_none(),
        versions,
    }
}
