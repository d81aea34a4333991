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
pub(crate) use custom::reset_fields as custom_reset_fields;
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
        return custom::reset_fields(definition.has_status, subresource);
    }
    match subresource {
        "" if rules.status => FieldSet::of_names(&["status"]).union(&FieldSet::of_names(rules.main_keeps)),
        "status" => FieldSet::of_names(rules.status_disowns.unwrap_or(rules.status_keeps)),
        "finalize" => FieldSet::of_names(&["status"]),
        "approval" => FieldSet::of_names(&["spec", "status.certificate"]),
        "ephemeralcontainers" => all_but(resource, &["spec.ephemeralContainers"]),
        "resize" => all_but(
            resource,
            &[
                "spec.containers.*.resources",
                "spec.containers.*.resizePolicy",
                "spec.initContainers.*.resources",
                "spec.initContainers.*.resizePolicy",
            ],
        ),
        _ => FieldSet::default(),
    }
}

/// Everything except these fields, of which `*` is each item of a list.
fn all_but(resource: &Resource, kept: &[&str]) -> FieldSet {
    let kept: Vec<Vec<&str>> = kept.iter().map(|path| path.split('.').collect()).collect();
    let kept: Vec<&[&str]> = kept.iter().map(Vec::as_slice).collect();
    let mut others = Vec::new();
    collect_others(
        resource,
        &Type::Struct(resource.schema_id),
        "",
        &kept,
        &mut others,
    );
    FieldSet::of_names(&others.iter().map(String::as_str).collect::<Vec<_>>())
}

fn collect_others(resource: &Resource, ty: &Type, prefix: &str, kept: &[&[&str]], out: &mut Vec<String>) {
    let mut visit = |name: &str, ty: &Type| {
        let path = format!("{prefix}{name}");
        let below: Vec<&[&str]> = kept
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| **first == name)
            .map(|(_, rest)| rest)
            .collect();
        if below.is_empty() {
            out.push(path);
        } else if below.iter().all(|rest| !rest.is_empty()) {
            collect_others(resource, ty, &format!("{path}."), &below, out);
        }
    };
    match ty {
        Type::Struct(id) => {
            for field in &resource.schemas.get(*id).fields {
                visit(&field.name, &field.ty);
            }
        }
        Type::List(inner, _) => visit("*", inner),
        _ => {}
    }
}

/// Brings a new or changed object that was found valid into the form in which it is stored and answered.
/// What stays of a changed object is in this form.
pub fn settle(resource: &Resource, object: &mut Value, unchanged: &Unchanged) {
    if resource.custom.is_some() {
        return;
    }
    decode::settle_except(&resource.schemas, resource.schema_id, object, unchanged);
    if resource.gvk.kind == "Service" {
        service::settle(object);
    }
    // A job gets the labels of its pods as it is read back, these being made by then.
    if let Some(job) = object.as_object_mut().filter(|_| resource.gvk.kind == "Job") {
        crate::defaults::labels_from_template(job);
    }
}
