//! OpenAPI documents of other servers: read, converted where a server has only the old form, and merged.

use super::backend::Backend;
use super::documents::{Documents, fetch};
use super::own_user;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

const V2_REFERENCE: &str = "#/definitions/";
const V3_REFERENCE: &str = "#/components/schemas/";

/// Reads a server's documents, as far as they have changed.
pub async fn learn(documents: &Documents, backend: &Backend, group: &str, version: &str) {
    let known = documents.get(group, version).unwrap_or_default();
    let tag = known.v2.as_ref().map(|(tag, _)| tag.as_str());
    let v2 = match fetch(backend, &own_user(), "/openapi/v2", "application/json", tag).await {
        Ok(fetched) if fetched.status == StatusCode::OK => {
            match serde_json::from_slice::<Value>(&fetched.body) {
                Ok(document) => Some((fetched.tag, Arc::new(document))),
                Err(error) => {
                    tracing::warn!(group, version, %error, "an aggregated server's OpenAPI can't be read");
                    None
                }
            }
        }
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(group, version, %error, "an aggregated server's OpenAPI can't be fetched");
            None
        }
    };
    let name = document_name(group, version);
    let v3 = match address(backend, &name).await {
        Some(url) => {
            let hash = url.split_once("hash=").map_or("", |(_, hash)| hash).to_owned();
            match &known.v3 {
                Some((kept, _)) if *kept == hash && !hash.is_empty() => None,
                _ => fetch(backend, &own_user(), &url, "application/json", None)
                    .await
                    .ok()
                    .filter(|fetched| fetched.status == StatusCode::OK)
                    .map(|fetched| (hash, fetched.body)),
            }
        }
        // Servers built before version 3 have only the old form.
        None => v2
            .as_ref()
            .map(|(_, document)| converted(document, group, version)),
    };
    if v2.is_none() && v3.is_none() {
        return;
    }
    documents.change(group, version, |known| {
        known.v2 = v2.or(known.v2.take());
        known.v3 = v3.or(known.v3.take());
        true
    });
}

