//! Defaults of a schema: that they are whole when they are pruned, and valid.
use crate::custom::{self, Schema, Validation};
use apimachinery::field::{Error, ErrorList, Path, aggregate};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// What is wrong with the defaults of a whole schema. Those with unknown fields are let through unless `pruned`.
pub(super) fn check(schema: &Value, pruned: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    walk(
        schema,
        Place {
            root: true,
            in_metadata: false,
            steps: None,
        },
        pruned,
        path,
        &mut errors,
    );
    errors
}

#[derive(Clone, Copy)]
struct Place<'s> {
    root: bool,
    /// In what describes metadata, or a kind and its version.
    in_metadata: bool,
    /// The way here from the schema of the resource around.
    steps: Option<&'s Step<'s>>,
}

impl<'s> Place<'s> {
    fn below(in_metadata: bool, step: &'s Step<'s>) -> Self {
        Self {
            root: false,
            in_metadata,
            steps: Some(step),
        }
    }
}

/// One step below a schema: into a field, or into the items of a list.
struct Step<'s> {
    before: Option<&'s Step<'s>>,
    field: Option<&'s str>,
}

impl Step<'_> {
    /// A resource that has nothing but this value here.
    fn resource(&self, value: &Value) -> Value {
        let mut made = value.clone();
        let mut step = Some(self);
        while let Some(Step { before, field }) = step {
            made = match field {
                Some(name) => Value::Object([((*name).to_owned(), made)].into_iter().collect()),
                None => json!([made]),
            };
            step = *before;
        }
        for (field, usual) in [("apiVersion", "validation/v1"), ("kind", "Validation")] {
            if made[field].is_null() {
                made[field] = json!(usual);
            }
        }
        made
    }
}

fn walk(schema: &Value, place: Place<'_>, pruned: bool, path: &Path, errors: &mut ErrorList) {
    let resource = place.root || schema["x-kubernetes-embedded-resource"] == true;
    let in_metadata = place.in_metadata && !resource;
    let steps = place.steps.filter(|_| !resource);
    let default = &schema["default"];
    if !default.is_null() {
        let mut whole = Schema::parse(schema);
        // What a whole object is by default is a resource, too.
        whole.embedded |= place.root;
        of_one(
            &whole,
            default,
            steps.filter(|_| in_metadata),
            pruned,
            &path.child("default"),
            errors,
        );
    }
    if schema["items"].is_object() {
        let path = path.child("items");
        let step = Step {
            before: steps,
            field: None,
        };
        let place = Place::below(in_metadata, &step);
        walk(&schema["items"], place, pruned, &path, errors);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let of_resource = resource && matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
        let path = path.child("properties").key(name);
        let step = Step {
            before: steps,
            field: Some(name),
        };
        let place = Place::below(in_metadata || of_resource, &step);
        walk(property, place, pruned, &path, errors);
    }
}

/// What is wrong with the metadata of a resource that has nothing but a default.
fn wrong_metadata(resource: &Value) -> Option<String> {
    static ANY: LazyLock<Schema> = LazyLock::new(|| {
        Schema::parse(&json!({
            "type": "object",
            "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true,
        }))
    });
    let errors = custom::check_embedded(&ANY, resource, &Path::root());
    (!errors.is_empty()).then(|| aggregate(&errors))
}

fn of_one(
    schema: &Schema,
    default: &Value,
    in_metadata: Option<&Step<'_>>,
    wants_pruned: bool,
    path: &Path,
    errors: &mut ErrorList,
) {
    if let Some(steps) = in_metadata {
        if let Some(why) = wrong_metadata(&steps.resource(default)) {
            let detail = format!("must result in valid metadata: {why}");
            errors.push(Error::invalid(path, default, detail));
            return;
        }
    } else {
        if wants_pruned {
            let mut pruned = default.clone();
            custom::prune(schema, &mut pruned, schema.embedded);
            if pruned != *default {
                errors.push(Error::invalid(path, default, "must not have unknown fields"));
            }
        }
        let embedded = custom::check_embedded(schema, default, path);
        if !embedded.is_empty() {
            errors.extend(embedded);
            return;
        }
    }
    let mut validation = Validation::at(path);
    validation.value(schema, None, default);
    if validation.errors.is_empty() {
        errors.extend(custom::check_rules(schema, default, path));
    } else {
        errors.extend(validation.errors);
    }
}
