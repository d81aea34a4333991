//! Schemas of custom kinds in the documents.
use crate::Resource;
use serde_json::{Map, Value, json};

const META: &str = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1";
const METADATA: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// Adds the schemas of a custom kind and of its list.
pub(super) fn add(row: &Resource, out: &mut Map<String, Value>) {
    let Some(definition) = &row.custom else {
        return;
    };
    let name = &row.schema().name;
    let mut schema = definition.published.clone();
    if !schema.is_object() {
        schema = json!({"type": "object"});
    }
    typed(&mut schema, &row.gvk.kind, row);
    schema["properties"]["metadata"] = reference("ObjectMeta", METADATA);
    if !definition.selectable.is_empty() {
        let fields = definition.selectable.iter();
        schema["x-kubernetes-selectable-fields"] = fields
            .map(|field| json!({"fieldPath": field.as_str().trim_start_matches('.')}))
            .collect();
    }
    out.insert(name.clone(), schema);
    let mut list = json!({
        "description": format!("{} is a list of {}", row.list_kind, row.gvk.kind),
        "type": "object",
        "required": ["items"],
        "properties": {"items": {
            "description": format!("List of {}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md", row.plural),
            "type": "array",
            "items": {"allOf": [{"$ref": format!("#/components/schemas/{name}")}]},
        }},
    });
    typed(&mut list, &row.list_kind, row);
    list["properties"]["metadata"] = reference(
        "ListMeta",
        "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
    );
    out.insert(format!("{name}List"), list);
}

fn reference(name: &str, description: &str) -> Value {
    json!({"description": description, "allOf": [{"$ref": format!("{META}.{name}")}]})
}

fn typed(schema: &mut Value, kind: &str, row: &Resource) {
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    schema["properties"]["apiVersion"] = json!({"description": API_VERSION, "type": "string"});
    schema["properties"]["kind"] = json!({"description": KIND, "type": "string"});
    schema["x-kubernetes-group-version-kind"] =
        json!([{"group": row.gvk.group, "kind": kind, "version": row.gvk.version}]);
}

/// A schema without what version 2 can't say: clients of it must not refuse what the server takes.
pub(super) fn for_version_2(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    for field in ["nullable", "anyOf", "oneOf", "not", "default"] {
        map.remove(field);
    }
    if map.get("allOf").is_some_and(|all| all[0].get("$ref").is_none()) {
        map.remove("allOf");
    }
    if map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        map.remove("type");
    }
    if map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
        for field in ["properties", "items", "additionalProperties"] {
            map.remove(field);
        }
    }
    for below in map
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
        .map(|(_, below)| below)
    {
        for_version_2(below);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(below) = map.get_mut(name) {
            for_version_2(below);
        }
    }
}
