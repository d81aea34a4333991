//! The typed operations under server-side apply: comparing, merging, collecting fields, removing fields.
mod compare;
mod direct;
mod items;
mod merge;
mod remove;
mod validate;
mod whole;

pub use compare::{Comparison, compare, compare_change};
pub(crate) use direct::{applied_fields, created_fields};
pub use merge::merge;
pub use remove::remove;
pub use validate::{Applied, Unapplicable, change_has_keyless_items, has_keyless_items, validate};
pub(crate) use whole::own_atomics_whole;

use crate::fieldset::{FieldSet, field_element};
use crate::schema::{Field, ListKind, SchemaSet, Type};
use serde_json::Value;

/// How a value is looked into.
pub(crate) enum Shape<'a> {
    /// Taken as a whole.
    Leaf,
    Struct(&'a crate::schema::Schema),
    Map(Option<&'a Type>),
    List(Option<&'a Type>, &'a ListKind),
}

const ATOMIC: ListKind = ListKind::Atomic;

/// Whether nothing is declared about the type.
pub(crate) fn is_deduced(ty: Option<&Type>) -> bool {
    matches!(ty, None | Some(Type::Deduced))
}

/// The shape of a value of this type; `field` may say that a struct is atomic there.
pub(crate) fn shape<'a>(
    set: &'a SchemaSet,
    ty: Option<&'a Type>,
    field: Option<&Field>,
    value: Option<&Value>,
) -> Shape<'a> {
    match ty {
        Some(Type::Struct(id)) => {
            let schema = set.get(*id);
            if field.and_then(|field| field.atomic).unwrap_or(schema.atomic) {
                Shape::Leaf
            } else {
                Shape::Struct(schema)
            }
        }
        Some(Type::Map(_, true) | Type::List(_, ListKind::Atomic)) => Shape::Leaf,
        Some(Type::Map(inner, false)) => Shape::Map(Some(inner)),
        Some(Type::List(inner, kind)) => Shape::List(Some(inner), kind),
        // What has no type is deduced from the value: maps are looked into, lists are not.
        None | Some(Type::Deduced) => match value {
            Some(Value::Object(_)) => Shape::Map(None),
            Some(Value::Array(_)) => Shape::List(None, &ATOMIC),
            _ => Shape::Leaf,
        },
        Some(_) => Shape::Leaf,
    }
}

/// All fields of an object, as an applier owns them.
pub fn field_set(set: &SchemaSet, ty: &Type, value: &Value) -> FieldSet {
    fields_below(set, Some(ty), None, value).1
}

/// Whether the value itself is a field, and the fields below it.
fn fields_below(
    set: &SchemaSet,
    ty: Option<&Type>,
    field: Option<&Field>,
    value: &Value,
) -> (bool, FieldSet) {
    let mut out = FieldSet::default();
    let own = match (shape(set, ty, field, Some(value)), value) {
        (Shape::Struct(schema), Value::Object(map)) => {
            let mut fields = schema.ascending();
            for (key, value) in map {
                let field = fields.field(key);
                let (own, below) = fields_below(set, field.map(|field| &field.ty), field, value);
                let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
                out.push(field_element(key), own || field.is_none() || empty, below);
            }
            false
        }
        (Shape::Map(inner), Value::Object(map)) => {
            for (key, value) in map {
                let (_, below) = fields_below(set, inner, None, value);
                out.push(field_element(key), true, below);
            }
            false
        }
        (Shape::List(_, ListKind::Atomic) | Shape::Leaf, _) => true,
        (Shape::List(inner, kind), Value::Array(list)) => {
            for (position, item) in list.iter().enumerate() {
                let (_, below) = fields_below(set, inner, None, item);
                out.push(items::element(set, inner, kind, position, item), true, below);
            }
            false
        }
        (Shape::Struct(_) | Shape::Map(_) | Shape::List(..), _) => false,
    };
    (own, out)
}

#[cfg(test)]
mod tests;
