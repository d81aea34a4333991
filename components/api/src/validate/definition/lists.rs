//! How lists and maps are merged: `x-kubernetes-list-type`, `-list-map-keys` and `-map-type`.
use crate::value::{list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use serde_json::Value;

const LIST: &str = "x-kubernetes-list-type";
const MAP: &str = "x-kubernetes-map-type";
const KEYS: &str = "x-kubernetes-list-map-keys";

/// What is wrong with the extensions of one schema; sets of items that are not atomic are let through unless
/// `atomic_sets`.
pub(super) fn check(schema: &Value, atomic_sets: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let ty = text(schema, &["type"]);
    if let Some(given) = schema[MAP].as_str() {
        errors.extend(needs(ty, "object", MAP, path));
        if !matches!(given, "atomic" | "granular") {
            errors.push(Error::not_supported(
                &path.child(MAP),
                given,
                &["atomic", "granular"],
            ));
        }
    }
    let kind = schema[LIST].as_str();
    if let Some(given) = kind {
        let mistyped = needs(ty, "array", LIST, path);
        if mistyped.is_none() && atomic_sets {
            errors.extend(plain_set(schema).map(|(field, shown)| {
                Error::invalid(
                    &path.child("items").child(field),
                    shown,
                    "must be atomic as item of a list with x-kubernetes-list-type=set",
                )
            }));
        }
        errors.extend(mistyped);
        if !matches!(given, "atomic" | "set" | "map") {
            errors.push(Error::not_supported(
                &path.child(LIST),
                given,
                &["atomic", "set", "map"],
            ));
        }
    }
    if !list(schema, &[KEYS]).is_empty() && kind != Some("map") {
        const WHY: &str = "must be map if x-kubernetes-list-map-keys is non-empty";
        let path = path.child(LIST);
        errors.push(match kind {
            None => Error::required(&path, WHY),
            Some(kind) => Error::invalid(&path, kind, WHY),
        });
    }
    if kind == Some("map") {
        errors.extend(keyed(schema, path));
    }
    errors
}

/// The type that an extension needs.
fn needs(ty: &str, wanted: &str, extension: &str, path: &Path) -> Option<Error> {
    let detail = format!("must be {wanted} if {extension} is specified");
    match ty {
        "" => Some(Error::required(&path.child("type"), detail)),
        ty if ty != wanted => Some(Error::invalid(&path.child("type"), ty, detail)),
        _ => None,
    }
}

/// Of a set whose items are not atomic, the extension that would make them so, and what upstream shows of it.
pub(super) fn plain_set(schema: &Value) -> Option<(&'static str, BadValue)> {
    let items = &schema["items"];
    if schema[LIST] != "set" || !items.is_object() {
        return None;
    }
    // Of a map's items too, upstream shows the type of a list.
    let shown = BadValue::Json(items[LIST].clone());
    match text(items, &["type"]) {
        "array" if items[LIST].is_string() && items[LIST] != "atomic" => Some((LIST, shown)),
        "object" if items[MAP] != "atomic" => Some((MAP, shown)),
        _ => None,
    }
}

/// A list whose items are told apart by keys.
fn keyed(schema: &Value, path: &Path) -> ErrorList {
    let (items, keys) = (&schema["items"], list(schema, &[KEYS]));
    let (items_path, keys_path) = (path.child("items"), path.child(KEYS));
    let mut errors = ErrorList::new();
    if keys.is_empty() {
        errors.push(Error::required(
            &keys_path,
            "must not be empty if x-kubernetes-list-type is map",
        ));
    }
    if items.is_null() {
        errors.push(Error::required(
            &items_path,
            "must have a schema if x-kubernetes-list-type is map",
        ));
    }
    if items.is_array() {
        errors.push(Error::invalid(
            &items_path,
            items,
            "must only have a single schema if x-kubernetes-list-type is map",
        ));
    }
    if !items.is_object() {
        return errors;
    }
    let ty = text(items, &["type"]);
    if ty != "object" {
        errors.push(Error::invalid(
            &items_path.child("type"),
            ty,
            "must be object if parent array's x-kubernetes-list-type is map",
        ));
        return errors;
    }
    let mut seen = std::collections::HashSet::new();
    for key in keys.iter().filter_map(Value::as_str) {
        match items["properties"].get(key) {
            Some(property) if matches!(text(property, &["type"]), "array" | "object") => {
                errors.push(Error::invalid(
                    &items_path.child("properties").key(key).child("type"),
                    ty,
                    "must be a scalar type if parent array's x-kubernetes-list-type is map",
                ));
            }
            Some(_) => {}
            None => errors.push(Error::invalid(
                &keys_path,
                &schema[KEYS],
                "entries must all be names of item properties",
            )),
        }
        if !seen.insert(key) {
            errors.push(Error::invalid(
                &keys_path,
                &schema[KEYS],
                "must not contain duplicate entries",
            ));
        }
    }
    errors
}

/// Items of sets and of keyed lists are there, and so are their keys.
pub(super) fn keys(schema: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let items = &schema["items"];
    let kind = match schema[LIST].as_str() {
        Some(kind @ ("set" | "map")) if items.is_object() => kind,
        _ => return errors,
    };
    let path = path.child("items");
    if items["nullable"] == true {
        errors.push(Error::forbidden(
            &path.child("nullable"),
            format!("cannot be nullable when x-kubernetes-list-type is {kind}"),
        ));
    }
    if kind == "set" {
        return errors;
    }
    for key in list(schema, &[KEYS]).iter().filter_map(Value::as_str) {
        let Some(property) = items["properties"].get(key) else {
            continue;
        };
        let path = path.child("properties").key(key);
        if property["default"].is_null() && !list(items, &["required"]).iter().any(|name| name == key) {
            errors.push(Error::required(
                &path.child("default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ));
        }
        if property["nullable"] == true {
            errors.push(Error::forbidden(
                &path.child("nullable"),
                "this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
            ));
        }
    }
    errors
}
