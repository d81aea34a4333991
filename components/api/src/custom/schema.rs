//! A structural schema, parsed once.
use regex::Regex;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// The type that a schema names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    fn of(text: &str) -> Option<Self> {
        [
            Self::Object,
            Self::Array,
            Self::String,
            Self::Integer,
            Self::Number,
            Self::Boolean,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
    }
}

/// What may stand under keys that are not named.
#[derive(Clone, Debug, Default)]
pub enum Additional {
    #[default]
    Nothing,
    Anything,
    Schema(Box<Schema>),
}

/// How a list is merged and compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// Largest compiled form of a pattern, in bytes.
const PATTERN_LIMIT: usize = 10 << 20;

/// A schema of one value. The parts of `allOf` and its like are schemas themselves.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub kind: Option<Kind>,
    /// A type that isn't one, as definitions that are not valid have it.
    pub odd_kind: Option<String>,
    pub nullable: bool,
    pub preserve_unknown: bool,
    /// Nothing is ever dropped from what this is the whole schema of.
    pub unpruned: bool,
    pub embedded: bool,
    pub int_or_string: bool,
    pub properties: BTreeMap<String, Schema>,
    pub additional: Additional,
    pub items: Option<Box<Schema>>,
    pub default: Option<Value>,
    pub list_type: ListType,
    pub map_atomic: bool,
    pub format: String,
    pub enumeration: Vec<Value>,
    pub maximum: Option<(f64, bool)>,
    pub minimum: Option<(f64, bool)>,
    pub multiple_of: Option<f64>,
    pub max_length: Option<u64>,
    pub min_length: Option<u64>,
    /// As written, and compiled if it could be.
    pub pattern: Option<(String, Option<Regex>)>,
    pub max_items: Option<u64>,
    pub min_items: Option<u64>,
    pub unique_items: bool,
    pub max_properties: Option<u64>,
    pub min_properties: Option<u64>,
    pub required: Vec<String>,
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
    /// `x-kubernetes-validations` as written.
    pub validations: Vec<Value>,
}

/// Elements of a former list by their keys; none of a list whose elements can't be told apart.
#[derive(Debug, Default)]
pub(super) struct Former<'v>(HashMap<String, &'v Value>);

impl<'v> Former<'v> {
    /// The element that an element of a list of this schema comes from.
    pub(super) fn of(&self, schema: &Schema, item: &Value) -> Option<&'v Value> {
        let ListType::Map(keys) = &schema.list_type else {
            return None;
        };
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&schema.keys_of(item, keys)).copied()
    }
}

fn flag(map: &Map<String, Value>, name: &str) -> bool {
    map.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn text<'a>(map: &'a Map<String, Value>, name: &str) -> &'a str {
    map.get(name).and_then(Value::as_str).unwrap_or("")
}

fn count(map: &Map<String, Value>, name: &str) -> Option<u64> {
    map.get(name)
        .and_then(Value::as_i64)
        .map(|count| u64::try_from(count).unwrap_or(0))
}

fn list<'a>(map: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    map.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn schemas(map: &Map<String, Value>, name: &str) -> Vec<Schema> {
    list(map, name).map(Schema::parse).collect()
}

impl Schema {
    /// Reads a JSONSchemaProps. What doesn't belong in one is left out; the definition's validation refuses it.
    pub fn parse(value: &Value) -> Self {
        let Some(map) = value.as_object() else {
            return Self::default();
        };
        let bound = |name: &str, exclusive: &str| {
            map.get(name)
                .and_then(Value::as_f64)
                .map(|bound| (bound, flag(map, exclusive)))
        };
        let pattern = text(map, "pattern");
        Self {
            kind: Kind::of(text(map, "type")),
            odd_kind: Some(text(map, "type"))
                .filter(|text| !text.is_empty() && Kind::of(text).is_none())
                .map(str::to_owned),
            nullable: flag(map, "nullable"),
            preserve_unknown: flag(map, "x-kubernetes-preserve-unknown-fields"),
            unpruned: false,
            embedded: flag(map, "x-kubernetes-embedded-resource"),
            int_or_string: flag(map, "x-kubernetes-int-or-string"),
            properties: map
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(name, schema)| (name.clone(), Self::parse(schema)))
                .collect(),
            additional: match map.get("additionalProperties") {
                Some(Value::Bool(true)) => Additional::Anything,
                Some(schema @ Value::Object(_)) => Additional::Schema(Box::new(Self::parse(schema))),
                _ => Additional::Nothing,
            },
            items: map
                .get("items")
                .filter(|items| items.is_object())
                .map(|items| Box::new(Self::parse(items))),
            default: map.get("default").filter(|value| !value.is_null()).cloned(),
            list_type: match text(map, "x-kubernetes-list-type") {
                "set" => ListType::Set,
                "map" => ListType::Map(
                    list(map, "x-kubernetes-list-map-keys")
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect(),
                ),
                _ => ListType::Atomic,
            },
            map_atomic: text(map, "x-kubernetes-map-type") == "atomic",
            format: text(map, "format").to_owned(),
            enumeration: list(map, "enum").cloned().collect(),
            maximum: bound("maximum", "exclusiveMaximum"),
            minimum: bound("minimum", "exclusiveMinimum"),
            multiple_of: map.get("multipleOf").and_then(Value::as_f64),
            max_length: count(map, "maxLength"),
            min_length: count(map, "minLength"),
            pattern: (!pattern.is_empty()).then(|| {
                (
                    pattern.to_owned(),
                    cel::go_regexp::compile(pattern, PATTERN_LIMIT).ok(),
                )
            }),
            max_items: count(map, "maxItems"),
            min_items: count(map, "minItems"),
            unique_items: flag(map, "uniqueItems"),
            max_properties: count(map, "maxProperties"),
            min_properties: count(map, "minProperties"),
            required: list(map, "required")
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            all_of: schemas(map, "allOf"),
            any_of: schemas(map, "anyOf"),
            one_of: schemas(map, "oneOf"),
            not: map
                .get("not")
                .filter(|not| not.is_object())
                .map(|not| Box::new(Self::parse(not))),
            validations: list(map, "x-kubernetes-validations").cloned().collect(),
        }
    }

    /// The schema of what stands under a key.
    pub fn below(&self, key: &str) -> Option<&Schema> {
        self.properties.get(key).or(match &self.additional {
            Additional::Schema(schema) => Some(schema),
            _ => None,
        })
    }

    /// The elements of a former list, to be found again by the keys that tell them apart.
    pub(super) fn former<'v>(&self, old: Option<&'v Value>) -> Former<'v> {
        let ListType::Map(keys) = &self.list_type else {
            return Former::default();
        };
        let mut former = Former::default();
        for item in old.and_then(Value::as_array).into_iter().flatten() {
            // Of several with the same keys, upstream takes the first.
            former.0.entry(self.keys_of(item, keys)).or_insert(item);
        }
        former
    }

    /// The values of the keys of a list's element, as one text.
    fn keys_of(&self, item: &Value, keys: &[String]) -> String {
        let mut out = String::new();
        for key in keys {
            match self.key_of(item, key) {
                Some(value) => out.push_str(&value.to_string()),
                // No value is written so.
                None => out.push('-'),
            }
            out.push('\n');
        }
        out
    }

    /// The value of a key of a list's element, which may be a default.
    pub(super) fn key_of<'v>(&'v self, item: &'v Value, key: &str) -> Option<&'v Value> {
        item.get(key)
            .or_else(|| self.items.as_ref()?.properties.get(key)?.default.as_ref())
    }
}
