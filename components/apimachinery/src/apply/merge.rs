use super::{Shape, items, shape};
use crate::schema::{Field, ListKind, SchemaSet, Type};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// Merges what is applied into the live object: structs and granular maps by key, keyed lists and sets by item.
pub fn merge(set: &SchemaSet, ty: &Type, live: &Value, applied: &Value) -> Value {
    value(set, Some(ty), None, Some(live), applied)
}

fn value(
    set: &SchemaSet,
    ty: Option<&Type>,
    field: Option<&Field>,
    live: Option<&Value>,
    applied: &Value,
) -> Value {
    match (shape(set, ty, field, Some(applied)), live, applied) {
        (Shape::Struct(schema), live, Value::Object(applied)) => map(set, live, applied, |key| {
            schema.field(key).map(|field| (&field.ty, Some(field)))
        }),
        (Shape::Map(inner), live, Value::Object(applied)) => {
            map(set, live, applied, |_| inner.map(|ty| (ty, None)))
        }
        (Shape::List(inner, kind), Some(Value::Array(live)), Value::Array(applied))
            if *kind != ListKind::Atomic =>
        {
            Value::Array(list(set, inner, kind, live, applied))
        }
        (Shape::Struct(_) | Shape::Map(_), Some(live @ Value::Object(_)), Value::Null) => live.clone(),
        (Shape::List(_, kind), Some(live @ Value::Array(_)), Value::Null) if *kind != ListKind::Atomic => {
            live.clone()
        }
        (_, _, applied) => applied.clone(),
    }
}

fn map<'t>(
    set: &SchemaSet,
    live: Option<&Value>,
    applied: &Map<String, Value>,
    below: impl Fn(&str) -> Option<(&'t Type, Option<&'t Field>)>,
) -> Value {
    let mut out = live.and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, item) in applied {
        let (ty, field) = below(key).unzip();
        let merged = value(set, ty, field.flatten(), out.get(key), item);
        out.insert(key.clone(), merged);
    }
    Value::Object(out)
}

/// Keeps the applied order among applied items, and the live order among the rest.
fn list(
    set: &SchemaSet,
    inner: Option<&Type>,
    kind: &ListKind,
    live: &[Value],
    applied: &[Value],
) -> Vec<Value> {
    let left = items::elements(set, inner, kind, live);
    let right = items::elements(set, inner, kind, applied);
    let live_by: HashMap<&str, &Value> = left.iter().map(String::as_str).zip(live).collect();
    let applied_set: HashSet<&str> = right.iter().map(String::as_str).collect();
    let mut shared = right
        .iter()
        .filter(|element| live_by.contains_key(element.as_str()));
    let mut next_shared = shared.next();
    let mut done: HashSet<&str> = HashSet::new();
    let mut out = Vec::new();
    let take = |at: usize, out: &mut Vec<Value>| {
        out.push(value(
            set,
            inner,
            None,
            live_by.get(right[at].as_str()).copied(),
            &applied[at],
        ))
    };
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            if left[l] == right[r] {
                done.insert(&left[l]);
                take(r, &mut out);
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
                out.push(live[l].clone());
                l += 1;
                continue;
            }
            if done.contains(left[l].as_str()) {
                l += 1;
            }
        }
        if r < right.len() {
            done.insert(&right[r]);
            take(r, &mut out);
            if next_shared == Some(&right[r]) {
                next_shared = shared.next();
            }
            r += 1;
        }
    }
    out
}
