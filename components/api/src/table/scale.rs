//! The Table of a scale, which is the same for all built-in kinds.
use super::words::{age, name};
use super::{age_description, name_description};
use crate::Resource;
use crate::value::int;
use jiff::Timestamp;
use serde_json::{Value, json};

/// `columnDefinitions` and `rows` of the scale of an object; a definition's columns are looked up in the scale itself.
pub fn render_scale(resource: &Resource, scale: &Value, now: Timestamp) -> Value {
    if resource.custom.is_some() {
        return super::render(resource, std::slice::from_ref(scale), now);
    }
    json!({"columnDefinitions": columns(), "rows": [{"cells": cells(scale, now)}]})
}

fn columns() -> Value {
    let column = |name: &str, ty: &str, description: &str| json!({"name": name, "type": ty, "format": "", "description": description, "priority": 0});
    json!([
        column("Name", "string", name_description()),
        column(
            "Desired",
            "integer",
            "replicas is the desired number of instances for the scaled object."
        ),
        column(
            "Available",
            "integer",
            "replicas is the actual number of observed instances of the scaled object."
        ),
        column("Age", "string", age_description()),
    ])
}

fn cells(scale: &Value, now: Timestamp) -> Vec<Value> {
    let replicas = |field: &str| json!(int(scale, &[field, "replicas"]).unwrap_or(0));
    vec![name(scale), replicas("spec"), replicas("status"), age(scale, now)]
}
