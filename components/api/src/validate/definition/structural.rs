//! What makes a schema structural: every value has a type, outside of what is only checked
//! (apiextensions-apiserver, pkg/apiserver/schema).
use crate::value::{is_zero, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::{Map, Value};

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const PRESERVES: &str = "x-kubernetes-preserve-unknown-fields";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// What keeps a schema from being structural, in the order of its words.
pub(super) fn check(schema: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    walk(schema, Level::Root, path, &mut errors);
    // Only what is checked at the root is looked at, and what stands below that.
    for (junctor, part) in parts(schema, path) {
        complete(Some(schema), part, path, &junctor, &mut errors);
    }
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

/// Why no structure can be made of a schema at all: it has what structures don't have.
pub(super) fn unsupported(schema: &Value) -> Option<String> {
    let map = schema.as_object()?;
    for (field, shown) in [
        ("id", "id"),
        ("$schema", "schema"),
        ("$ref", "$ref"),
        ("patternProperties", "patternProperties"),
        ("dependencies", "dependencies"),
        ("additionalItems", "additionalItems"),
        ("definitions", "definitions"),
    ] {
        let value = map.get(field);
        let any = field == "additionalItems" && value.is_some_and(|value| !value.is_null());
        if any || !is_zero(value) {
            return Some(format!("OpenAPIV3Schema '{shown}' is not supported"));
        }
    }
    let below = ["not", "allOf", "anyOf", "oneOf", "additionalProperties"];
    let schemas = |field: &&str| match map.get(*field) {
        Some(Value::Array(parts)) => parts.iter().find_map(unsupported),
        Some(part) => unsupported(part),
        None => None,
    };
    if let Some(why) = below.iter().find_map(schemas) {
        return Some(why);
    }
    if schema[PRESERVES] == false {
        let why = format!("internal error: '{PRESERVES}' must be true or undefined");
        return Some(why);
    }
    if schema["items"].as_array().is_some_and(|items| !items.is_empty()) {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    unsupported(&schema["items"]).or_else(|| {
        let properties = schema["properties"].as_object()?;
        properties.values().find_map(unsupported)
    })
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == true
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn walk(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let ty = text(schema, &["type"]);
    if ty == "array" && !schema["items"].is_object() {
        errors.push(Error::required(&path.child("items"), "must be specified"));
    }
    if schema["items"].is_object() {
        walk(&schema["items"], Level::Item, &path.child("items"), errors);
    }
    for (name, below) in properties(schema) {
        walk(below, Level::Field, &path.child("properties").key(name), errors);
    }
    let additional = &schema["additionalProperties"];
    if !additional.is_null() {
        let path = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(Error::forbidden(&path, "must not be used at the root"));
        }
        if additional.is_object() {
            walk(additional, Level::Field, &path, errors);
        }
    }
    let (embedded, preserves) = (flag(schema, EMBEDDED), flag(schema, PRESERVES));
    let int_or_string = flag(schema, INT_OR_STRING);
    for (name, set) in [(PRESERVES, preserves), (EMBEDDED, embedded)] {
        if int_or_string && set {
            errors.push(Error::invalid(
                &path.child(name),
                Value::from(true),
                format!("must be false if {INT_OR_STRING} is true"),
            ));
        }
    }
    only_checks_below(schema, is_int_or_string(schema), path, errors);
    let type_path = path.child("type");
    if embedded && ty != "object" {
        let why = format!("must be object if {EMBEDDED} is true");
        errors.push(match ty {
            "" => Error::required(&type_path, why),
            ty => Error::invalid(&type_path, ty, why),
        });
    } else if ty.is_empty() && !int_or_string && !preserves {
        let what = match level {
            Level::Root => "at the root",
            Level::Item => "for specified array items",
            Level::Field => "for specified object fields",
        };
        errors.push(Error::required(&type_path, format!("must not be empty {what}")));
    }
    if embedded && !additional.is_null() {
        errors.push(Error::forbidden(
            &path.child("additionalProperties"),
            format!("must not be used if {EMBEDDED} is set"),
        ));
    }
    if level == Level::Root && !ty.is_empty() && ty != "object" {
        errors.push(Error::invalid(&type_path, ty, "must be object at the root"));
    }
    if level == Level::Root || embedded {
        of_resource(schema, path, errors);
    }
    if level == Level::Root {
        root_metadata(schema, path, errors);
    }
    if embedded && !preserves && properties(schema).next().is_none() {
        errors.push(Error::required(
            &path.child("properties"),
            format!("must not be empty if {EMBEDDED} is true without {PRESERVES}"),
        ));
    }
}

/// Properties that every resource has are of the types that they have there.
fn of_resource(schema: &Value, path: &Path, errors: &mut ErrorList) {
    for (name, wanted) in [
        ("kind", "string"),
        ("apiVersion", "string"),
        ("metadata", "object"),
    ] {
        let Some(property) = schema["properties"].get(name) else {
            continue;
        };
        let ty = text(property, &["type"]);
        if ty != wanted {
            errors.push(Error::invalid(
                &path.child("properties").key(name).child("type"),
                ty,
                format!("must be {wanted}"),
            ));
        }
    }
}

/// Metadata of a whole object may be restricted in its names alone.
fn root_metadata(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(metadata) = schema["properties"].get("metadata").and_then(Value::as_object) else {
        return;
    };
    let is_set = |name: &str, value: &Value| match name {
        // Defaults are told elsewhere, what is read by people only is not kept.
        "type" | "default" | "example" => false,
        "properties" => value.as_object().is_some_and(|map| {
            map.keys()
                .any(|key| !matches!(key.as_str(), "name" | "generateName"))
        }),
        _ => value.is_boolean() && name == "additionalProperties" || is_set(value),
    };
    if metadata.iter().any(|(name, value)| is_set(name, value)) {
        errors.push(Error::forbidden(
            &path.child("properties").key("metadata"),
            "must not specify anything other than name and generateName, but metadata is implicitly specified",
        ));
    }
}

/// Whether a field says something; a number does whatever it is.
fn is_set(value: &Value) -> bool {
    value.is_number() || value.is_object() || !is_zero(Some(value))
}

/// The schemas of `not`, `allOf` and its like, with their paths.
fn parts<'v>(schema: &'v Value, path: &Path) -> Vec<(Path, &'v Value)> {
    let mut out = Vec::new();
    if schema["not"].is_object() {
        out.push((path.child("not"), &schema["not"]));
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, below) in schema[name].as_array().into_iter().flatten().enumerate() {
            out.push((path.child(name).index(index), below));
        }
    }
    out
}

/// `anyOf: [{type: integer}, {type: string}]`, which says that a value is one of both.
fn is_int_or_string(schema: &Value) -> bool {
    let is = |part: &Value, ty: &str| {
        let says = |(name, value): (&String, &Value)| name == "type" || !is_set(value);
        text(part, &["type"]) == ty
            && part
                .as_object()
                .is_some_and(|part: &Map<String, Value>| part.iter().all(says))
    };
    matches!(
        schema["anyOf"].as_array().map(Vec::as_slice),
        Some([first, second]) if is(first, "integer") && is(second, "string")
    )
}

/// What stands in a schema only to check values. `skips_any` leaves out its `anyOf`.
fn only_checks_below(schema: &Value, skips_any: bool, path: &Path, errors: &mut ErrorList) {
    for (name, skips) in [("anyOf", skips_any), ("allOf", false), ("oneOf", false)] {
        let below = schema[name].as_array().into_iter().flatten();
        for (index, part) in below.enumerate().filter(|_| !skips) {
            let first = name == "allOf" && index == 0 && is_int_or_string(part);
            only_checks(part, first, &path.child(name).index(index), errors);
        }
    }
    if schema["not"].is_object() {
        only_checks(&schema["not"], false, &path.child("not"), errors);
    }
    let pattern = text(schema, &["pattern"]);
    if !pattern.is_empty()
        && let Err(why) = cel::go_regexp::check(pattern)
    {
        errors.push(Error::invalid(
            &path.child("pattern"),
            pattern,
            format!("must be a valid regular expression, but isn't: {why}"),
        ));
    }
}

/// Fields that parts which only check may not have, with what is told of them.
const ONLY_STRUCTURE: &[(&str, &str)] = &[
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("externalDocs", "must be undefined to be structural"),
    (PRESERVES, "must be false to be structural"),
    (EMBEDDED, "must be false to be structural"),
    (INT_OR_STRING, "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];

/// Parts of `allOf` and its like only check; they say nothing that a structure is made of.
fn only_checks(part: &Value, skips_any: bool, path: &Path, errors: &mut ErrorList) {
    only_checks_below(part, skips_any, path, errors);
    if part["items"].is_object() {
        only_checks(&part["items"], false, &path.child("items"), errors);
    }
    for (name, below) in properties(part) {
        only_checks(below, false, &path.child("properties").key(name), errors);
    }
    for (field, what) in ONLY_STRUCTURE {
        let value = &part[*field];
        let pointer = matches!(
            *field,
            "additionalProperties" | "default" | "x-kubernetes-list-type"
        ) || *field == "x-kubernetes-map-type";
        if (pointer && !value.is_null()) || is_set(value) {
            errors.push(Error::forbidden(&path.child(field), *what));
        }
    }
    if part["properties"].get("metadata").is_some() {
        errors.push(Error::forbidden(
            &path.child("properties").key("metadata"),
            "must not be specified in a nested context",
        ));
    }
}

/// What a part checks has to be there in the structure.
fn complete(schema: Option<&Value>, part: &Value, path: &Path, origin: &Path, errors: &mut ErrorList) {
    let Some(schema) = schema else {
        errors.push(Error::required(
            path,
            format!("because it is defined in {origin}"),
        ));
        return;
    };
    for (origin, below) in parts(part, origin) {
        complete(Some(schema), below, path, &origin, errors);
    }
    if part["items"].is_object() {
        let items = Some(&schema["items"]).filter(|items| items.is_object());
        complete(
            items,
            &part["items"],
            &path.child("items"),
            &origin.child("items"),
            errors,
        );
    }
    for (name, below) in properties(part) {
        let place = path.child("properties").key(name);
        let origin = origin.child("properties").key(name);
        complete(schema["properties"].get(name), below, &place, &origin, errors);
    }
}
