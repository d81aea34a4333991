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

/// `k:` and the key fields as JSON, sorted by name.
fn keyed(set: &SchemaSet, item_type: Option<&Type>, keys: &[String], item: &Value) -> String {
    let default = |name: &str| match item_type {
        // A key that is always written counts with its zero value.
        Some(Type::Struct(id)) => set.get(*id).field(name).and_then(|field| {
            let zero = || (field.always && !field.pointer).then(|| crate::decode::zero(set, field));
            field.default.clone().or_else(zero)
        }),
        _ => None,
    };
    let mut found: Vec<(&str, Cow<'_, Value>)> = Vec::with_capacity(keys.len());
    for name in keys {
        let given = item.get(name).filter(|value| !value.is_null()).map(Cow::Borrowed);
        found.extend(
            given
                .or_else(|| default(name).map(Cow::Owned))
                .map(|value| (name.as_str(), value)),
        );
    }
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
