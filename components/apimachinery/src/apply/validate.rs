//! What an applied configuration must satisfy before it can be merged.
use super::items;
use crate::decode::Unchanged;
use crate::fieldset::Element;
use crate::schema::{ListKind, SchemaId, SchemaSet, Type};
use ahash::AHashSet;
use serde_json::Value;
use std::fmt;

/// An applied configuration that can be merged: among others, no item of its lists is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Applied<'a>(pub(super) &'a Value);

/// Why a configuration can't be merged: fields that aren't declared, wrong types, list items without keys or repeated;
/// worded as upstream words them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", match .0.as_slice() { [one] => one.clone(), all => format!("errors:\n  {}", all.join("\n  ")) })]
pub struct Unapplicable(pub Vec<String>);

/// Checks what is to be merged into a value of the type.
pub fn validate<'a>(set: &SchemaSet, ty: &Type, value: &'a Value) -> Result<Applied<'a>, Unapplicable> {
    let mut errors = Vec::new();
    walk(set, Some(ty), value, &At::Root, &mut errors);
    if errors.is_empty() {
        Ok(Applied(value))
    } else {
        Err(Unapplicable(errors))
    }
}

/// Whether a list whose items are told apart by keys has an item without any: its fields can't be owned.
pub fn has_keyless_items(set: &SchemaSet, ty: &Type, value: &Value) -> bool {
    if !set.has_keyed(ty) {
        return false;
    }
    match (ty, value) {
        (Type::Struct(id), Value::Object(map)) => {
            let schema = set.get(*id);
            let mut fields = schema.ascending();
            let below = |(key, value): (&String, &Value)| {
                fields.field(key).is_some_and(|field| {
                    field.atomic != Some(true) && has_keyless_items(set, &field.ty, value)
                })
            };
            let mut members = map
                .iter()
                .filter(|(_, value)| value.is_object() || value.is_array());
            !schema.atomic && members.any(below)
        }
        (Type::Map(inner, false), Value::Object(map)) => {
            map.values().any(|value| has_keyless_items(set, inner, value))
        }
        (Type::List(inner, ListKind::Map(keys)), Value::Array(list)) => list
            .iter()
            .any(|item| !items::has_key(set, Some(inner), keys, item) || has_keyless_items(set, inner, item)),
        _ => false,
    }
}

/// The same of a changed object, which had no such item before.
pub fn change_has_keyless_items(set: &SchemaSet, id: SchemaId, value: &Value, unchanged: &Unchanged) -> bool {
    let schema = set.get(id);
    value.as_object().into_iter().flatten().any(|(key, value)| {
        !unchanged.has(key)
            && schema
                .field(key)
                .is_some_and(|field| has_keyless_items(set, &field.ty, value))
    })
}

/// Where a value is; written out only for what is wrong.
#[derive(Clone, Copy)]
enum At<'a> {
    Root,
    Field(&'a At<'a>, &'a str),
    /// By its element text.
    Item(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, element) => write!(f, "{parent}{}", readable(element)),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

fn readable(element: &str) -> String {
    Element::parse(element).map_or_else(|| element.to_owned(), |parsed| parsed.to_string())
}

/// Why an item can't be told from the others of its list.
fn untold(kind: &ListKind, item: &Value, element: &str) -> Option<String> {
    let why = match (kind, item) {
        (ListKind::Map(keys), Value::Object(_)) if element == "k:{}" => {
            let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
            return Some(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                keys.join(" ")
            ));
        }
        (ListKind::Map(_), Value::Object(_)) => return None,
        (ListKind::Map(_), Value::Null) => "associative list with keys may not have a null element",
        (ListKind::Map(_), _) => "associative list with keys may not have non-map elements",
        (ListKind::Set, Value::Object(_)) => "associative list without keys has an element that's a map type",
        (ListKind::Set, Value::Array(_)) => "not supported: associative list with lists as elements",
        (ListKind::Set, Value::Null) => {
            "associative list without keys has an element that's an explicit null"
        }
        _ => return None,
    };
    Some(why.to_owned())
}

fn walk(set: &SchemaSet, ty: Option<&Type>, value: &Value, path: &At<'_>, errors: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let mut fail = |message: String| {
        errors.push(match path {
            At::Root => message,
            path => format!("{path}: {message}"),
        })
    };
    let shown = || crate::go::print(value);
    match ty {
        Some(Type::Struct(id)) => {
            let Value::Object(map) = value else {
                return fail(format!("expected map, got &{{{}}}", shown()));
            };
            let schema = set.get(*id);
            let mut fields = schema.ascending();
            for (key, value) in map {
                let below = At::Field(path, key);
                match fields.field(key) {
                    Some(field) => walk(set, Some(&field.ty), value, &below, errors),
                    None if schema.preserve_unknown => {}
                    None => errors.push(format!("{below}: field not declared in schema")),
                }
            }
        }
        Some(Type::Map(inner, _)) => {
            let Value::Object(map) = value else {
                return fail(format!("expected map, got &{{{}}}", shown()));
            };
            for (key, value) in map {
                walk(set, Some(inner), value, &At::Field(path, key), errors);
            }
        }
        Some(Type::List(inner, kind)) => {
            let Value::Array(list) = value else {
                return fail(format!("expected list, got &{{{}}}", shown()));
            };
            if *kind == ListKind::Atomic {
                for (position, item) in list.iter().enumerate() {
                    walk(set, Some(inner), item, &At::Index(path, position), errors);
                }
                return;
            }
            let mut seen = AHashSet::new();
            for (position, item) in list.iter().enumerate() {
                let element = items::element(set, Some(inner), kind, position, item);
                // What follows an item that can't be told from others is not looked at.
                if let Some(why) = untold(kind, item, &element) {
                    return errors.push(format!("{path}: element {position}: {why}"));
                }
                if seen.contains(&element) {
                    errors.push(format!(
                        "{path}: duplicate entries for key {}",
                        readable(&element)
                    ));
                }
                walk(set, Some(inner), item, &At::Item(path, &element), errors);
                seen.insert(element);
            }
        }
        Some(Type::String | Type::Bytes | Type::Duration) if !value.is_string() => fail(format!(
            "expected string, got &value.valueUnstructured{{Value:{}}}",
            crate::go::syntax(value)
        )),
        Some(Type::Bool) if !value.is_boolean() => fail(format!("expected boolean, got &{{{}}}", shown())),
        Some(Type::Int32 | Type::Int64 | Type::Double) if !value.is_number() => fail(format!(
            "expected numeric (int or float), got {}",
            crate::go::type_of(value)
        )),
        Some(Type::Quantity | Type::IntOrString | Type::Time | Type::MicroTime)
            if !value.is_string() && !value.is_number() =>
        {
            fail(format!(
                "expected string, got &value.valueUnstructured{{Value:{}}}",
                crate::go::syntax(value)
            ))
        }
        _ => {}
    }
}