/// `apis/GROUP/VERSION`, as the index of documents names it.
pub fn document_name(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// Where the server has the version 3 document of that name.
async fn address(backend: &Backend, name: &str) -> Option<String> {
    let index = fetch(backend, &own_user(), "/openapi/v3", "application/json", None)
        .await
        .ok()?;
    if index.status != StatusCode::OK {
        return None;
    }
    let index: Value = serde_json::from_slice(&index.body).ok()?;
    index["paths"][name]["serverRelativeURL"]
        .as_str()
        .map(str::to_owned)
}

fn converted(document: &Value, group: &str, version: &str) -> (String, Bytes) {
    let text = to_v3(&part_of(document, group, version)).to_string();
    (hex::encode_upper(Sha256::digest(&text)), text.into())
}

/// The paths of a group and version, and the definitions that they need.
fn part_of(document: &Value, group: &str, version: &str) -> Value {
    let root = format!("/{}", document_name(group, version));
    let ours = |path: &str| {
        path.strip_prefix(&root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let paths: Map<String, Value> = document["paths"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(path, _)| ours(path))
        .map(|(path, item)| (path.clone(), item.clone()))
        .collect();
    let paths = Value::Object(paths);
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    references(&paths, &mut wanted);
    // Kinds of the group are described even where no path names them.
    for (name, schema) in document["definitions"].as_object().into_iter().flatten() {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        let own = |kind: &Value| kind["group"] == group && kind["version"] == version;
        if kinds.is_some_and(|kinds| kinds.iter().any(own)) {
            wanted.insert(name.clone());
        }
    }
    let mut open: Vec<String> = wanted.iter().cloned().collect();
    let mut definitions = Map::new();
    while let Some(name) = open.pop() {
        let Some(schema) = document["definitions"].get(&name) else {
            continue;
        };
        let mut more = BTreeSet::new();
        references(schema, &mut more);
        open.extend(more.difference(&wanted).cloned());
        wanted.extend(more);
        definitions.insert(name, schema.clone());
    }
    json!({ "info": document["info"], "paths": paths, "definitions": definitions })
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| reference.strip_prefix(V2_REFERENCE))
            {
                found.insert(name.to_owned());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Rewrites every reference.
fn rename(value: &mut Value, to: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref")
                && let Some(new) = to(reference)
            {
                *reference = new;
            }
            fields.values_mut().for_each(|field| rename(field, to));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, to)),
        _ => {}
    }
}

/// Adds the group and version of another server's document. A definition that differs from one of the same name gets
/// a name of its own.
pub fn merge(document: &mut Value, other: &Value, group: &str, version: &str) {
    let mut part = part_of(other, group, version);
    let known = document["definitions"].as_object().cloned().unwrap_or_default();
    let clashes: Vec<String> = part["definitions"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, schema)| known.get(*name).is_some_and(|own| !same(own, schema)))
        .map(|(name, _)| name.clone())
        .collect();
    let fresh = |name: &str| {
        (2..)
            .map(|number| format!("{name}_v{number}"))
            .find(|name| !known.contains_key(name))
            .unwrap_or_default()
    };
    rename(&mut part, &|reference| {
        let name = reference.strip_prefix(V2_REFERENCE)?;
        clashes
            .iter()
            .any(|clash| clash == name)
            .then(|| format!("{V2_REFERENCE}{}", fresh(name)))
    });
    if let (Some(paths), Value::Object(added)) = (document["paths"].as_object_mut(), part["paths"].take()) {
        // What this server serves of the group itself gives way.
        paths.extend(added);
    }
    if let (Some(definitions), Value::Object(added)) = (
        document["definitions"].as_object_mut(),
        part["definitions"].take(),
    ) {
        for (name, schema) in added {
            if clashes.contains(&name) {
                definitions.insert(fresh(&name), schema);
            } else {
                definitions.entry(name).or_insert(schema);
            }
        }
    }
}

/// Equal but for texts and the kinds that a schema is listed for.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let counts =
                |name: &&String| !matches!(name.as_str(), "description" | "x-kubernetes-group-version-kind");
            let keys = |map: &Map<String, Value>| map.keys().filter(counts).cloned().collect::<BTreeSet<_>>();
            let (of_a, of_b) = (keys(a), keys(b));
            of_a == of_b && of_a.iter().all(|key| same(&a[key], &b[key]))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

