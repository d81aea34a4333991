//! What is written although it is zero.
use crate::schema::{Field, Schema, SchemaSet, Type};
use serde_json::{Map, Value};

/// The zero value that a missing field of this type is written as.
pub fn zero(set: &SchemaSet, field: &Field) -> Value {
    match &field.ty {
        _ if field.pointer && !matches!(field.ty, Type::Quantity | Type::IntOrString) => Value::Null,
        Type::String => Value::from(""),
        Type::Bool => Value::from(false),
        Type::Int32 | Type::Int64 | Type::Double | Type::IntOrString => Value::from(0),
        Type::Quantity => Value::from("0"),
        Type::Duration => Value::from("0s"),
        Type::Struct(id) => {
            let mut map = Map::new();
            fill(set, set.get(*id), &mut map);
            Value::Object(map)
        }
        _ => Value::Null,
    }
}

/// Adds the fields that are written even when they are zero.
pub(super) fn fill(set: &SchemaSet, schema: &Schema, map: &mut Map<String, Value>) {
    for field in &schema.fields {
        if field.always && !map.contains_key(&field.name) {
            map.insert(field.name.clone(), zero(set, field));
        }
    }
}

/// Adds what is always written to all structs of a value that fits `ty` otherwise.
pub fn complete(set: &SchemaSet, ty: &Type, value: &mut Value) {
    if !set.has_always(ty) {
        return;
    }
    match (ty, value) {
        (Type::Struct(id), Value::Object(map)) => {
            let schema = set.get(*id);
            let mut fields = schema.ascending();
            for (name, value) in map
                .iter_mut()
                .filter(|(_, value)| value.is_object() || value.is_array())
            {
                if let Some(field) = fields.field(name) {
                    complete(set, &field.ty, value);
                }
            }
            fill(set, schema, map);
        }
        (Type::List(inner, _), Value::Array(items)) => {
            items.iter_mut().for_each(|item| complete(set, inner, item));
        }
        (Type::Map(inner, _), Value::Object(map)) => {
            map.values_mut().for_each(|item| complete(set, inner, item));
        }
        _ => {}
    }
}

pub(super) fn has_structs(ty: &Type) -> bool {
    match ty {
        Type::Struct(_) => true,
        Type::List(inner, _) | Type::Map(inner, _) => has_structs(inner),
        _ => false,
    }
}
