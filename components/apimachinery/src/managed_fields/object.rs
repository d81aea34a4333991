//! An object beside its managedFields.
use crate::decode::Unchanged;
use crate::meta;
use serde_json::{Map, Value};

/// A copy of the object without its managedFields, which are most of many objects.
pub(super) fn without_managed_fields(object: &Value) -> Value {
    let Value::Object(map) = object else {
        return object.clone();
    };
    let copy = |(key, value): (&String, &Value)| match value {
        Value::Object(metadata) if key == "metadata" => {
            let kept = metadata.iter().filter(|(key, _)| *key != "managedFields");
            let metadata = kept.map(|(key, value)| (key.clone(), value.clone()));
            (key.clone(), Value::Object(metadata.collect()))
        }
        value => (key.clone(), value.clone()),
    };
    Value::Object(map.iter().map(copy).collect())
}

/// Whether two objects, of which `unchanged` is known to be the same, are that but for their managedFields.
pub(super) fn is_same(a: &Value, b: &Value, unchanged: &Unchanged) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else {
        return a == b;
    };
    // From the end: most changes are to the status, or to the spec.
    a.len() == b.len()
        && a.iter()
            .rev()
            .zip(b.iter().rev())
            .all(|((key, left), (other, right))| {
                key == other
                    && match (left, right) {
                        _ if unchanged.has(key) => true,
                        (Value::Object(left), Value::Object(right)) if key == "metadata" => {
                            let own = |(key, _): &(&String, &Value)| *key != "managedFields";
                            left.iter().filter(own).eq(right.iter().filter(own))
                        }
                        _ => left == right,
                    }
            })
}

/// Whether two objects, of which `unchanged` is known to be the same, are that but for when their managers wrote. Such a
/// write changes nothing.
pub fn is_same_but_for_times(a: &Value, b: &Value, unchanged: &Unchanged) -> bool {
    let same_owner = |(a, b): (&Value, &Value)| match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let kept = |(key, _): &(&String, &Value)| *key != "time";
            a.iter().filter(kept).eq(b.iter().filter(kept))
        }
        _ => a == b,
    };
    let (owners, others) = (meta::managed_fields(a), meta::managed_fields(b));
    owners.len() == others.len() && is_same(a, b, unchanged) && owners.iter().zip(others).all(same_owner)
}

/// A list that is empty, or that is of one empty entry, asks to forget all managers.
pub(super) fn is_reset(given: &[Value]) -> bool {
    match given {
        [] => true,
        [entry] => entry.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}