/// A version 2 document in the form of version 3.
fn to_v3(document: &Value) -> Value {
    let mut paths = document["paths"].clone();
    for item in paths.as_object_mut().into_iter().flat_map(Map::values_mut) {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            match operation {
                Value::Array(parameters) => *parameters = parameters.iter().map(parameter).collect(),
                Value::Object(fields) => operation_to_v3(fields),
                _ => {}
            }
        }
    }
    let mut schemas = document["definitions"].clone();
    let to = |reference: &str| {
        reference
            .strip_prefix(V2_REFERENCE)
            .map(|name| format!("{V3_REFERENCE}{name}"))
    };
    rename(&mut paths, &to);
    rename(&mut schemas, &to);
    json!({
        "openapi": "3.0.0",
        "info": document["info"],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn media_types(list: Option<Value>) -> Vec<String> {
    let types: Vec<String> = list
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|media| media.as_str().map(str::to_owned))
        .collect();
    if types.is_empty() {
        vec!["application/json".to_owned()]
    } else {
        types
    }
}

fn content(types: &[String], schema: &Value) -> Value {
    let entries = types
        .iter()
        .map(|media| (media.clone(), json!({ "schema": schema })));
    Value::Object(entries.collect())
}

fn operation_to_v3(operation: &mut Map<String, Value>) {
    let consumes = media_types(operation.remove("consumes"));
    let produces = media_types(operation.remove("produces"));
    operation.remove("schemes");
    let parameters = match operation.remove("parameters") {
        Some(Value::Array(parameters)) => parameters,
        _ => Vec::new(),
    };
    let (body, others): (Vec<Value>, Vec<Value>) = parameters
        .into_iter()
        .partition(|parameter| parameter["in"] == "body");
    if let Some(body) = body.first() {
        let mut request = json!({ "content": content(&consumes, &body["schema"]) });
        if body["required"] == true {
            request["required"] = json!(true);
        }
        operation.insert("requestBody".to_owned(), request);
    }
    if !others.is_empty() {
        operation.insert("parameters".to_owned(), others.iter().map(parameter).collect());
    }
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    for response in responses.into_iter().flat_map(Map::values_mut) {
        if let Some(schema) = response
            .as_object_mut()
            .and_then(|fields| fields.remove("schema"))
        {
            response["content"] = content(&produces, &schema);
        }
    }
}

/// A parameter with its type in a schema.
fn parameter(parameter: &Value) -> Value {
    const OF_SCHEMA: [&str; 6] = ["type", "format", "items", "uniqueItems", "default", "enum"];
    let mut fields = parameter.as_object().cloned().unwrap_or_default();
    let mut schema = Map::new();
    for name in OF_SCHEMA {
        if let Some(value) = fields.remove(name) {
            schema.insert(name.to_owned(), value);
        }
    }
    if !schema.is_empty() {
        fields.insert("schema".to_owned(), Value::Object(schema));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theirs() -> Value {
        json!({
            "info": {"title": "sample"},
            "paths": {
                "/apis/w.io/v1/flunders": {
                    "get": {"produces": ["application/json"], "parameters": [{"name": "limit", "in": "query", "type": "integer"}],
                        "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/FlunderList"}}}},
                    "post": {"parameters": [{"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/Flunder"}}], "responses": {}},
                },
                "/apis/other.io/v1/x": {},
            },
            "definitions": {
                "FlunderList": {"properties": {"items": {"items": {"$ref": "#/definitions/Flunder"}}}},
                "Flunder": {"properties": {"meta": {"$ref": "#/definitions/Meta"}, "time": {"$ref": "#/definitions/Time"}}},
                "Meta": {"description": "theirs", "properties": {"old": {}}},
                "Time": {"description": "theirs", "type": "string"},
                "Unused": {},
            },
        })
    }

    #[test]
    fn documents_merge_and_differing_definitions_keep_apart() {
        let mut own = json!({"paths": {"/api": {}}, "definitions": {"Meta": {"properties": {"new": {}}}, "Time": {"type": "string"}}});
        merge(&mut own, &theirs(), "w.io", "v1");
        let paths: Vec<&String> = own["paths"].as_object().unwrap().keys().collect();
        assert_eq!(paths, ["/api", "/apis/w.io/v1/flunders"]);
        let definitions = &own["definitions"];
        assert_eq!(
            definitions["Flunder"]["properties"]["meta"]["$ref"],
            "#/definitions/Meta_v2"
        );
        assert_eq!(
            definitions["Flunder"]["properties"]["time"]["$ref"],
            "#/definitions/Time"
        );
        assert!(definitions["Meta_v2"]["properties"]["old"].is_object());
        assert!(definitions["Meta"]["properties"]["new"].is_object());
        assert!(definitions.get("Unused").is_none());
    }

    #[test]
    fn the_old_form_becomes_the_new_one() {
        let found = to_v3(&part_of(&theirs(), "w.io", "v1"));
        let operations = &found["paths"]["/apis/w.io/v1/flunders"];
        let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        assert_eq!(
            operations["get"]["responses"]["200"]["content"]["application/json"]["schema"],
            reference("FlunderList")
        );
        assert_eq!(
            operations["get"]["parameters"][0],
            json!({"name": "limit", "in": "query", "schema": {"type": "integer"}})
        );
        assert_eq!(
            operations["post"]["requestBody"],
            json!({"required": true, "content": {"application/json": {"schema": reference("Flunder")}}})
        );
        assert!(found["components"]["schemas"]["Meta"].is_object());
    }
}
