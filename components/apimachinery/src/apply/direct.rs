//! Fields of new objects and of applied configurations as FieldsV1, written in one pass. Most writes need them as text only.
use super::compare::{differs, is_empty, is_nothing};
use super::{Shape, is_deduced, items, shape};
use crate::fieldset::{FieldsV1, LeftOut, Name, write_element, written};
use crate::schema::{Field, ListKind, SchemaSet, Type};
use serde_json::{Map, Value};

/// All fields of a configuration, as an applier owns them; those of [`super::field_set`]. No item of its lists may be
/// repeated, as [`super::validate`] sees to.
pub(crate) fn applied_fields(set: &SchemaSet, ty: &Type, value: &Value, left_out: LeftOut<'_>) -> FieldsV1 {
    written(|out| applied_below(set, out, Some(ty), None, value, left_out))
}

/// The fields that are added or modified from `before` to `after`, as [`super::compare_change`] finds them. `None` where
/// `before` is not as bare as an object of which nothing is set.
pub(crate) fn created_fields(
    set: &SchemaSet,
    ty: &Type,
    before: &Value,
    after: &Value,
    typed: bool,
    left_out: LeftOut<'_>,
) -> Option<FieldsV1> {
    let new = Created { set, typed };
    is_bare(before).then(|| written(|out| new.below(out, Some(ty), None, Some(before), after, left_out)))
}

fn is_bare(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_bare),
        _ => true,
    }
}

/// Items with their element texts, in the order in which elements are written.
fn sorted<'v>(
    set: &SchemaSet,
    inner: Option<&Type>,
    kind: &ListKind,
    list: &'v [Value],
) -> Vec<(String, &'v Value)> {
    let mut sorted: Vec<_> = items::elements(set, inner, kind, list)
        .into_iter()
        .zip(list)
        .collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    sorted
}

fn applied_below(
    set: &SchemaSet,
    out: &mut String,
    ty: Option<&Type>,
    field: Option<&Field>,
    value: &Value,
    left_out: LeftOut<'_>,
) {
    match (shape(set, ty, field, Some(value)), value) {
        (Shape::Struct(schema), Value::Object(map)) => {
            let mut fields = schema.ascending();
            for (key, value) in map {
                let left = left_out.of(key);
                if left.whole {
                    continue;
                }
                let field = fields.field(key);
                let ty = field.map(|field| &field.ty);
                let taken_whole = matches!(
                    shape(set, ty, field, Some(value)),
                    Shape::Leaf | Shape::List(_, ListKind::Atomic)
                );
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                let member = taken_whole || field.is_none() || empty;
                write_element(out, Name::Field(key), member && !left.alone, |out| {
                    applied_below(set, out, ty, field, value, left.below);
                });
            }
        }
        (Shape::Map(inner), Value::Object(map)) => {
            for (key, value) in map {
                let left = left_out.of(key);
                if !left.whole {
                    write_element(out, Name::Field(key), !left.alone, |out| {
                        applied_below(set, out, inner, None, value, left.below);
                    });
                }
            }
        }
        (Shape::List(inner, kind), Value::Array(list)) if *kind != ListKind::Atomic => {
            for (element, item) in sorted(set, inner, kind, list) {
                let left = left_out.of_element(&element);
                if !left.whole {
                    write_element(out, Name::Element(&element), !left.alone, |out| {
                        applied_below(set, out, inner, None, item, left.below);
                    });
                }
            }
        }
        _ => {}
    }
}

/// What there is of a new object beyond one of which nothing is set.
#[derive(Clone, Copy)]
struct Created<'a> {
    set: &'a SchemaSet,
    typed: bool,
}

impl<'a> Created<'a> {
    /// Whether a value that was there before is taken as a whole, or both are empty.
    fn is_leaf(self, ty: Option<&Type>, field: Option<&Field>, before: &Value, after: &Value) -> bool {
        let of_no_type = is_deduced(ty) && before.is_object() && !after.is_object();
        let taken_whole = matches!(
            shape(self.set, ty, field, Some(after)),
            Shape::Leaf | Shape::List(_, ListKind::Atomic)
        );
        of_no_type || taken_whole || (is_empty(before) && is_empty(after))
    }

    /// What is below a value, beyond what was there before, if anything.
    fn below(
        self,
        out: &mut String,
        ty: Option<&'a Type>,
        field: Option<&'a Field>,
        before: Option<&Value>,
        after: &Value,
        left_out: LeftOut<'_>,
    ) {
        if before.is_some_and(|before| before == after || self.is_leaf(ty, field, before, after)) {
            return;
        }
        match (shape(self.set, ty, field, Some(after)), after) {
            (Shape::Struct(schema), Value::Object(map)) => {
                let mut fields = schema.ascending();
                self.members(out, before, map, left_out, |key| {
                    let field = fields.field(key);
                    (field.map(|field| &field.ty), field)
                });
            }
            (Shape::Map(inner), Value::Object(map)) => {
                self.members(out, before, map, left_out, |_| (inner, None));
            }
            (Shape::List(inner, kind), Value::Array(list)) => self.items(out, inner, kind, list, left_out),
            _ => {}
        }
    }

    fn members(
        self,
        out: &mut String,
        before: Option<&Value>,
        after: &Map<String, Value>,
        left_out: LeftOut<'_>,
        // Asked for names that ascend.
        mut type_of: impl FnMut(&str) -> (Option<&'a Type>, Option<&'a Field>),
    ) {
        for (key, value) in after {
            let (ty, field) = type_of(key);
            let left = left_out.of(key);
            if left.whole || is_nothing(self.typed, field, value) {
                continue;
            }
            let earlier = before
                .and_then(|before| before.get(key))
                .filter(|before| !is_nothing(self.typed, field, before));
            let member = earlier.is_none_or(|earlier| {
                self.is_leaf(ty, field, earlier, value) && differs(self.set, self.typed, ty, earlier, value)
            });
            write_element(out, Name::Field(key), member && !left.alone, |out| {
                self.below(out, ty, field, earlier, value, left.below);
            });
        }
    }

    fn items(
        self,
        out: &mut String,
        inner: Option<&'a Type>,
        kind: &ListKind,
        list: &[Value],
        left_out: LeftOut<'_>,
    ) {
        if *kind == ListKind::Atomic {
            return;
        }
        let mut sorted = sorted(self.set, inner, kind, list).into_iter().peekable();
        while let Some((element, item)) = sorted.next() {
            let mut repeated = false;
            while sorted.next_if(|(other, _)| *other == element).is_some() {
                repeated = true;
            }
            let left = left_out.of_element(&element);
            if left.whole {
                continue;
            }
            write_element(out, Name::Element(&element), !left.alone, |out| {
                // Repeated items can't be told apart: they are one leaf.
                if !repeated {
                    self.below(out, inner, None, None, item, left.below);
                }
            });
        }
    }
}
