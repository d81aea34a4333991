//! What tells items of a list apart.
use crate::schema::{ListKind, SchemaSet, Type};
use serde_json::Value;
use std::borrow::Cow;

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
        ListKind::Set => {
            let mut text = String::from("v:");
            push_json(&mut text, item);
            text
        }
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
    // A key that is always written counts with its zero value, too.
    let is_zero = field.zero_default || (field.always && !field.pointer);
    let zero = || is_zero.then(|| crate::decode::zero(set, field));
    field.default.clone().or_else(zero).map(Cow::Owned)
}

/// Whether two items are the same one: their element texts are, which are not made for it.
fn is_same_item(set: &SchemaSet, item_type: Option<&Type>, kind: &ListKind, a: &Value, b: &Value) -> bool {
    match kind {
        ListKind::Atomic => false,
        ListKind::Set => a == b,
        ListKind::Map(keys) => keys
            .iter()
            .all(|name| key_value(set, item_type, name, a) == key_value(set, item_type, name, b)),
    }
}

/// Whether two lists have the same items in the same order, as most versions of a list do.
pub(super) fn are_paired(
    set: &SchemaSet,
    item_type: Option<&Type>,
    kind: &ListKind,
    a: &[Value],
    b: &[Value],
) -> bool {
    let mut pairs = a.iter().zip(b);
    a.len() == b.len() && pairs.all(|(a, b)| is_same_item(set, item_type, kind, a, b))
}

/// Longer lists are not looked through for each of their items.
const FEW: usize = 6;

/// Whether no item of a short list is there twice; false for long ones.
pub(super) fn are_few_and_distinct(
    set: &SchemaSet,
    item_type: Option<&Type>,
    kind: &ListKind,
    list: &[Value],
) -> bool {
    let is_repeated = |(position, item): (usize, &Value)| {
        let mut before = list[..position].iter();
        before.any(|other| is_same_item(set, item_type, kind, other, item))
    };
    list.len() <= FEW && !list.iter().enumerate().any(is_repeated)
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
    let mut text = String::with_capacity(USUAL_LENGTH);
    text.push_str("k:{");
    for (position, (name, value)) in found.iter().enumerate() {
        // Names of fields need no escapes.
        text.push_str(if position > 0 { ",\"" } else { "\"" });
        text.push_str(name);
        text.push_str("\":");
        push_json(&mut text, value);
    }
    text.push('}');
    text
}

/// Room for most elements.
const USUAL_LENGTH: usize = 48;

/// Writes a value as JSON. Texts without anything to escape are copied, for formatting is slow and this is done for
/// each item of each list that is compared or merged.
fn push_json(out: &mut String, value: &Value) {
    match value {
        Value::String(text) if !text.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) => {
            out.push('"');
            out.push_str(text);
            out.push('"');
        }
        other => out.push_str(&other.to_string()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn elements_are_json(text in any::<String>(), number in any::<i64>()) {
            for value in [Value::from(text.as_str()), Value::from(number), Value::from(true)] {
                let mut out = String::new();
                push_json(&mut out, &value);
                prop_assert_eq!(out, value.to_string());
            }
        }
    }
}
