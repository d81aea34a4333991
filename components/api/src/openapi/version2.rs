//! The version 2 document, for clients that don't read version 3.
use super::{API_VERSION, operations, schemas};
use crate::Registry;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The whole version 2 document.
pub fn document(registry: &Registry) -> Value {
    let mut paths: BTreeMap<String, Value> = BTreeMap::new();
    for row in registry.iter() {
        let version = row.gvk.group_version();
        let base = if version.group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{version}")
        };
        operations::paths(row, &base, &mut paths);
    }
    let paths: Map<String, Value> = paths
        .into_iter()
        .map(|(path, operations)| (path, path_item(&operations)))
        .collect();
    let mut definitions = schemas::all();
    let mut customs = Map::new();
    registry
        .iter()
        .for_each(|row| super::custom::add(row, &mut customs));
    customs.values_mut().for_each(super::custom::for_version_2);
    definitions.extend(customs);
    schemas::describe(&mut definitions);
    definitions.values_mut().for_each(definition);
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": API_VERSION},
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": {"description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header"}},
        "security": [{"BearerToken": []}],
    })
}

/// Version 2 has no `allOf` around references, no `oneOf`, and another place for definitions.
fn definition(value: &mut Value) {
    if let Some(target) = value.pointer("/allOf/0/$ref").cloned() {
        let description = value.get("description").cloned();
        *value = json!({"$ref": target});
        if let Some(description) = description {
            value["description"] = description;
        }
    }
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get_mut("$ref") {
                *target = target.replace("#/components/schemas/", "#/definitions/");
            }
            if map.remove("oneOf").is_some() {
                map.insert("type".into(), json!("string"));
            }
            map.values_mut().for_each(definition);
        }
        Value::Array(items) => items.iter_mut().for_each(definition),
        _ => {}
    }
}

fn parameter(parameter: &Value) -> Value {
    let mut out = parameter.clone();
    let schema = out
        .as_object_mut()
        .and_then(|map| map.remove("schema"))
        .unwrap_or_default();
    for (key, value) in schema.as_object().into_iter().flatten() {
        out[key] = value.clone();
    }
    out
}

fn path_item(operations: &Value) -> Value {
    let mut out = Map::new();
    for (method, operation) in operations.as_object().into_iter().flatten() {
        if method == "parameters" {
            out.insert(
                method.clone(),
                operation
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(parameter)
                    .collect(),
            );
            continue;
        }
        let mut operation = operation.clone();
        let mut parameters: Vec<Value> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(parameter)
            .collect();
        let body = operation
            .as_object_mut()
            .and_then(|map| map.remove("requestBody"));
        if let Some(content) = body.as_ref().and_then(|body| body["content"].as_object()) {
            let schema = content
                .values()
                .next()
                .map(|media| media["schema"].clone())
                .unwrap_or_default();
            parameters.insert(0, json!({"name": "body", "in": "body", "required": body.as_ref().is_some_and(|body| body["required"] == true), "schema": schema}));
            operation["consumes"] = content.keys().cloned().collect();
        }
        operation["parameters"] = Value::Array(parameters);
        for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            let content = response.as_object_mut().and_then(|map| map.remove("content"));
            if let Some(media) = content
                .as_ref()
                .and_then(Value::as_object)
                .and_then(|content| content.values().next())
            {
                response["schema"] = media["schema"].clone();
            }
        }
        operation["produces"] = json!([
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf"
        ]);
        definition(&mut operation);
        out.insert(method.clone(), operation);
    }
    Value::Object(out)
}
