//! Custom objects: everything but metadata and status is what is wanted.
use crate::custom::Definition;
use apimachinery::fieldset::FieldSet;
use apimachinery::meta;
use serde_json::{Map, Value};

/// Fields that whoever writes through this endpoint does not come to own. What stands beside spec and status is kept by the status
/// endpoint, and yet is not among them upstream.
pub(crate) fn reset_fields(has_status: bool, subresource: &str) -> FieldSet {
    match subresource {
        "" if has_status => FieldSet::of_names(&["status"]),
        "status" => FieldSet::of_names(&["spec", "metadata"]),
        _ => FieldSet::default(),
    }
}

pub(super) fn prepare_create(definition: &Definition, value: &mut Value) {
    if definition.has_status
        && let Some(object) = value.as_object_mut()
    {
        object.remove("status");
    }
    meta::set(value, "generation", 1);
}

pub(super) fn prepare_update(definition: &Definition, subresource: &str, old: &Value, new: &mut Value) {
    match subresource {
        "status" if definition.has_status => only_status(old, new),
        // A scale is written to the object as a whole.
        _ => {
            if definition.has_status {
                put(new, "status", old.get("status"));
            }
            let wanted = |object: &Value| {
                let mut wanted = object.as_object().cloned().unwrap_or_default();
                wanted.remove("metadata");
                if definition.has_status {
                    wanted.remove("status");
                }
                wanted
            };
            let mut generation = meta::generation(old);
            if wanted(old) != wanted(new) {
                generation += 1;
            }
            meta::set(new, "generation", generation);
            return;
        }
    }
    meta::set(new, "generation", meta::generation(old));
}

/// The status endpoint changes the status alone, and who owns it.
fn only_status(old: &Value, new: &mut Value) {
    let status = new.get("status").cloned();
    let managed = meta::get(new, "managedFields").cloned();
    let version = meta::get(new, "resourceVersion").cloned();
    *new = old.clone();
    put(new, "status", status.as_ref());
    for (name, value) in [("managedFields", managed), ("resourceVersion", version)] {
        match value {
            Some(value) => meta::set(new, name, value),
            None => {
                meta::remove(new, name);
            }
        }
    }
}

fn put(value: &mut Value, name: &str, wanted: Option<&Value>) {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Some(object) = value.as_object_mut() {
        match wanted {
            Some(wanted) => object.insert(name.to_owned(), wanted.clone()),
            None => object.remove(name),
        };
    }
}
