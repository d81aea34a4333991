//! One version of a definition.
use super::{openapi, rules, selectable, structural};
use crate::custom::{Schema, SimplePath, Validation};
use crate::value::{list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] = &[
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
];

/// A version; `old` is the one of that name before.
pub(super) fn check(old: Option<&Value>, version: &Value, wants_structural: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(warning) = version["deprecationWarning"].as_str() {
        let path = path.child("deprecationWarning");
        if version["deprecated"] != true {
            errors.push(Error::invalid(
                &path,
                warning,
                "can only be set for deprecated versions",
            ));
        }
        if warning.len() > 256 {
            errors.push(Error::invalid(
                &path,
                warning,
                "must be <= 256 characters in length",
            ));
        }
        if warning.is_empty() {
            errors.push(Error::invalid(&path, warning, "must not be an empty string"));
        }
    }
    let schema = &version["schema"]["openAPIV3Schema"];
    let has_status = version["subresources"]["status"].is_object();
    if schema.is_object() {
        let before = old.map(|old| &old["schema"]["openAPIV3Schema"]);
        errors.extend(check_schema(
            before,
            schema,
            has_status,
            wants_structural,
            &path.child("schema.openAPIV3Schema"),
        ));
    }
    errors.extend(scale(
        &version["subresources"]["scale"],
        &path.child("subresources.scale"),
    ));
    for (index, column) in list(version, &["additionalPrinterColumns"]).iter().enumerate() {
        errors.extend(check_column(
            column,
            &path.child("additionalPrinterColumns").index(index),
        ));
    }
    let fields = list(version, &["selectableFields"]);
    if !fields.is_empty() {
        let path = path.child("selectableFields");
        if schema.is_object() {
            errors.extend(selectable::check(fields, &Schema::parse(schema), &path));
        } else {
            errors.push(Error::invalid(
                &path,
                "",
                "may only be set when `version.schema.openAPIV3Schema` is not included",
            ));
        }
    }
    errors
}

const AT_ROOT: &[&str] = &[
    "description",
    "type",
    "format",
    "title",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "required",
    "items",
    "properties",
    "externalDocs",
    "example",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

fn check_schema(
    old: Option<&Value>,
    schema: &Value,
    has_status: bool,
    wants_structural: bool,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let ty = text(schema, &["type"]);
    if has_status && !ty.is_empty() && ty != "object" {
        errors.push(Error::invalid(
            &path.child("type"),
            ty,
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled",
        ));
    } else if has_status
        && let Some(field) = schema
            .as_object()
            .into_iter()
            .flatten()
            .map(|(field, _)| field)
            .find(|field| !AT_ROOT.contains(&field.as_str()))
    {
        errors.push(Error::invalid(
            path,
            schema,
            format!(
                "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource is enabled, not {field}"
            ),
        ));
    }
    if schema["nullable"] == true {
        errors.push(Error::forbidden(
            &path.child("nullable"),
            "nullable cannot be true at the root",
        ));
    }
    let mut sound = false;
    if wants_structural {
        let wrong = structural::check(schema, path);
        if wrong.is_empty() {
            let defaults = defaults(schema, path, true);
            sound = defaults.is_empty();
            errors.extend(defaults);
        } else {
            errors.extend(wrong);
        }
    }
    errors.extend(openapi::check(schema, path));
    if sound {
        errors.extend(rules::check(old, schema, path));
    }
    errors
}

/// Defaults must be valid, and stay whole when they are pruned.
fn defaults(schema: &Value, path: &Path, root: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(map) = schema.as_object() else {
        return errors;
    };
    if let Some(default) = map.get("default").filter(|default| !default.is_null()) {
        let path = path.child("default");
        let parsed = Schema::parse(schema);
        let mut pruned = default.clone();
        crate::custom::prune(&parsed, &mut pruned, root);
        if pruned != *default {
            errors.push(Error::invalid(&path, default, "must not have unknown fields"));
        } else {
            let mut validation = Validation::at(&path);
            validation.value(&parsed, None, default);
            errors.extend(validation.errors);
        }
    }
    for (name, below) in map
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let path = path.child("properties").key(name);
        let embedded = root || schema["x-kubernetes-embedded-resource"] == true;
        if embedded && matches!(name.as_str(), "metadata" | "apiVersion" | "kind") {
            continue;
        }
        errors.extend(defaults(below, &path, false));
    }
    if schema["items"].is_object() {
        errors.extend(defaults(&schema["items"], &path.child("items"), false));
    }
    if schema["additionalProperties"].is_object() {
        errors.extend(defaults(
            &schema["additionalProperties"],
            &path.child("additionalProperties"),
            false,
        ));
    }
    errors
}

/// A path of names joined by dots, with a dot in front.
fn simple_path(path: &Path, given: &str) -> ErrorList {
    if !given.starts_with('.') {
        return vec![Error::invalid(
            path,
            given,
            "must be a simple json path starting with .",
        )];
    }
    ErrorList::new()
}

fn scale(scale: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if scale.is_null() {
        return errors;
    }
    for (field, below) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let given = text(scale, &[field]);
        let path = path.child(field);
        if given.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let wrong = simple_path(&path, given);
        if wrong.is_empty() && (!given.starts_with(below) || SimplePath::parse(given).is_none()) {
            let part = below.trim_end_matches('.');
            errors.push(Error::invalid(
                &path,
                given,
                format!("should be a json path under {part}"),
            ));
        }
        errors.extend(wrong);
    }
    let given = text(scale, &["labelSelectorPath"]);
    if !given.is_empty() {
        let path = path.child("labelSelectorPath");
        let wrong = simple_path(&path, given);
        if wrong.is_empty() && !(given.starts_with(".spec.") || given.starts_with(".status.")) {
            errors.push(Error::invalid(
                &path,
                given,
                "should be a json path under either .spec or .status",
            ));
        }
        errors.extend(wrong);
    }
    errors
}

fn check_column(column: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if text(column, &["name"]).is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    let ty = text(column, &["type"]);
    let allowed = format!("must be one of {}", COLUMN_TYPES.join(","));
    if ty.is_empty() {
        errors.push(Error::required(&path.child("type"), allowed));
    } else if !COLUMN_TYPES.contains(&ty) {
        errors.push(Error::invalid(&path.child("type"), ty, allowed));
    }
    let format = text(column, &["format"]);
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        errors.push(Error::invalid(
            &path.child("format"),
            format,
            format!("must be one of {}", COLUMN_FORMATS.join(",")),
        ));
    }
    let given = text(column, &["jsonPath"]);
    let path = path.child("JSONPath");
    if given.is_empty() {
        errors.push(Error::required(&path, ""));
    } else {
        let wrong = simple_path(&path, given);
        if wrong.is_empty() && crate::custom::JsonPath::parse(given).is_none() {
            errors.push(Error::invalid(&path, given, "is an invalid path"));
        }
        errors.extend(wrong);
    }
    errors
}
