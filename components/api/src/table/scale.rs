//! The Table of a scale: one for all built-in kinds, one for all custom kinds.
use super::words::{age, name};
use super::{age_description, name_description};
use crate::Resource;
use crate::value::{at, int};
use jiff::Timestamp;
use serde_json::{Value, json};

/// `columnDefinitions` and `rows` of the scale of an object.
pub fn render_scale(resource: &Resource, scale: &Value, now: Timestamp) -> Value {
    let (columns, [desired, available]) = match resource.custom {
        // Of what isn't there a column of a definition has nothing, and none wanted aren't there.
        Some(_) => (
            custom_columns(),
            ["spec", "status"].map(|part| at(scale, &[part, "replicas"]).clone()),
        ),
        None => {
            let replicas = |part| json!(int(scale, &[part, "replicas"]).unwrap_or(0));
            (built_in_columns(), ["spec", "status"].map(replicas))
        }
    };
    let cells = json!([name(scale), desired, available, age(scale, now)]);
    json!({"columnDefinitions": columns, "rows": [{ "cells": cells }]})
}

fn column(name: &str, ty: &str, format: &str, description: &str) -> Value {
    json!({"name": name, "type": ty, "format": format, "description": description, "priority": 0})
}

fn built_in_columns() -> Value {
    let desired = "replicas is the desired number of instances for the scaled object.";
    let available = "replicas is the actual number of observed instances of the scaled object.";
    json!([
        column("Name", "string", "", name_description()),
        column("Desired", "integer", "", desired),
        column("Available", "integer", "", available),
        column("Age", "string", "", age_description()),
    ])
}

fn custom_columns() -> Value {
    json!([
        column("Name", "string", "name", name_description()),
        column("Desired", "integer", "", "Number of desired replicas"),
        column("Available", "integer", "", "Number of actual replicas"),
        column("Age", "date", "", age_description()),
    ])
}
