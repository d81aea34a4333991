//! Changed objects of built-in kinds that say of themselves that they are of another version or kind.

use super::{to_storage, to_version};
use api::{Registry, Resource};
use apimachinery::{GroupVersion, GroupVersionKind, meta};
use serde_json::Value;

/// An object can't be read as what it says it is, or what it says can't be made what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    #[error(
        "no kind {kind:?} is registered for version {version:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\""
    )]
    Unregistered { kind: String, version: String },
    #[error("{0}")]
    Unconvertible(String),
}

/// Reads a changed object as the kind that it names, and makes it one of the wanted kind again: another version of it may be
/// named, or none.
pub fn read(
    registry: &Registry,
    row: &Resource,
    wanted: &GroupVersionKind,
    object: &mut Value,
) -> Result<(), Misread> {
    let or = |said: &str, own: String| if said.is_empty() { own } else { said.to_owned() };
    let kind = or(meta::kind(object), wanted.kind.clone());
    let version = or(meta::api_version(object), wanted.api_version());
    let own_version = wanted.api_version();
    if kind == wanted.kind && version == own_version {
        if object.is_object() {
            object["kind"] = Value::from(kind);
            object["apiVersion"] = Value::from(version);
        }
        return Ok(());
    }
    let said = GroupVersion::parse(&version).map(|version| version.kind(kind.as_str()));
    let Some(said) = said.ok().filter(|said| is_built_in(registry, said)) else {
        return Err(Misread::Unregistered { kind, version });
    };
    let other = registry
        .kind(&said)
        .filter(|_| kind == wanted.kind && said.group == wanted.group && *wanted == row.gvk);
    let Some(known) = other else {
        let group = wanted.group.split('.').next().filter(|group| !group.is_empty());
        return Err(Misread::Unconvertible(format!(
            "converting ({}.{kind}) to ({}.{}): unknown conversion",
            said.version,
            group.unwrap_or("core"),
            wanted.kind
        )));
    };
    let failed = |error: apimachinery::ApiError| Misread::Unconvertible(error.to_string());
    let stored = to_storage(known, object.take()).map_err(failed)?;
    *object = to_version(row, stored).map_err(failed)?;
    Ok(())
}

/// Kinds that resources have, and those of their subresources.
fn is_built_in(registry: &Registry, kind: &GroupVersionKind) -> bool {
    match registry.kind(kind) {
        Some(row) => row.custom.is_none(),
        None => api::schema::built_in().id(&api::schema_name(kind)).is_some(),
    }
}
