//! What a kind does to an object before it is checked and stored.
pub(crate) mod app_armor;
mod create;
mod custom;
mod devices;
mod gated;
mod rules;
mod service;
mod signing;
#[cfg(test)]
mod tests;
mod update;

pub use create::prepare_create;
pub use create::qos_class;
pub use gated::Gates;
pub(crate) use gated::pod_spec_path;
pub use rules::{Rules, rules};
pub use update::prepare_update;

use crate::Resource;
use apimachinery::decode::{self, Unchanged};
use apimachinery::fieldset::FieldSet;
use apimachinery::schema::Type;
use serde_json::Value;

/// Fields that whoever writes through this endpoint does not come to own.
pub fn reset_fields(resource: &Resource, subresource: &str) -> FieldSet {
    let rules = rules(resource);
    if let Some(definition) = &resource.custom {
        return custom::reset_fields(definition, subresource);
    }
    match subresource {
        "" if rules.status => FieldSet::of_names(&["status"]).union(&FieldSet::of_names(rules.main_keeps)),
        "status" => FieldSet::of_names(rules.status_disowns.unwrap_or(rules.status_keeps)),
        "finalize" => FieldSet::of_names(&["status"]),
        "approval" => FieldSet::of_names(&["spec", "status.certificate"]),
        "ephemeralcontainers" => all_but_spec(resource, &["ephemeralContainers"]),
        // Upstream leaves out what else a container has, too, which no field set can say.
        "resize" => all_but_spec(resource, &["containers", "initContainers"]),
        _ => FieldSet::default(),
    }
}

/// Everything except these fields of the spec.
fn all_but_spec(resource: &Resource, names: &[&str]) -> FieldSet {
    let fields = |id| resource.schemas.get(id).fields.iter();
    let spec = fields(resource.schema_id).find(|field| field.name == "spec");
    let others: Vec<String> = match spec.map(|field| &field.ty) {
        Some(Type::Struct(id)) => fields(*id)
            .filter(|field| !names.contains(&&*field.name))
            .map(|field| format!("spec.{}", field.name))
            .collect(),
        _ => Vec::new(),
    };
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    FieldSet::of_names(&["metadata", "status"]).union(&FieldSet::of_names(&others))
}

/// Brings a new or changed object that was found valid into the form in which it is stored and answered.
/// What stays of a changed object is in this form.
pub fn settle(resource: &Resource, object: &mut Value, unchanged: &Unchanged) {
    if resource.custom.is_some() {
        return;
    }
    decode::settle_except(&resource.schemas, resource.schema_id, object, unchanged);
    // A job gets the labels of its pods as it is read back, these being made by then.
    if let Some(job) = object.as_object_mut().filter(|_| resource.gvk.kind == "Job") {
        crate::defaults::labels_from_template(job);
    }
}
