//! Whether an object looks as expected.
//!
//! Objects need to have the named members only; each element of an expected list must match one of the actual list.
//! `{$length: N}` counts, `{$min: N}` and `{$max: N}` compare, `{$has: TEXT}` looks into a text, `$absent` must not be
//! there, `$any` must.

use serde_json::Value;

/// The first difference, with its path.
pub(crate) fn differs(expected: &Value, actual: &Value, path: &str) -> Option<String> {
    let say = || Some(format!("{path} is {actual}, not {expected}"));
    match expected {
        Value::Null => None,
        Value::String(text) if text == "$absent" => {
            if actual.is_null() {
                None
            } else {
                say()
            }
        }
        Value::String(text) if text == "$any" => {
            if actual.is_null() {
                say()
            } else {
                None
            }
        }
        Value::Object(members) => members.iter().find_map(|(key, expected)| {
            let matches = match key.as_str() {
                "$length" => length(actual) == expected.as_u64(),
                "$min" => actual.as_f64() >= expected.as_f64() && actual.is_number(),
                "$max" => actual.as_f64() <= expected.as_f64() && actual.is_number(),
                "$has" => actual
                    .as_str()
                    .zip(expected.as_str())
                    .is_some_and(|(actual, expected)| actual.contains(expected)),
                _ => return differs(expected, &actual[key.as_str()], &format!("{path}.{key}")),
            };
            if matches { None } else { say() }
        }),
        Value::Array(items) => {
            let Some(actual) = actual.as_array() else {
                return say();
            };
            items.iter().find_map(|expected| {
                let mut differences = actual.iter().map(|actual| differs(expected, actual, path));
                if differences.any(|difference| difference.is_none()) {
                    None
                } else {
                    Some(format!("{path} has none like {expected}: {actual:?}"))
                }
            })
        }
        _ if expected == actual => None,
        _ => say(),
    }
}

/// How many; nothing has none.
fn length(actual: &Value) -> Option<u64> {
    match actual {
        Value::Null => Some(0),
        Value::Array(items) => Some(items.len() as u64),
        Value::Object(members) => Some(members.len() as u64),
        _ => None,
    }
}

/// `$NAME` replaced in every text.
pub(crate) fn substitute(value: &mut Value, saved: &[(String, String)]) {
    match value {
        Value::String(text) => *text = substitute_text(text, saved),
        Value::Array(items) => items.iter_mut().for_each(|item| substitute(item, saved)),
        Value::Object(members) => members.values_mut().for_each(|member| substitute(member, saved)),
        _ => {}
    }
}

pub(crate) fn substitute_text(text: &str, saved: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in saved {
        text = text.replace(&format!("${name}"), value);
    }
    text
}

#[test]
fn what_is_expected_is_found() {
    use serde_json::json;
    let actual = json!({"a": 1, "b": [{"n": "x"}, {"n": "y"}], "t": "a text"});
    for (expected, same) in [
        (json!({"a": 1, "b": [{"n": "y"}]}), true),
        (json!({"a": 2}), false),
        (json!({"b": [{"n": "z"}]}), false),
        (json!({"b": {"$length": 2}, "c": {"$length": 0}}), true),
        (json!({"b": {"$length": 1}}), false),
        (json!({"a": {"$min": 1, "$max": 1}, "t": {"$has": "tex"}}), true),
        (json!({"a": {"$min": 2}}), false),
        (json!({"c": {"$min": 0}}), false),
        (json!({"c": "$absent", "a": "$any"}), true),
        (json!({"c": "$any"}), false),
        (json!({"a": "$absent"}), false),
    ] {
        assert_eq!(differs(&expected, &actual, "").is_none(), same, "{expected}");
    }
}
