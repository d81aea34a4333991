//! What tells items of a list apart.
use crate::schema::{ListKind, SchemaSet, Type};
use serde_json::{Map, Value};

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
        ListKind::Map(keys) => {
            let mut key = Map::new();
            for name in keys {
                let default = || match item_type {
                    // A key that is always written counts with its zero value.
                    Some(Type::Struct(id)) => set.get(*id).field(name).and_then(|field| {
                        let zero =
                            || (field.always && !field.pointer).then(|| crate::decode::zero(set, field));
                        field.default.clone().or_else(zero)
                    }),
                    _ => None,
                };
                if let Some(value) = item
                    .get(name)
                    .filter(|value| !value.is_null())
                    .cloned()
                    .or_else(default)
                {
                    key.insert(name.clone(), value);
                }
            }
            format!("k:{}", Value::Object(key))
        }
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
