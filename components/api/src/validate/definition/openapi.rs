//! Which parts of OpenAPI a schema may use, and how.
use crate::value::text;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// What is wrong with a schema and those below it.
pub(super) fn check(schema: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(map) = schema.as_object() else {
        return errors;
    };
    if schema["uniqueItems"] == true {
        errors.push(Error::forbidden(
            &path.child("uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ));
    }
    let properties = map
        .get("properties")
        .and_then(Value::as_object)
        .filter(|properties| !properties.is_empty());
    match map.get("additionalProperties") {
        None | Some(Value::Null) => {}
        Some(_) if properties.is_some() => errors.push(Error::forbidden(
            &path.child("additionalProperties"),
            "additionalProperties and properties are mutual exclusive",
        )),
        Some(Value::Bool(false)) => errors.push(Error::forbidden(
            &path.child("additionalProperties"),
            "additionalProperties cannot be set to false",
        )),
        Some(below) => errors.extend(check(below, &path.child("additionalProperties"))),
    }
    for (name, below) in properties.into_iter().flatten() {
        errors.extend(check(below, &path.child("properties").key(name)));
    }
    for junctor in ["allOf", "anyOf", "oneOf"] {
        for (index, below) in schema[junctor].as_array().into_iter().flatten().enumerate() {
            errors.extend(check(below, &path.child(junctor).index(index)));
        }
    }
    if schema["not"].is_object() {
        errors.extend(check(&schema["not"], &path.child("not")));
    }
    match &schema["items"] {
        Value::Array(_) => errors.push(Error::forbidden(
            &path.child("items"),
            "items must be a schema object and not an array",
        )),
        below @ Value::Object(_) => errors.extend(check(below, &path.child("items"))),
        _ => {}
    }
    for field in [
        "patternProperties",
        "additionalItems",
        "definitions",
        "dependencies",
        "id",
        "$schema",
        "$ref",
    ] {
        if map
            .get(field)
            .is_some_and(|value| !crate::value::is_zero(Some(value)))
        {
            errors.push(Error::forbidden(
                &path.child(field),
                format!("{} is not supported", field.trim_start_matches('$')),
            ));
        }
    }
    let ty = text(schema, &["type"]);
    if !ty.is_empty() && !TYPES.contains(&ty) {
        errors.push(Error::not_supported(&path.child("type"), ty, TYPES));
    }
    let pattern = text(schema, &["pattern"]);
    if !pattern.is_empty()
        && let Err(error) = regex::Regex::new(pattern)
    {
        let why = error.to_string().replace('\n', " ");
        errors.push(Error::invalid(
            &path.child("pattern"),
            pattern,
            format!("must be a valid regular expression, but isn't: {why}"),
        ));
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        errors.push(Error::invalid(
            &path.child("x-kubernetes-preserve-unknown-fields"),
            Value::from(false),
            "must be true or undefined",
        ));
    }
    errors.extend(map_type(schema, path));
    errors.extend(list_type(schema, path));
    errors
}

/// The type that an extension needs.
fn needs(schema: &Value, wanted: &str, extension: &str, path: &Path) -> ErrorList {
    let ty = text(schema, &["type"]);
    let detail = format!("must be {wanted} if {extension} is specified");
    match ty {
        "" => vec![Error::required(&path.child("type"), detail)],
        ty if ty != wanted => vec![Error::invalid(&path.child("type"), ty, detail)],
        _ => ErrorList::new(),
    }
}

fn map_type(schema: &Value, path: &Path) -> ErrorList {
    let Some(given) = schema["x-kubernetes-map-type"].as_str() else {
        return ErrorList::new();
    };
    let mut errors = needs(schema, "object", "x-kubernetes-map-type", path);
    if !matches!(given, "atomic" | "granular") {
        errors.push(Error::not_supported(
            &path.child("x-kubernetes-map-type"),
            given,
            &["atomic", "granular"],
        ));
    }
    errors
}

fn list_type(schema: &Value, path: &Path) -> ErrorList {
    let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let keys_path = path.child("x-kubernetes-list-map-keys");
    let Some(given) = schema["x-kubernetes-list-type"].as_str() else {
        if keys.is_empty() {
            return ErrorList::new();
        }
        return vec![Error::required(
            &path.child("x-kubernetes-list-type"),
            "must be map if x-kubernetes-list-map-keys is non-empty",
        )];
    };
    let mut errors = needs(schema, "array", "x-kubernetes-list-type", path);
    if !matches!(given, "atomic" | "map" | "set") {
        errors.push(Error::not_supported(
            &path.child("x-kubernetes-list-type"),
            given,
            &["atomic", "map", "set"],
        ));
    }
    if given != "map" && !keys.is_empty() {
        errors.push(Error::invalid(
            &path.child("x-kubernetes-list-type"),
            given,
            "must be map if x-kubernetes-list-map-keys is non-empty",
        ));
    }
    match given {
        "map" => {
            if keys.is_empty() {
                errors.push(Error::required(
                    &keys_path,
                    "must not be empty if x-kubernetes-list-type is map",
                ));
            }
            errors.extend(map_items(schema, &keys, path, &keys_path));
        }
        "set" => errors.extend(set_items(&schema["items"], &path.child("items"))),
        _ => {}
    }
    errors
}

fn map_items(schema: &Value, keys: &[&str], path: &Path, keys_path: &Path) -> ErrorList {
    let items = &schema["items"];
    let items_path = path.child("items");
    if !items.is_object() {
        return vec![Error::required(
            &items_path,
            "must have a schema if x-kubernetes-list-type is map",
        )];
    }
    let mut errors = ErrorList::new();
    if text(items, &["type"]) != "object" {
        errors.push(Error::invalid(
            &items_path.child("type"),
            text(items, &["type"]),
            "must be object if parent array's x-kubernetes-list-type is map",
        ));
    }
    if items["nullable"] == true {
        errors.push(Error::forbidden(
            &items_path.child("nullable"),
            "cannot be nullable when x-kubernetes-list-type is map",
        ));
    }
    let mut seen = Vec::new();
    for key in keys {
        if seen.contains(key) {
            errors.push(Error::invalid(
                keys_path,
                schema["x-kubernetes-list-map-keys"].clone(),
                "must not contain duplicate entries",
            ));
            continue;
        }
        seen.push(key);
        let property = &items["properties"][key];
        let place = items_path.child("properties").key(key);
        if !property.is_object() {
            errors.push(Error::invalid(
                keys_path,
                schema["x-kubernetes-list-map-keys"].clone(),
                "entries must all be names of item properties",
            ));
            continue;
        }
        if matches!(text(property, &["type"]), "array" | "object") {
            errors.push(Error::invalid(
                &place.child("type"),
                text(property, &["type"]),
                "must be a scalar type if parent array's x-kubernetes-list-type is map",
            ));
        }
        let required = items["required"]
            .as_array()
            .is_some_and(|required| required.iter().any(|name| name == key));
        if !required && property["default"].is_null() {
            errors.push(Error::required(
                &place.child("default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ));
        }
        if property["nullable"] == true {
            errors.push(Error::forbidden(
                &place.child("nullable"),
                "this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
            ));
        }
    }
    errors
}

fn set_items(items: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !items.is_object() {
        return errors;
    }
    if items["nullable"] == true {
        errors.push(Error::forbidden(
            &path.child("nullable"),
            "cannot be nullable when x-kubernetes-list-type is set",
        ));
    }
    match text(items, &["type"]) {
        "object" if items["x-kubernetes-map-type"] != "atomic" => {
            let given = items["x-kubernetes-map-type"].as_str().unwrap_or("");
            errors.push(Error::invalid(
                &path.child("x-kubernetes-map-type"),
                given,
                "must be atomic as item of a list with x-kubernetes-list-type=set",
            ));
        }
        "array" => {
            let given = items["x-kubernetes-list-type"].as_str().unwrap_or("atomic");
            if given != "atomic" {
                errors.push(Error::invalid(
                    &path.child("x-kubernetes-list-type"),
                    given,
                    "must be atomic as item of a list with x-kubernetes-list-type=set",
                ));
            }
        }
        _ => {}
    }
    errors
}
