use super::{Shape, items, shape};
use crate::fieldset::{FieldSet, field_element};
use crate::schema::{Field, ListKind, SchemaSet, Type};
use serde_json::Value;

/// Removes these fields, each with all that is below it. A list that is emptied by that becomes null,
/// a struct or map stays as `{}`.
pub fn remove(set: &SchemaSet, ty: &Type, value: &mut Value, fields: &FieldSet) {
    from(set, Some(ty), None, value, fields);
}

fn from(set: &SchemaSet, ty: Option<&Type>, field: Option<&Field>, value: &mut Value, fields: &FieldSet) {
    inside(set, ty, field, value, fields);
    if value.as_array().is_some_and(Vec::is_empty) {
        *value = Value::Null;
    }
}

fn inside(set: &SchemaSet, ty: Option<&Type>, field: Option<&Field>, value: &mut Value, fields: &FieldSet) {
    match (shape(set, ty, field, Some(value)), value) {
        (shape @ (Shape::Struct(_) | Shape::Map(_)), Value::Object(map)) => {
            map.retain(|key, _| !fields.has(&field_element(key)));
            for (key, value) in map.iter_mut() {
                let Some(below) = fields.below(&field_element(key)) else {
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
