//! Elements of sets, and keys of lists that are told apart by them, occur once.
use super::ratcheting::is_as_before;
use super::schema::{Additional, ListType, Schema};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Repeated elements. Lists that were so before are left alone.
pub(super) fn check(schema: &Schema, old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    walk(schema, old, new, &Path::root(), &mut errors);
    errors
}

fn walk(schema: &Schema, old: Option<&Value>, new: &Value, path: &Path, errors: &mut ErrorList) {
    if is_as_before(old, new) {
        return;
    }
    match new {
        Value::Object(map) => {
            for (key, value) in map {
                let old = old.and_then(|old| old.get(key));
                match (schema.properties.get(key), &schema.additional) {
                    (Some(below), _) => walk(below, old, value, &path.child(key), errors),
                    (None, Additional::Schema(below)) => walk(below, old, value, &path.key(key), errors),
                    _ => {}
                }
            }
        }
        Value::Array(items) => {
            repeated(schema, items, path, errors);
            if let Some(below) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    let old = schema.correlate(old, item);
                    walk(below, old, item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn repeated(schema: &Schema, items: &[Value], path: &Path, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let identity = match &schema.list_type {
            ListType::Atomic => return,
            ListType::Set => item.clone(),
            ListType::Map(keys) => {
                let present = keys
                    .iter()
                    .filter_map(|key| schema.key_of(item, key).map(|value| (key.clone(), value.clone())));
                Value::Object(present.collect::<Map<_, _>>())
            }
        };
        if !seen.insert(identity.to_string()) {
            errors.push(Error::duplicate(&path.index(index), identity));
        }
    }
}
