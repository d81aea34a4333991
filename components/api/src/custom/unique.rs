//! Elements of sets, and keys of lists that are told apart by them, occur once.
use super::schema::{Additional, ListType, Schema};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Repeated elements. An object that had some before may have others.
pub(super) fn check(schema: &Schema, old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    walk(schema, old, new, &Path::root(), &mut errors);
    if let (false, Some(old)) = (errors.is_empty(), old) {
        let mut before = ErrorList::new();
        walk(schema, None, old, &Path::root(), &mut before);
        if !before.is_empty() {
            errors.clear();
        }
    }
    errors
}

fn walk(schema: &Schema, old: Option<&Value>, new: &Value, path: &Path, errors: &mut ErrorList) {
    if old == Some(new) {
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
                let former = schema.former(old);
                for (index, item) in items.iter().enumerate() {
                    walk(below, former.of(schema, item), item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn repeated(schema: &Schema, items: &[Value], path: &Path, errors: &mut ErrorList) {
    if let ListType::Map(_) = schema.list_type
        && let Some(index) = items.iter().position(|item| !item.is_null() && !item.is_object())
    {
        let why = "must be an object for an array of list-type map";
        return errors.push(Error::invalid(&path.index(index), &items[index], why));
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
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
        let times = seen.entry(identity.to_string()).or_default();
        *times += 1;
        // What is there again and again is told once.
        if *times == 2 {
            errors.push(Error::duplicate(&path.index(index), identity));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_repeats_is_told_unless_something_did_before() {
        let list = |kind: &str| json!({"type": "array", "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": ["k"], "items": {}});
        let schema =
            Schema::parse(&json!({"type": "object", "properties": {"s": list("set"), "m": list("map")}}));
        let told = |old: Option<&Value>, new: &Value| {
            let errors = check(&schema, old, new);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let (good, twice) = (json!({"s": [1, 2]}), json!({"s": [1, 1]}));
        assert_eq!(told(None, &good), [""; 0]);
        assert_eq!(told(None, &twice), ["s[1]: Duplicate value: 1"]);
        assert_eq!(told(Some(&good), &twice), ["s[1]: Duplicate value: 1"]);
        let thrice = json!({"s": [1, 1, 1]});
        assert_eq!(told(None, &thrice), ["s[1]: Duplicate value: 1"]);
        let odd = json!({"m": [null, 1, "a", null]});
        assert_eq!(
            told(None, &odd),
            ["m[1]: Invalid value: 1: must be an object for an array of list-type map"]
        );
        let keys = json!({"s": [1, 1], "m": [{"k": 1, "a": 1}, {"k": 1}]});
        assert_eq!(told(Some(&twice), &keys), [""; 0]);
        assert_eq!(
            told(Some(&good), &keys),
            ["m[1]: Duplicate value: {\"k\":1}", "s[1]: Duplicate value: 1"]
        );
    }
}
