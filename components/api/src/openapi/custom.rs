//! Schemas of custom kinds in the documents.
use crate::Resource;
use crate::custom::Definition;
use serde_json::{Map, Value, json};

const META: &str = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1";
const METADATA: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

const EMBEDDED_API_VERSION: &str = "apiVersion defines the versioned schema of this representation of an object. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const EMBEDDED_KIND: &str = "kind is a string value representing the type of this object. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

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
    complete(&mut schema, row, definition);
    out.insert(name.clone(), schema);
    let mut list = json!({
        "description": format!("{} is a list of {}", row.list_kind, row.gvk.kind),
        "type": "object",
        "required": ["items"],
        "properties": {"items": {
            "description": format!("List of {}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md", row.plural),
            "type": "array",
            "items": {"$ref": format!("#/components/schemas/{name}")},
        }},
    });
    typed(&mut list, &row.list_kind, row);
    list["properties"]["metadata"] = reference(
        "ListMeta",
        "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
    );
    name_selectable(&mut list, definition);
    out.insert(format!("{name}List"), list);
}

/// The schema of a custom kind in version 2, whose clients must not refuse what the server takes.
pub(super) fn version_2(row: &Resource) -> Option<Value> {
    let definition = row.custom.as_ref()?;
    let mut schema = definition.published.clone();
    if !schema.is_object() || flag(&schema, PRESERVES) || definition.schema.unpruned {
        // Whatever fields there were, clients would take them for all.
        schema = json!({"type": "object"});
        name_kind(&mut schema, &row.gvk.kind, row);
    } else {
        for_version_2(&mut schema);
        complete(&mut schema, row, definition);
    }
    Some(schema)
}

/// Adds to the schema that a definition has what all objects have.
fn complete(schema: &mut Value, row: &Resource, definition: &Definition) {
    typed(schema, &row.gvk.kind, row);
    schema["properties"]["metadata"] = reference("ObjectMeta", METADATA);
    embedded(schema);
    name_selectable(schema, definition);
}

/// The fields by which objects can be selected, told of them and of their lists.
fn name_selectable(schema: &mut Value, definition: &Definition) {
    if !definition.selectable.is_empty() {
        let fields = definition.selectable.iter();
        schema["x-kubernetes-selectable-fields"] = fields
            .map(|field| json!({"fieldPath": field.as_str().trim_start_matches('.')}))
            .collect();
    }
}

const PRESERVES: &str = "x-kubernetes-preserve-unknown-fields";

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == true
}

/// The schemas right below one.
fn below(schema: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    schema.iter_mut().flat_map(|(name, value)| {
        let (fields, one) = match (name.as_str(), value) {
            ("properties", Value::Object(fields)) => (Some(fields), None),
            ("items" | "additionalProperties", value) => (None, Some(value)),
            _ => (None, None),
        };
        fields
            .into_iter()
            .flat_map(|fields| fields.values_mut())
            .chain(one)
    })
}

/// Adds to resources that are embedded what all have. Of those of which version 2 doesn't say what they have, it does not say
/// that either.
fn embedded(schema: &mut Value) {
    let is_embedded = flag(schema, "x-kubernetes-embedded-resource");
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    below(map).for_each(embedded);
    if !is_embedded || map.contains_key(UNTOLD) {
        map.remove(UNTOLD);
        return;
    }
    let mut required: Vec<Value> = map
        .get("required")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for field in ["kind", "apiVersion"] {
        if !required.iter().any(|name| name == field) {
            required.push(json!(field));
        }
    }
    map.insert("required".to_owned(), Value::Array(required));
    let properties = map.entry("properties").or_insert_with(|| json!({}));
    properties["apiVersion"] = json!({"description": EMBEDDED_API_VERSION, "type": "string"});
    properties["kind"] = json!({"description": EMBEDDED_KIND, "type": "string"});
    properties["metadata"] = reference("ObjectMeta", METADATA);
}

/// Marks, while a schema is made, a resource of which version 2 says nothing.
const UNTOLD: &str = "untold";

fn reference(name: &str, description: &str) -> Value {
    json!({"description": description, "allOf": [{"$ref": format!("{META}.{name}")}]})
}

fn typed(schema: &mut Value, kind: &str, row: &Resource) {
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    schema["properties"]["apiVersion"] = json!({"description": API_VERSION, "type": "string"});
    schema["properties"]["kind"] = json!({"description": KIND, "type": "string"});
    name_kind(schema, kind, row);
}

fn name_kind(schema: &mut Value, kind: &str, row: &Resource) {
    schema["x-kubernetes-group-version-kind"] =
        json!([{"group": row.gvk.group, "kind": kind, "version": row.gvk.version}]);
}

