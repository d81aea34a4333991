//! What makes a schema structural: every value has a type, outside of what is only checked.
use crate::value::text;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

/// What keeps a schema from being structural.
pub(super) fn check(schema: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    walk(schema, Level::Root, path, &mut errors);
    errors
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == true
}

fn walk(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let ty = text(schema, &["type"]);
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let preserves = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let int_or_string = flag(schema, "x-kubernetes-int-or-string");
    if ty == "array" && !schema["items"].is_object() {
        errors.push(Error::required(&path.child("items"), "must be specified"));
    }
    match level {
        Level::Root if ty.is_empty() && preserves => {}
        Level::Root if ty.is_empty() => {
            errors.push(Error::required(
                &path.child("type"),
                "must not be empty at the root",
            ));
        }
        Level::Root if ty != "object" => {
            errors.push(Error::invalid(
                &path.child("type"),
                ty,
                "must be object at the root",
            ));
        }
        Level::Root => {}
        _ if ty.is_empty() && !int_or_string && !preserves => {
            let what = if level == Level::Item {
                "must not be empty for specified array items"
            } else {
                "must not be empty for specified object fields"
            };
            errors.push(Error::required(&path.child("type"), what));
        }
        _ => {}
    }
    if embedded && !schema["additionalProperties"].is_null() {
        errors.push(Error::forbidden(
            &path.child("additionalProperties"),
            "must not be used if x-kubernetes-embedded-resource is set",
        ));
    }
    if embedded
        && !preserves
        && schema["properties"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
    {
        errors.push(Error::required(
            &path.child("properties"),
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ));
    }
    if embedded && ty != "object" {
        errors.push(Error::invalid(
            &path.child("type"),
            ty,
            "must be object if x-kubernetes-embedded-resource is true",
        ));
    }
    if int_or_string && !ty.is_empty() {
        errors.push(Error::invalid(
            &path.child("type"),
            ty,
            "must be empty if x-kubernetes-int-or-string is true",
        ));
    }
    if level == Level::Root || embedded {
        metadata(
            &schema["properties"]["metadata"],
            &path.child("properties").key("metadata"),
            errors,
        );
    }
    for (junctor, below) in junctors(schema, path) {
        only_checks(below, &junctor, int_or_string, errors);
        complete(schema, below, path, &junctor, errors);
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        walk(below, Level::Field, &path.child("properties").key(name), errors);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], Level::Item, &path.child("items"), errors);
    }
    if schema["additionalProperties"].is_object() {
        walk(
            &schema["additionalProperties"],
            Level::Field,
            &path.child("additionalProperties"),
            errors,
        );
    }
}

/// The schemas of `allOf` and its like, with their paths.
fn junctors<'v>(schema: &'v Value, path: &Path) -> Vec<(Path, &'v Value)> {
    let mut out = Vec::new();
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, below) in schema[name].as_array().into_iter().flatten().enumerate() {
            out.push((path.child(name).index(index), below));
        }
    }
    if schema["not"].is_object() {
        out.push((path.child("not"), &schema["not"]));
    }
    out
}

/// What metadata may be restricted to.
fn metadata(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(map) = schema.as_object() else {
        return;
    };
    if text(schema, &["type"]) != "object" {
        errors.push(Error::invalid(
            &path.child("type"),
            text(schema, &["type"]),
            "must be object",
        ));
    }
    let other = map
        .keys()
        .any(|key| !matches!(key.as_str(), "type" | "description" | "properties"));
    let properties = map.get("properties").and_then(Value::as_object);
    let named = properties
        .into_iter()
        .flatten()
        .any(|(key, _)| !matches!(key.as_str(), "name" | "generateName"));
    if other || named {
        errors.push(Error::forbidden(
            path,
            "must not specify anything other than name and generateName, but metadata is implicitly specified",
        ));
    }
}

/// Parts of `allOf` and its like only check; they say nothing that a structure is made of.
fn only_checks(schema: &Value, path: &Path, int_or_string: bool, errors: &mut ErrorList) {
    let Some(map) = schema.as_object() else {
        return;
    };
    let integer_or_string = int_or_string && matches!(text(schema, &["type"]), "integer" | "string");
    for (field, what) in [
        ("description", "must be empty to be structural"),
        ("type", "must be empty to be structural"),
        ("title", "must be empty to be structural"),
        ("default", "must be undefined to be structural"),
        ("nullable", "must be false to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        (
            "x-kubernetes-preserve-unknown-fields",
            "must be false to be structural",
        ),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ] {
        let set = map
            .get(field)
            .is_some_and(|value| !crate::value::is_zero(Some(value)));
        if set && !(field == "type" && integer_or_string) {
            errors.push(Error::forbidden(&path.child(field), what));
        }
    }
    for (name, below) in map
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        only_checks(below, &path.child("properties").key(name), false, errors);
    }
    if schema["items"].is_object() {
        only_checks(&schema["items"], &path.child("items"), false, errors);
    }
    for (path, below) in junctors(schema, path) {
        only_checks(below, &path, int_or_string, errors);
    }
}

/// What a part checks has to be there in the structure.
fn complete(schema: &Value, part: &Value, path: &Path, part_path: &Path, errors: &mut ErrorList) {
    for (name, below) in part["properties"].as_object().into_iter().flatten() {
        let place = path.child("properties").key(name);
        let origin = part_path.child("properties").key(name);
        match schema["properties"].get(name) {
            Some(own) => complete(own, below, &place, &origin, errors),
            None if schema["additionalProperties"].is_object() => complete(
                &schema["additionalProperties"],
                below,
                &path.child("additionalProperties"),
                &origin,
                errors,
            ),
            None => errors.push(Error::required(
                &place,
                format!("because it is defined in {origin}"),
            )),
        }
    }
    if part["items"].is_object() {
        let (place, origin) = (path.child("items"), part_path.child("items"));
        if schema["items"].is_object() {
            complete(&schema["items"], &part["items"], &place, &origin, errors);
        } else {
            errors.push(Error::required(
                &place,
                format!("because it is defined in {origin}"),
            ));
        }
    }
    for (origin, below) in junctors(part, part_path) {
        complete(schema, below, path, &origin, errors);
    }
}
