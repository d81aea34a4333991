//! Defaults of a schema: that they are whole when they are pruned, and valid.
use crate::custom::{self, Schema, Validation};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// What is wrong with the defaults of a whole schema. Those with unknown fields are let through unless `pruned`.
pub(super) fn check(schema: &Value, pruned: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    walk(
        schema,
        Place {
            root: true,
            in_metadata: false,
        },
        pruned,
        path,
        &mut errors,
    );
    errors
}

#[derive(Clone, Copy)]
struct Place {
    root: bool,
    /// In what describes metadata, or a kind and its version.
    in_metadata: bool,
}

fn walk(schema: &Value, place: Place, pruned: bool, path: &Path, errors: &mut ErrorList) {
    let resource = place.root || schema["x-kubernetes-embedded-resource"] == true;
    let in_metadata = place.in_metadata && !resource;
    let default = &schema["default"];
    if !default.is_null() {
        of_one(
            schema,
            default,
            in_metadata,
            pruned,
            &path.child("default"),
            errors,
        );
    }
    let below = |in_metadata| Place {
        root: false,
        in_metadata,
    };
    if schema["items"].is_object() {
        let path = path.child("items");
        walk(&schema["items"], below(in_metadata), pruned, &path, errors);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let of_resource = resource && matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
        let path = path.child("properties").key(name);
        walk(property, below(in_metadata || of_resource), pruned, &path, errors);
    }
}

fn of_one(
    schema: &Value,
    default: &Value,
    in_metadata: bool,
    wants_pruned: bool,
    path: &Path,
    errors: &mut ErrorList,
) {
    let schema = Schema::parse(schema);
    if !in_metadata {
        if wants_pruned {
            let mut pruned = default.clone();
            custom::prune(&schema, &mut pruned, schema.embedded);
            if pruned != *default {
                errors.push(Error::invalid(path, default, "must not have unknown fields"));
            }
        }
        let embedded = custom::check_embedded(&schema, default, path);
        if !embedded.is_empty() {
            errors.extend(embedded);
            return;
        }
    }
    let mut validation = Validation::at(path);
    validation.value(&schema, None, default);
    if validation.errors.is_empty() {
        errors.extend(custom::check_rules(&schema, default, path));
    } else {
        errors.extend(validation.errors);
    }
}
