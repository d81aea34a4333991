use super::{Shape, items, shape};
use crate::fieldset::FieldSet;
use crate::schema::{Field, ListKind, SchemaSet, Type};
use serde_json::Value;

/// Removes these fields, each with all that is below it. What is emptied by that becomes null.
pub fn remove(set: &SchemaSet, ty: &Type, value: &mut Value, fields: &FieldSet) {
    from(set, Some(ty), None, value, fields);
}

fn from(set: &SchemaSet, ty: Option<&Type>, field: Option<&Field>, value: &mut Value, fields: &FieldSet) {
    if !empty(value) {
        inside(set, ty, field, value, fields);
        if empty(value) {
            *value = Value::Null;
        }
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn inside(set: &SchemaSet, ty: Option<&Type>, field: Option<&Field>, value: &mut Value, fields: &FieldSet) {
    match (shape(set, ty, field, Some(value)), value) {
        (shape @ (Shape::Struct(_) | Shape::Map(_)), Value::Object(map)) => {
            map.retain(|key, _| !fields.has(&format!("f:{key}")));
            for (key, value) in map.iter_mut() {
                let Some(below) = fields.below(&format!("f:{key}")) else {
                    continue;
                };
                let (ty, field) = match &shape {
                    Shape::Struct(schema) => schema.field(key).map(|field| (&field.ty, Some(field))).unzip(),
                    Shape::Map(inner) => (*inner, None),
                    _ => (None, None),
                };
                from(set, ty, field.flatten(), value, below);
            }
        }
        (Shape::List(inner, kind), Value::Array(list)) if *kind != ListKind::Atomic => {
            let elements = items::elements(set, inner, kind, list);
            let mut position = 0;
            list.retain_mut(|item| {
                let element = &elements[position];
                position += 1;
                if fields.has(element) {
                    return false;
                }
                if let Some(below) = fields.below(element) {
                    from(set, inner, None, item, below);
                }
                true
            });
        }
        _ => {}
    }
}