/// A schema without what version 2 can't say: clients of it must not refuse what the server takes.
fn for_version_2(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    let nullable = |schema: &Value| flag(schema, "nullable");
    let is_nullable = map.remove("nullable") == Some(Value::Bool(true));
    for field in ["allOf", "anyOf", "oneOf", "not", "default"] {
        map.remove(field);
    }
    if map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        map.remove("type");
    }
    let preserves = map.get(PRESERVES) == Some(&Value::Bool(true));
    // What may be null has any type; what has fields that nobody knows has no fields and no type.
    if is_nullable {
        for field in ["type", "items", "properties"] {
            map.remove(field);
        }
    }
    if preserves {
        for field in ["items", "properties", "additionalProperties"] {
            map.remove(field);
        }
        map.insert(UNTOLD.to_owned(), Value::Bool(true));
    }
    let is = |kind: &str| map.get("type").is_some_and(|given| given == kind);
    if (is("array") && !map.contains_key("items")) || (is("object") && preserves) {
        map.remove("type");
    }
    let fields = map.get("properties").and_then(Value::as_object);
    let optional: Vec<String> = fields
        .into_iter()
        .flatten()
        .filter(|(_, below)| nullable(below))
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(Value::Array(required)) = map.get_mut("required") {
        required.retain(|name| !optional.iter().any(|other| name == other));
        if required.is_empty() {
            map.remove("required");
        }
    }
    if map.get("additionalProperties").is_some_and(nullable) {
        map.remove("required");
    }
    below(map).for_each(for_version_2);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas(schema: &Value) -> (Value, Value) {
        let mut third = schema.clone();
        embedded(&mut third);
        let mut second = schema.clone();
        for_version_2(&mut second);
        embedded(&mut second);
        (third, second)
    }

    #[test]
    fn version_2_says_less() {
        for (schema, second) in [
            (
                json!({"type": "object", "required": ["a", "b"], "properties": {
                    "a": {"type": "array", "nullable": true, "items": {"type": "string"}}, "b": {"type": "string", "default": "x"},
                }}),
                json!({"type": "object", "required": ["b"], "properties": {"a": {}, "b": {"type": "string"}}}),
            ),
            (
                json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "nullable": true}}}),
                json!({"type": "object", "properties": {"a": {}}}),
            ),
            (
                json!({"type": "object", "required": ["a"], "additionalProperties": {"type": "string", "nullable": true}}),
                json!({"type": "object", "additionalProperties": {}}),
            ),
            (
                json!({"type": "object", PRESERVES: true, "required": ["a"], "properties": {"a": {"type": "string"}}}),
                json!({PRESERVES: true, "required": ["a"]}),
            ),
            (
                json!({"type": "array", PRESERVES: true, "items": {}}),
                json!({PRESERVES: true}),
            ),
            (
                json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
                json!({"x-kubernetes-int-or-string": true}),
            ),
            (
                json!({"type": "array", "items": {"type": "object", "allOf": [{}], "properties": {"c": {"not": {}}}}}),
                json!({"type": "array", "items": {"type": "object", "properties": {"c": {}}}}),
            ),
        ] {
            assert_eq!(schemas(&schema), (schema, second));
        }
    }

    #[test]
    fn embedded_resources_have_what_all_have() {
        let embedded = |more: Value| {
            let mut schema = json!({"type": "object", "x-kubernetes-embedded-resource": true});
            for (name, value) in more.as_object().into_iter().flatten() {
                schema[name] = value.clone();
            }
            schema
        };
        let properties = |schema: &Value| {
            let fields = schema["properties"].as_object().into_iter().flatten();
            fields.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let plain =
            embedded(json!({"required": ["kind", "spec"], "properties": {"spec": {"type": "string"}}}));
        let (third, second) = schemas(&json!({"type": "array", "items": plain}));
        assert_eq!(third, second);
        let told = &third["items"];
        assert_eq!(told["required"], json!(["kind", "spec", "apiVersion"]));
        assert_eq!(properties(told), ["apiVersion", "kind", "metadata", "spec"]);
        assert!(told["properties"]["metadata"]["allOf"][0]["$ref"].is_string());

        let (third, second) = schemas(&embedded(json!({PRESERVES: true})));
        assert_eq!(third["required"], json!(["kind", "apiVersion"]));
        assert_eq!(properties(&third), ["apiVersion", "kind", "metadata"]);
        assert_eq!(
            second,
            json!({"x-kubernetes-embedded-resource": true, PRESERVES: true})
        );
    }
}
