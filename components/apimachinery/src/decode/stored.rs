//! The form in which a value is stored.
use super::Unchanged;
use super::zero::has_structs;
use crate::schema::{SchemaId, SchemaSet, Type};
use serde_json::Value;

/// Whether a list or map was given empty, which the stored form doesn't tell from a missing one.
pub(crate) fn is_empty_collection(value: &Value, ty: &Type) -> bool {
    match (ty, value) {
        (Type::List(..), Value::Array(items)) => items.is_empty(),
        (Type::Map(..), Value::Object(map)) => map.is_empty(),
        _ => false,
    }
}

/// Brings a value that fits the struct `id` into the form in which it is stored: empty lists and maps are left out,
/// or null where the field is always written.
pub fn settle(set: &SchemaSet, id: SchemaId, value: &mut Value) {
    let Value::Object(map) = value else { return };
    let schema = set.get(id);
    let mut fields = schema.ascending();
    // Few are, and to retain the others takes longer than to look at all.
    let mut empty = Vec::new();
    for (key, value) in map.iter_mut() {
        let Some(field) = fields.field(key) else {
            continue;
        };
        if is_empty_collection(value, &field.ty) {
            *value = Value::Null;
            if !field.always {
                empty.push(key.clone());
            }
        } else {
            settle_value(set, &field.ty, value);
        }
    }
    for key in empty {
        map.remove(&key);
    }
}

/// The same for a changed object of which is known what stays: that is in this form.
pub fn settle_except(set: &SchemaSet, id: SchemaId, value: &mut Value, unchanged: &Unchanged) {
    unchanged.apart(value, |value| settle(set, id, value));
}

/// The same for a value of any type.
pub(crate) fn settle_value(set: &SchemaSet, ty: &Type, value: &mut Value) {
    match (ty, value) {
        (Type::Struct(id), value) => settle(set, *id, value),
        (Type::List(inner, _), Value::Array(items)) if has_structs(inner) => {
            items.iter_mut().for_each(|item| settle_value(set, inner, item));
        }
        (Type::Map(inner, _), Value::Object(map)) if has_structs(inner) => {
            map.values_mut().for_each(|item| settle_value(set, inner, item));
        }
        _ => {}
    }
}
