//! Short ways to look into JSON values.
use serde_json::{Map, Value};

/// An object's map.
pub(crate) type Object = Map<String, Value>;

static NULL: Value = Value::Null;

/// The value at a path of names, `null` if it isn't there.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter()
        .try_fold(value, |value, name| value.get(name))
        .unwrap_or(&NULL)
}

/// The text at a path, empty if it isn't there.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).as_str().unwrap_or("")
}

/// The number at a path.
pub(crate) fn int(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).as_i64()
}

/// The list at a path, empty if it isn't there.
pub(crate) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// The map at a path.
pub(crate) fn object<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Object> {
    at(value, path).as_object()
}

/// Whether the flag at a path is set.
pub(crate) fn flag(value: &Value, path: &[&str]) -> bool {
    at(value, path).as_bool().unwrap_or(false)
}

/// The map under `key`, if there is one.
pub(crate) fn map_mut<'a>(map: &'a mut Object, key: &str) -> Option<&'a mut Object> {
    map.get_mut(key)?.as_object_mut()
}

/// The map under `key`, made if it is missing.
pub(crate) fn make<'a>(map: &'a mut Object, key: &str) -> &'a mut Object {
    let entry = map.entry(key).or_insert_with(|| Value::Object(Object::new()));
    if !entry.is_object() {
        *entry = Value::Object(Object::new());
    }
    entry.as_object_mut().expect("it was just made a map")
}

/// The maps in the list under `key`.
pub(crate) fn items_mut<'a>(map: &'a mut Object, key: &str) -> impl Iterator<Item = &'a mut Object> {
    map.get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

/// Whether a plain field is at its zero value.
pub fn is_zero(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(Value::Bool(set)) => !set,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
    }
}

/// Sets an optional field that is absent.
pub(crate) fn absent(map: &mut Object, key: &str, value: impl Into<Value>) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key.to_owned(), value.into());
    }
}

/// Sets a plain field that is at its zero value.
pub(crate) fn zero(map: &mut Object, key: &str, value: impl Into<Value>) {
    if is_zero(map.get(key)) {
        map.insert(key.to_owned(), value.into());
    }
}

/// Fields that are maps, so that an empty one is the same as none. An empty struct is not.
const MAPS: &[&str] = &[
    "annotations",
    "attributes",
    "capacity",
    "consumedCapacity",
    "counters",
    "labels",
    "limits",
    "matchLabels",
    "nodeSelector",
    "overhead",
    "parameters",
    "requests",
    "volumeAttributes",
];

/// Whether values mean the same: empty lists and maps are as good as none.
pub fn same(old: &Value, new: &Value) -> bool {
    // Most of what is compared has not changed at all, which is cheaper to find out.
    old == new || same_meaning(old, new)
}

fn same_meaning(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Null, Value::Array(items)) | (Value::Array(items), Value::Null) => items.is_empty(),
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same_meaning(old, new))
        }
        (Value::Object(before), Value::Object(after)) => {
            let no_map = |key: &str, value: &Value, other: &Value| {
                other.is_null()
                    && MAPS.contains(&key)
                    && value.as_object().is_some_and(serde_json::Map::is_empty)
            };
            let fits = |key: &str| {
                let (old, new) = (
                    before.get(key).unwrap_or(&Value::Null),
                    after.get(key).unwrap_or(&Value::Null),
                );
                same_meaning(old, new) || no_map(key, old, new) || no_map(key, new, old)
            };
            before
                .keys()
                .chain(after.keys().filter(|key| !before.contains_key(*key)))
                .all(|key| fits(key))
        }
        (old, new) => old == new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_means_the_same_as_missing() {
        for (old, new, wanted) in [
            (json!({"items": []}), json!({}), true),
            (json!({"labels": {}}), json!({}), true),
            (json!({"emptyDir": {}}), json!({}), false),
            (json!({"a": [{"labels": {}}]}), json!({"a": [{}]}), true),
            (json!({"a": 1}), json!({"a": 2}), false),
            (json!([]), Value::Null, true),
        ] {
            assert_eq!(same(&old, &new), wanted, "{old} {new}");
            assert_eq!(same(&new, &old), wanted, "{new} {old}");
        }
    }
}
