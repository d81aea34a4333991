//! Tables: what `kubectl get` shows of each kind.
mod autoscaling;
mod core;
mod network;
mod others;
mod pod;
mod scale;
mod words;
mod workloads;

use crate::Resource;
use crate::value::int;
use apimachinery::meta;
use jiff::Timestamp;
use serde_json::{Value, json};

pub use scale::render_scale;

/// `columnDefinitions` and `rows` of these objects; rows hold `cells` and, for finished pods, `conditions`.
pub fn render(resource: &Resource, objects: &[Value], now: Timestamp) -> Value {
    let rows: Vec<Value> = objects.iter().map(|object| row(resource, object, now)).collect();
    json!({"columnDefinitions": columns(resource), "rows": rows})
}

/// Puts objects into the order in which a Table shows them, which is that of their list for nearly all kinds.
pub fn arrange(resource: &Resource, objects: &mut [Value]) {
    if resource.gvk.kind == "FlowSchema" && resource.custom.is_none() {
        // The order in which they are asked.
        objects.sort_by(|a, b| {
            let precedence = |object| int(object, &["spec", "matchingPrecedence"]).unwrap_or(0);
            (precedence(a), meta::name(a)).cmp(&(precedence(b), meta::name(b)))
        });
    }
}

/// What the column Name says of itself.
pub(crate) fn name_description() -> &'static str {
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
}

/// What the column Age says of itself.
pub(crate) fn age_description() -> &'static str {
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
}

/// The column definitions of a kind.
pub fn columns(resource: &Resource) -> Vec<Value> {
    let column = |column: &crate::registry::Column| json!({"name": column.name, "type": column.ty, "format": column.format, "description": column.description, "priority": column.priority});
    resource.columns.iter().map(column).collect()
}

/// One row: its cells in the order of the columns.
pub fn row(resource: &Resource, object: &Value, now: Timestamp) -> Value {
    let mut row = json!({"cells": cells(resource, object, now)});
    if resource.gvk.kind == "Pod"
        && resource.custom.is_none()
        && let Some(conditions) = pod::conditions(object)
    {
        row["conditions"] = conditions;
    }
    row
}

/// Cells of an object in the order of the kind's columns.
pub fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    if let Some(definition) = &resource.custom {
        let added = definition.columns.iter().zip(resource.columns.iter().skip(1));
        let mut cells = vec![words::name(object)];
        cells.extend(added.map(|(path, column)| crate::custom::cell(path, &column.ty, object, now)));
        return cells;
    }
    let kind = (resource.gvk.group.as_str(), resource.gvk.kind.as_str());
    let found = core::cells(kind, object, now)
        .or_else(|| workloads::cells(kind, object, now))
        .or_else(|| network::cells(kind, object, now))
        .or_else(|| autoscaling::cells(&resource.gvk, object, now))
        .or_else(|| others::cells(kind, object, now));
    found.unwrap_or_else(|| vec![json!(meta::name(object)), json!(meta::creation_timestamp(object))])
}

#[cfg(test)]
mod tests;
