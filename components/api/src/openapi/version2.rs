//! The version 2 document, for clients that don't read version 3.
use super::{API_VERSION, schemas};
use crate::{Registry, Resource};
use apimachinery::GroupVersion;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Media types in the order in which operations tell of them.
const MEDIA: [&str; 5] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

/// The whole version 2 document: what all of version 3 have, and no more than that.
pub fn document(registry: &Registry) -> Value {
    let rows: Vec<&Arc<Resource>> = registry.iter().collect();
    let mut by_document: BTreeMap<String, Vec<&Arc<Resource>>> = BTreeMap::new();
    for row in &rows {
        let name = super::name(&row.gvk.group_version());
        by_document.entry(name).or_default().push(row);
    }
    let mut all = Map::new();
    for name in super::v3_names(registry) {
        let rows = by_document.get(&name).map_or(&[][..], Vec::as_slice);
        if let Some(Value::Object(paths)) = super::paths(registry, &name, rows) {
            all.extend(paths);
        }
    }
    let paths = Value::Object(all);
    let mut definitions = schemas::reachable(&paths, &rows);
    for row in rows.iter().filter(|row| row.custom.is_some()) {
        let told = definitions.get_mut(&row.schema().name);
        if let (Some(schema), Some(less)) = (told, super::custom::version_2(row)) {
            *schema = less;
        }
    }
    schemas::describe(&mut definitions);
    let built_in = rows.iter().filter(|row| row.custom.is_none());
    let versions: BTreeSet<GroupVersion> = built_in.map(|row| row.gvk.group_version()).collect();
    for version in &versions {
        schemas::shared_kinds(&mut definitions, version);
    }
    definitions.values_mut().for_each(definition);
    let paths: Map<String, Value> = paths
        .as_object()
        .into_iter()
        .flatten()
        .map(|(path, operations)| (path.clone(), path_item(path, operations)))
        .collect();
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": API_VERSION},
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": {"description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header"}},
        "security": [{"BearerToken": []}],
    })
}

/// The media types of the answers, in upstream's order.
fn produced(operation: &Value) -> Value {
    let responses = operation["responses"].as_object().into_iter().flatten();
    let contents = responses.filter_map(|(_, response)| response["content"].as_object());
    let mut media: Vec<&String> = contents.flat_map(Map::keys).collect();
    let place = |name: &str| MEDIA.iter().position(|known| *known == name);
    media.sort_by_key(|name| (place(name).unwrap_or(MEDIA.len()), *name));
    media.dedup();
    json!(media)
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

fn path_item(path: &str, operations: &Value) -> Value {
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
        let produces = produced(operation);
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
        if operation.get("consumes").is_none() {
            if !path.ends_with('/') {
                operation["consumes"] = json!(["*/*"]);
            } else if path.starts_with("/api") || path.starts_with("/version") {
                operation["consumes"] = produces.clone();
            }
        }
        operation["produces"] = produces;
        operation["schemes"] = json!(["https"]);
        definition(&mut operation);
        out.insert(method.clone(), operation);
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(document: &'a Value, part: &str) -> BTreeSet<&'a String> {
        document
            .pointer(part)
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::keys)
            .collect()
    }

    #[test]
    fn it_has_what_version_3_has() {
        let whole = Registry::built_in();
        let mut fewer = Registry::built_in();
        for row in whole
            .iter()
            .filter(|row| row.gvk.group == "apps" || row.gvk.version == "v1beta1")
        {
            fewer.remove(&row.gvr());
        }
        for registry in [&whole, &fewer] {
            let v2 = document(registry);
            let v3: Vec<Value> = super::super::v3_names(registry)
                .iter()
                .filter_map(|name| super::super::v3_document(registry, name))
                .collect();
            let all = |part: &str| {
                v3.iter()
                    .flat_map(|document| names(document, part))
                    .collect::<BTreeSet<_>>()
            };
            assert_eq!(names(&v2, "/paths"), all("/paths"));
            assert_eq!(names(&v2, "/definitions"), all("/components/schemas"));
        }
        let v2 = document(&fewer);
        for (place, is_there) in [
            ("/definitions/io.k8s.api.core.v1.Pod", true),
            ("/definitions/io.k8s.api.apps.v1.Deployment", false),
            ("/paths/~1apis~1batch~1", true),
            ("/paths/~1apis~1batch~1v1~1", true),
            ("/paths/~1version~1", true),
            ("/paths/~1apis~1apps~1", false),
        ] {
            assert_eq!(v2.pointer(place).is_some(), is_there, "{place}");
        }
        let delete = &v2["definitions"]["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"];
        let kinds = delete["x-kubernetes-group-version-kind"].as_array().unwrap();
        let of = |group: &str| kinds.iter().filter(|kind| kind["group"] == group).count();
        assert_eq!((of(""), of("batch"), of("apps")), (1, 1, 0));
    }

    #[test]
    fn operations_tell_of_their_media() {
        let v2 = document(&Registry::built_in());
        let plain = &MEDIA[..3];
        for (path, method, consumes, produces) in [
            ("/api/v1/nodes", "get", json!(["*/*"]), json!(MEDIA)),
            ("/api/v1/nodes/{name}", "get", json!(["*/*"]), json!(plain)),
            ("/api/v1/nodes", "post", json!(["*/*"]), json!(plain)),
            ("/api/v1/", "get", json!(plain), json!(plain)),
            (
                "/version/",
                "get",
                json!(["application/json"]),
                json!(["application/json"]),
            ),
            (
                "/openid/v1/jwks/",
                "get",
                Value::Null,
                json!(["application/jwk-set+json"]),
            ),
        ] {
            let operation = &v2["paths"][path][method];
            assert_eq!(
                (&operation["consumes"], &operation["produces"]),
                (&consumes, &produces),
                "{method} {path}"
            );
        }
        assert_eq!(
            v2["definitions"]["io.k8s.api.core.v1.Pod"]["properties"]["spec"]["$ref"],
            "#/definitions/io.k8s.api.core.v1.PodSpec"
        );
    }
}
