//! What tells items of a list apart.
use crate::schema::{ListKind, SchemaSet, Type};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write;

/// The element text of a list item. Key fields that are missing count with their default.
pub(super) fn element(
    set: &SchemaSet,
    item_type: Option<&Type>,
    kind: &ListKind,
    position: usize,
    item: &Value,
) -> String {
    match kind {
        ListKind::Atomic => format!("i:{position}"),
        ListKind::Set => format!("v:{item}"),
        ListKind::Map(keys) => keyed(set, item_type, keys, item),
    }
}

/// The value of a key field: what is given, or its default.
fn key_value<'a>(
    set: &SchemaSet,
    item_type: Option<&Type>,
    name: &str,
    item: &'a Value,
) -> Option<Cow<'a, Value>> {
    if let Some(given) = item.get(name).filter(|value| !value.is_null()) {
        return Some(Cow::Borrowed(given));
    }
    let Some(Type::Struct(id)) = item_type else {
        return None;
    };
    let field = set.get(*id).field(name)?;
    // A key that is always written counts with its zero value.
    let zero = || (field.always && !field.pointer).then(|| crate::decode::zero(set, field));
    field.default.clone().or_else(zero).map(Cow::Owned)
}

/// Whether any of the key fields has a value.
pub(super) fn has_key(set: &SchemaSet, item_type: Option<&Type>, keys: &[String], item: &Value) -> bool {
    keys.iter()
        .any(|name| key_value(set, item_type, name, item).is_some())
}

/// `k:` and the key fields as JSON, sorted by name.
fn keyed(set: &SchemaSet, item_type: Option<&Type>, keys: &[String], item: &Value) -> String {
    let mut found: Vec<(&str, Cow<'_, Value>)> = keys
        .iter()
        .filter_map(|name| Some((name.as_str(), key_value(set, item_type, name, item)?)))
        .collect();
    found.sort_by_key(|(name, _)| *name);
    let mut text = String::from("k:{");
    for (position, (name, value)) in found.iter().enumerate() {
        let comma = if position > 0 { "," } else { "" };
        // Writing to a string can't fail; names of fields need no escapes.
        let _ = write!(text, "{comma}\"{name}\":{value}");
    }
    text.push('}');
    text
}

/// Element texts of all items, in order.
pub(super) fn elements(
    set: &SchemaSet,
    item_type: Option<&Type>,
    kind: &ListKind,
    list: &[Value],
) -> Vec<String> {
    list.iter()
        .enumerate()
        .map(|(position, item)| element(set, item_type, kind, position, item))
        .collect()
}
