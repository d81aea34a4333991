use super::{Shape, items, shape};
use crate::decode::{is_empty_collection, settle_value};
use crate::fieldset::FieldSet;
use crate::schema::{Field, SchemaSet, Type};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How two versions of an object differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub added: FieldSet,
    pub modified: FieldSet,
    pub removed: FieldSet,
}

impl Comparison {
    /// The comparison without what is at or below these fields.
    pub fn without(&self, ignored: &FieldSet) -> Self {
        Self {
            added: self.added.recursive_difference(ignored),
            modified: self.modified.recursive_difference(ignored),
            removed: self.removed.recursive_difference(ignored),
        }
    }
}

/// Compares two versions of an object, of which the later may be made of what was applied: what that gives is there,
/// also when it is empty.
pub fn compare(set: &SchemaSet, ty: &Type, before: &Value, after: &Value) -> Comparison {
    compare_as(set, ty, before, after, false)
}

/// Compares two versions of an object as upstream's typed objects: what would not be written is not there.
pub fn compare_typed(set: &SchemaSet, ty: &Type, before: &Value, after: &Value) -> Comparison {
    compare_as(set, ty, before, after, true)
}

fn compare_as(set: &SchemaSet, ty: &Type, before: &Value, after: &Value, typed: bool) -> Comparison {
    let mut comparer = Comparer {
        set,
        typed,
        path: Vec::new(),
        out: Comparison::default(),
    };
    comparer.value(Some(ty), None, Some(before), Some(after));
    comparer.out
}

struct Comparer<'a> {
    set: &'a SchemaSet,
    typed: bool,
    path: Vec<String>,
    out: Comparison,
}

fn length(value: Option<&Value>) -> usize {
    match value {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(list)) => list.len(),
        _ => 0,
    }
}

impl<'a> Comparer<'a> {
    fn leaf(&mut self, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (None, Some(_)) => self.out.added.insert(&self.path),
            (Some(_), None) => self.out.removed.insert(&self.path),
            (before, after) if before != after => self.out.modified.insert(&self.path),
            _ => {}
        }
    }

    fn value(
        &mut self,
        ty: Option<&'a Type>,
        field: Option<&Field>,
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        if before.is_none() && after.is_none() {
            return;
        }
        if ty.is_none()
            && matches!((before, after), (Some(Value::Object(_)), Some(after)) if !after.is_object())
        {
            // A map of no declared type has become something else: what was below it is gone.
            self.value(ty, field, before, Some(&Value::Object(serde_json::Map::new())));
            return self.leaf(before, after);
        }
        let shape = shape(self.set, ty, field, after.or(before));
        if matches!(
            shape,
            Shape::Leaf | Shape::List(_, crate::schema::ListKind::Atomic)
        ) || (length(before) == 0 && length(after) == 0)
        {
            // Inside what is taken as a whole, what is empty counts no more than elsewhere.
            if let (true, Some(ty), Some(before), Some(after)) = (self.typed, ty, before, after)
                && before != after
            {
                let mut after = after.clone();
                settle_value(self.set, ty, &mut after);
                return self.leaf(Some(before), Some(&after));
            }
            return self.leaf(before, after);
        }
        match (before, after) {
            (None, _) => self.out.added.insert(&self.path),
            (_, None) => self.out.removed.insert(&self.path),
            _ => {}
        }
        match shape {
            Shape::Struct(schema) => self.map(before, after, |key| {
                schema.field(key).map(|field| (&field.ty, Some(field)))
            }),
            Shape::Map(inner) => self.map(before, after, |_| inner.map(|ty| (ty, None))),
            Shape::List(inner, kind) => self.list(inner, kind, before, after),
            Shape::Leaf => {}
        }
    }

    fn map<'f, 'v>(
        &mut self,
        before: Option<&'v Value>,
        after: Option<&'v Value>,
        below: impl Fn(&str) -> Option<(&'a Type, Option<&'f Field>)>,
    ) {
        let (before, after) = (
            before.and_then(Value::as_object),
            after.and_then(Value::as_object),
        );
        let new = after
            .into_iter()
            .flatten()
            .filter(|(key, _)| !before.is_some_and(|before| before.contains_key(*key)));
        for (key, _) in before.into_iter().flatten().chain(new) {
            let (ty, field) = below(key).unzip();
            let field = field.flatten();
            let empty = |value: &Value| {
                field.is_some_and(|field| !field.always && is_empty_collection(value, &field.ty))
            };
            let there = |map: Option<&'v Map<String, Value>>| {
                map?.get(key).filter(|value| !(self.typed && empty(value)))
            };
            let (before, after) = (there(before), there(after));
            self.path.push(format!("f:{key}"));
            self.value(ty, field, before, after);
            self.path.pop();
        }
    }

    fn list(
        &mut self,
        inner: Option<&'a Type>,
        kind: &crate::schema::ListKind,
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        let mut paired: BTreeMap<String, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        let list = |value: Option<&'_ Value>| -> Vec<Value> {
            value.and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let (before, after) = (list(before), list(after));
        for (element, item) in items::elements(self.set, inner, kind, &before)
            .into_iter()
            .zip(&before)
        {
            paired.entry(element).or_default().0.push(item);
        }
        for (element, item) in items::elements(self.set, inner, kind, &after)
            .into_iter()
            .zip(&after)
        {
            paired.entry(element).or_default().1.push(item);
        }
        for (element, (before, after)) in paired {
            self.path.push(element);
            if before.len() <= 1 && after.len() <= 1 {
                self.value(inner, None, before.first().copied(), after.first().copied());
            } else if before.is_empty() {
                self.out.added.insert(&self.path);
            } else if after.is_empty() {
                self.out.removed.insert(&self.path);
            } else if before != after {
                // Repeated items can't be told apart: they are one leaf.
                self.out.modified.insert(&self.path);
            }
            self.path.pop();
        }
    }
}
