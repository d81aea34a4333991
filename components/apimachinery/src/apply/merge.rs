use super::{Applied, Shape, items, shape};
use crate::schema::{Field, ListKind, SchemaSet, Type};
use ahash::{AHashMap, AHashSet};
use serde_json::{Map, Value};

/// Merges what is applied into the live object: structs and granular maps by key, keyed lists and sets by item.
pub fn merge(set: &SchemaSet, ty: &Type, live: &mut Value, applied: Applied<'_>) {
    value(set, Some(ty), None, live, applied.0);
}

fn value(set: &SchemaSet, ty: Option<&Type>, field: Option<&Field>, live: &mut Value, applied: &Value) {
    match (shape(set, ty, field, Some(applied)), live, applied) {
        (Shape::Struct(schema), live, Value::Object(applied)) => {
            let mut fields = schema.ascending();
            map(set, live, applied, |key| {
                fields.field(key).map(|field| (&field.ty, Some(field)))
            });
        }
        (Shape::Map(inner), live, Value::Object(applied)) => {
            map(set, live, applied, |_| inner.map(|ty| (ty, None)));
        }
        (Shape::List(inner, kind), Value::Array(live), Value::Array(applied))
            if *kind != ListKind::Atomic =>
        {
            list(set, inner, kind, live, applied);
        }
        (Shape::Struct(_) | Shape::Map(_), Value::Object(_), Value::Null) => {}
        (Shape::List(_, kind), Value::Array(_), Value::Null) if *kind != ListKind::Atomic => {}
        (_, live, applied) => live.clone_from(applied),
    }
}

fn map<'t>(
    set: &SchemaSet,
    live: &mut Value,
    applied: &Map<String, Value>,
    // Asked for names that ascend.
    mut below: impl FnMut(&str) -> Option<(&'t Type, Option<&'t Field>)>,
) {
    if !live.is_object() {
        *live = Value::Object(Map::new());
    }
    let Value::Object(live) = live else { return };
    for (key, item) in applied {
        let (ty, field) = below(key).unzip();
        let field = field.flatten();
        match live.get_mut(key) {
            Some(live) => value(set, ty, field, live, item),
            None => {
                live.insert(key.clone(), fresh(set, ty, field, item));
            }
        }
    }
}

/// What is applied where nothing is.
fn fresh(set: &SchemaSet, ty: Option<&Type>, field: Option<&Field>, applied: &Value) -> Value {
    let mut made = Value::Null;
    value(set, ty, field, &mut made, applied);
    made
}

/// Keeps the applied order among applied items, and the live order among the rest.
fn list(set: &SchemaSet, inner: Option<&Type>, kind: &ListKind, live: &mut Vec<Value>, applied: &[Value]) {
    // No item is applied twice, so none is there twice either.
    if items::are_paired(set, inner, kind, live, applied) {
        let pairs = live.iter_mut().zip(applied);
        return pairs.for_each(|(live, applied)| value(set, inner, None, live, applied));
    }
    let left = items::elements(set, inner, kind, live);
    let right = items::elements(set, inner, kind, applied);
    // The last of repeated items counts.
    let live_by: AHashMap<&str, usize> = left.iter().map(String::as_str).zip(0..).collect();
    let applied_set: AHashSet<&str> = right.iter().map(String::as_str).collect();
    let mut shared = right
        .iter()
        .filter(|element| live_by.contains_key(element.as_str()));
    let mut next_shared = shared.next();
    let mut done: AHashSet<&str> = AHashSet::new();
    let mut out = Vec::with_capacity(left.len().max(right.len()));
    // Each goes to one place at most: no item is repeated in what is applied, and none that is applied is also kept as it
    // is.
    let mut old = std::mem::take(live);
    let merged = |at: usize, old: &mut [Value]| match live_by.get(right[at].as_str()) {
        Some(live) => {
            let mut item = old[*live].take();
            value(set, inner, None, &mut item, &applied[at]);
            item
        }
        None => fresh(set, inner, None, &applied[at]),
    };
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            if left[l] == right[r] {
                done.insert(&left[l]);
                out.push(merged(r, &mut old));
                (l, r) = (l + 1, r + 1);
                next_shared = shared.next();
                continue;
            }
            if applied_set.contains(left[l].as_str()) && next_shared.is_some_and(|next| *next != left[l]) {
                l += 1;
                continue;
            }
        }
        if l < left.len() {
            if !applied_set.contains(left[l].as_str()) {
                out.push(old[l].take());
                l += 1;
                continue;
            }
            if done.contains(left[l].as_str()) {
                l += 1;
            }
        }
        if r < right.len() {
            done.insert(&right[r]);
            out.push(merged(r, &mut old));
            if next_shared == Some(&right[r]) {
                next_shared = shared.next();
            }
            r += 1;
        }
    }
    *live = out;
}
