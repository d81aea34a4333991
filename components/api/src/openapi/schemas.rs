//! Schemas of a document: those that its paths refer to, and what these refer to.
use crate::Resource;
use crate::schema::embedded;
use apimachinery::GroupVersion;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every schema as recorded, without texts.
pub(super) fn all() -> Map<String, Value> {
    embedded(include_bytes!("../gen/openapi-schemas.json.gz"))
}

/// The schemas that the paths and kinds need.
pub(super) fn reachable(paths: &Value, rows: &[&Arc<Resource>]) -> Map<String, Value> {
    let mut all = all();
    rows.iter().for_each(|row| super::custom::add(row, &mut all));
    let mut pending = Vec::new();
    references(paths, &mut pending);
    pending.extend(rows.iter().map(|row| row.schema().name.clone()));
    let mut out = Map::new();
    while let Some(name) = pending.pop() {
        if let Some(schema) = all.remove(&name) {
            references(&schema, &mut pending);
            out.insert(name, schema);
        }
    }
    out
}

fn references(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(target) = map.get("$ref").and_then(Value::as_str) {
                out.push(target.rsplit('/').next().unwrap_or("").to_owned());
            }
            map.values().for_each(|value| references(value, out));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, out)),
        _ => {}
    }
}

/// Kinds that every group has say so: they are of the document's group as well as of the core one.
pub(super) fn shared_kinds(schemas: &mut Map<String, Value>, version: &GroupVersion) {
    if version.group.is_empty() {
        return;
    }
    for kind in ["DeleteOptions", "WatchEvent"] {
        let name = format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}");
        let kinds = schemas
            .get_mut(&name)
            .and_then(|schema| schema.get_mut("x-kubernetes-group-version-kind"))
            .and_then(Value::as_array_mut);
        if let Some(kinds) = kinds {
            kinds.push(json!({"group": version.group, "kind": kind, "version": version.version}));
        }
    }
}

/// Adds the texts.
pub(super) fn describe(schemas: &mut Map<String, Value>) {
    let texts: BTreeMap<String, BTreeMap<String, String>> =
        embedded(include_bytes!("../gen/descriptions.json.gz"));
    for (name, schema) in schemas.iter_mut() {
        let Some(texts) = texts.get(name) else { continue };
        for (field, text) in texts {
            let place = if field.is_empty() {
                Some(&mut *schema)
            } else {
                schema
                    .get_mut("properties")
                    .and_then(|properties| properties.get_mut(field))
            };
            if let Some(place) = place.and_then(Value::as_object_mut) {
                place.insert("description".into(), Value::from(text.as_str()));
            }
        }
    }
    for schema in schemas.values_mut() {
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            continue;
        };
        for (name, text) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            if let Some(property) = properties.get_mut(name).and_then(Value::as_object_mut) {
                property.entry("description").or_insert_with(|| Value::from(text));
            }
        }
    }
}

const API_VERSION: &str = "The version of the schema that this representation of the object has. Servers convert schemas they recognize to the latest internal value, and may reject others.";
const KIND: &str = "The REST resource that this object represents, in CamelCase. Servers may infer it from the endpoint. Cannot be updated.";
