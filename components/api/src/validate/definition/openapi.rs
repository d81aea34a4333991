//! Which parts of OpenAPI a schema may use, and how.
use super::ratchet::Options;
use super::rules::Costs;
use super::{lists, rules};
use crate::value::{is_zero, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// Types of values, as they are told.
pub(super) const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// A walk over a schema and those below it. What is wrong with rules is kept apart, for it is told last.
pub(super) struct Walk<'a> {
    pub options: &'a Options<'a>,
    /// Whether the costs of rules are not looked at one by one, for the whole schema is as before.
    pub unchanged: bool,
    pub errors: ErrorList,
    pub of_rules: ErrorList,
    pub costs: Costs,
}

/// Where a schema stands, as far as it matters for what it may say.
#[derive(Clone)]
pub(super) struct Place {
    pub root: bool,
    /// Why there may be no defaults here.
    no_defaults: Option<String>,
    /// In what describes metadata, or a kind and its version.
    in_metadata: bool,
    /// The schema above whose elements can't be told apart from former ones.
    pub uncorrelated: Option<Path>,
    /// `None` where rules are not looked at.
    pub rules: Option<Bound>,
}

/// How many values of a schema an object may hold; `None` without a bound.
pub(super) type Bound = Option<u64>;

impl Place {
    /// The root of a schema; its rules are looked at if it is sound otherwise.
    pub(super) fn root(sound: bool) -> Self {
        Self {
            root: true,
            no_defaults: None,
            in_metadata: false,
            uncorrelated: None,
            rules: sound.then_some(Some(1)),
        }
    }

    /// A schema that a value below this one's is of; `times` is how many of them there may be.
    fn below(&self, times: Bound) -> Self {
        let product = |count: Bound| Some(count?.saturating_mul(times?));
        Self {
            root: false,
            rules: self.rules.map(product),
            ..self.clone()
        }
    }

    /// A schema that only checks the same value.
    fn part(&self) -> Self {
        Self {
            root: false,
            rules: None,
            ..self.clone()
        }
    }

    fn uncorrelated_within(mut self, path: &Path) -> Self {
        self.uncorrelated.get_or_insert_with(|| path.clone());
        self
    }
}

/// By how many a schema multiplies the values below it.
fn elements(schema: &Value) -> Bound {
    let most = |field: &str| {
        let count = schema[field].as_i64()?;
        Some(u64::try_from(count).unwrap_or(0))
    };
    match text(schema, &["type"]) {
        "object" if !schema["additionalProperties"].is_null() => most("maxProperties"),
        "array" => most("maxItems"),
        _ => Some(1),
    }
}

impl Walk<'_> {
    pub(super) fn schema(&mut self, schema: &Value, path: &Path, place: &Place) {
        if !schema.is_object() {
            return;
        }
        let found_before = self.errors.len();
        self.fields(schema, path, place);
        self.below(schema, path, place);
        if schema["x-kubernetes-preserve-unknown-fields"] == false {
            self.errors.push(Error::invalid(
                &path.child("x-kubernetes-preserve-unknown-fields"),
                Value::from(false),
                "must be true or undefined",
            ));
        }
        self.errors
            .extend(lists::check(schema, self.options.atomic_sets, path));
        if self.options.keys {
            self.errors.extend(lists::keys(schema, path));
        }
        let given = list(schema, &["x-kubernetes-validations"]);
        if given.is_empty() {
            return;
        }
        self.errors.extend(rules::texts(schema, given, path));
        // Of a schema that is wrong, no types of expressions can be made.
        if let Some(bound) = place.rules.filter(|_| self.errors.len() == found_before) {
            self.rules(schema, given, bound, path, place);
        }
    }

    /// Fields that a schema may not have, or not here.
    fn fields(&mut self, schema: &Value, path: &Path, place: &Place) {
        let ty = text(schema, &["type"]);
        if self.options.types && !ty.is_empty() && !TYPES.contains(&ty) {
            self.errors
                .push(Error::not_supported(&path.child("type"), ty, TYPES));
        }
        let mut forbid = |field: &str, why: String| {
            self.errors.push(Error::forbidden(&path.child(field), why));
        };
        if let (Some(why), false) = (&place.no_defaults, schema["default"].is_null()) {
            forbid("default", format!("must not be set {why}"));
        }
        for field in [
            "id",
            "additionalItems",
            "patternProperties",
            "definitions",
            "dependencies",
            "$ref",
        ] {
            let value = &schema[field];
            let pointer = matches!(field, "additionalItems" | "dependencies" | "$ref");
            if (pointer && !value.is_null()) || !is_zero(Some(value)) {
                forbid(field, format!("{field} is not supported"));
            }
        }
        if ty == "null" {
            forbid(
                "type",
                "type cannot be set to null, use nullable as an alternative".to_owned(),
            );
        }
        if !list(schema, &["items"]).is_empty() {
            forbid(
                "items",
                "items must be a schema object and not an array".to_owned(),
            );
        }
        if place.in_metadata && schema["x-kubernetes-embedded-resource"] == true {
            forbid(
                "x-kubernetes-embedded-resource",
                "must not be used inside of resource meta".to_owned(),
            );
        }
        if schema["uniqueItems"] == true {
            forbid(
                "uniqueItems",
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic".to_owned(),
            );
        }
    }

    fn below(&mut self, schema: &Value, path: &Path, place: &Place) {
        let times = elements(schema);
        let properties = schema["properties"].as_object();
        let properties = properties.filter(|properties| !properties.is_empty());
        let additional = &schema["additionalProperties"];
        if !additional.is_null() {
            let path = path.child("additionalProperties");
            if properties.is_some() && *additional != true {
                self.errors.push(Error::forbidden(
                    &path,
                    "additionalProperties and properties are mutual exclusive",
                ));
            }
            let mut below = place.below(times);
            if place.in_metadata {
                let why = "inside additionalProperties applying to object metadata";
                below.no_defaults = Some(why.to_owned());
            }
            self.schema(additional, &path, &below);
        }
        let resource = place.root || schema["x-kubernetes-embedded-resource"] == true;
        for (name, property) in properties.into_iter().flatten() {
            let mut below = place.below(times);
            if resource && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
                below.in_metadata = true;
                if place.root {
                    below.no_defaults = Some(format!("in top-level {name}"));
                }
            }
            self.schema(property, &path.child("properties").key(name), &below);
        }
        self.schema(&schema["not"], &path.child("not"), &place.part());
        for junctor in ["allOf", "oneOf", "anyOf"] {
            for (index, part) in list(schema, &[junctor]).iter().enumerate() {
                self.schema(part, &path.child(junctor).index(index), &place.part());
            }
        }
        self.named(schema, "definitions", path, place);
        let mut below = place.below(times);
        if schema["x-kubernetes-list-type"] != "map" {
            below = below.uncorrelated_within(path);
        }
        let items = path.child("items");
        self.schema(&schema["items"], &items, &below);
        for (index, item) in list(schema, &["items"]).iter().enumerate() {
            self.schema(item, &items.index(index), &below);
        }
        self.named(schema, "dependencies", path, place);
    }

    fn named(&mut self, schema: &Value, field: &str, path: &Path, place: &Place) {
        for (name, part) in schema[field].as_object().into_iter().flatten() {
            self.schema(part, &path.child(field).key(name), &place.part());
        }
    }
}
