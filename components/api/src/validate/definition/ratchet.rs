//! What a changed definition is let through, for the stored one has it already (`validationOptions` of upstream).
use super::{lists, structural};
use crate::custom::{self, Schema};
use crate::value::{list, text};
use serde_json::Value;
use std::collections::HashSet;

/// What is asked of a definition.
#[derive(Debug)]
pub(super) struct Options<'a> {
    /// A schema in every version.
    pub schemas: bool,
    /// Types of OpenAPI.
    pub types: bool,
    pub structural: bool,
    /// Defaults without unknown fields.
    pub pruned_defaults: bool,
    /// Sets of atomic items.
    pub atomic_sets: bool,
    /// Keys that every item of a list has.
    pub keys: bool,
    /// A version of reviews that the server speaks.
    pub review_version: bool,
    /// Names of versions whose schemas are as before: the costs of their rules are not looked at one by one.
    pub unchanged: HashSet<&'a str>,
}

impl<'a> Options<'a> {
    pub(super) fn of(old: Option<&Value>, spec: &'a Value) -> Self {
        let preserves = spec["preserveUnknownFields"] == true;
        let before = old.map_or(&Value::Null, |old| &old["spec"]);
        let any = |wrong: &dyn Fn(&Value) -> bool| {
            let mut schemas = list(before, &["versions"]).iter().map(schema_of);
            schemas.any(|schema| schema.is_object() && wrong(schema))
        };
        let has = |wrong: fn(&Value) -> bool| any(&|schema| somewhere(schema, &wrong));
        let versions = list(before, &["versions"]);
        let reviews = list(before, &["conversion", "webhook", "conversionReviewVersions"]);
        let new_schemas = || list(spec, &["versions"]).iter().map(schema_of);
        let needs = |schema: &Value| somewhere(schema, &|schema| has_default(schema) || is_extended(schema));
        Self {
            schemas: versions.iter().all(|version| schema_of(version).is_object()),
            types: !has(has_odd_type),
            structural: !preserves || !any(&is_not_structural) || new_schemas().any(needs),
            pruned_defaults: !any(&has_unpruned_defaults),
            atomic_sets: !has(|schema| lists::plain_set(schema).is_some()),
            keys: !has(|schema| !lists::keys(schema, &"".into()).is_empty()),
            review_version: reviews.is_empty() || reviews.iter().any(super::conversion::is_known_review),
            unchanged: list(spec, &["versions"])
                .iter()
                .filter(|version| {
                    let name = &version["name"];
                    let before = versions.iter().find(|before| before["name"] == *name);
                    before.is_some_and(|before| before["schema"] == version["schema"])
                })
                .map(|version| text(version, &["name"]))
                .collect(),
        }
    }
}

fn schema_of(version: &Value) -> &Value {
    &version["schema"]["openAPIV3Schema"]
}

/// Whether this is so of a schema or of one below it.
pub(super) fn somewhere(schema: &Value, is_so: &dyn Fn(&Value) -> bool) -> bool {
    let Some(map) = schema.as_object() else {
        return false;
    };
    is_so(schema)
        || map.iter().any(|(name, value)| match (name.as_str(), value) {
            ("items" | "additionalProperties" | "additionalItems" | "not", Value::Object(_)) => {
                somewhere(value, is_so)
            }
            ("items" | "allOf" | "anyOf" | "oneOf", Value::Array(parts)) => {
                parts.iter().any(|part| somewhere(part, is_so))
            }
            ("properties" | "patternProperties" | "definitions" | "dependencies", Value::Object(parts)) => {
                parts.values().any(|part| somewhere(part, is_so))
            }
            _ => false,
        })
}

/// Whether a schema has a default of its own.
pub(super) fn has_default(schema: &Value) -> bool {
    !schema["default"].is_null()
}

fn is_extended(schema: &Value) -> bool {
    schema["x-kubernetes-embedded-resource"] == true
        || schema["x-kubernetes-int-or-string"] == true
        || !schema["x-kubernetes-preserve-unknown-fields"].is_null()
        || !schema["x-kubernetes-list-type"].is_null()
        || !list(schema, &["x-kubernetes-list-map-keys"]).is_empty()
        || !list(schema, &["x-kubernetes-validations"]).is_empty()
}

fn has_odd_type(schema: &Value) -> bool {
    let ty = text(schema, &["type"]);
    !ty.is_empty() && !super::openapi::TYPES.contains(&ty)
}

fn is_not_structural(schema: &Value) -> bool {
    structural::unsupported(schema).is_some() || !structural::check(schema, &"".into()).is_empty()
}

fn has_unpruned_defaults(schema: &Value) -> bool {
    let unpruned = |schema: &Value| {
        let default = &schema["default"];
        let mut pruned = default.clone();
        !default.is_null() && {
            let schema = Schema::parse(schema);
            custom::prune(&schema, &mut pruned, schema.embedded);
            pruned != *default
        }
    };
    somewhere(schema, &unpruned) && !is_not_structural(schema)
}
