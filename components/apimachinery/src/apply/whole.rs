//! Owners of parts of what has become atomic since.
use super::{Shape, shape};
use crate::fieldset::FieldSet;
use crate::schema::{Field, ListKind, SchemaSet, Type};

/// Makes owners of parts of what the schema calls atomic owners of the whole, as upstream's
/// `ReconcileFieldSetWithSchema`. Says whether there were such parts. What was atomic and no longer is needs nothing.
pub(crate) fn own_atomics_whole(set: &SchemaSet, ty: &Type, fields: &mut FieldSet) -> bool {
    let mut changed = false;
    fields.for_each(|element, member, below| {
        if below.is_empty() {
            return;
        }
        let field = field_of(set, ty, element);
        let inner = match (ty, field) {
            (_, Some(field)) => &field.ty,
            (Type::Map(inner, _) | Type::List(inner, _), None) => inner,
            _ => return,
        };
        let has_parts = matches!(inner, Type::Struct(_) | Type::Map(..) | Type::List(..));
        let is_atomic = matches!(
            shape(set, Some(inner), field, None),
            Shape::Leaf | Shape::List(_, ListKind::Atomic)
        );
        if is_atomic && has_parts {
            *member = true;
            *below = FieldSet::default();
            changed = true;
        } else {
            changed |= own_atomics_whole(set, inner, below);
        }
    });
    changed
}

fn field_of<'a>(set: &'a SchemaSet, ty: &Type, element: &str) -> Option<&'a Field> {
    match ty {
        Type::Struct(id) => set.get(*id).field(element.strip_prefix("f:")?),
        _ => None,
    }
}
