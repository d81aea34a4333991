use super::*;
use crate::features::Feature;
use serde_json::json;

mod claims;
mod classes;
mod devices;
mod names;
mod slices;
mod status;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

fn told(errors: ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn found(kind: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    told(check(kind, old, new, Features::default()).unwrap())
}

/// The value with some of its members set, or with null removed.
fn with(value: &Value, members: Value) -> Value {
    let mut value = value.clone();
    let map = value.as_object_mut().unwrap();
    for (name, member) in members.as_object().unwrap() {
        if member.is_null() {
            map.remove(name);
        } else {
            map.insert(name.clone(), member.clone());
        }
    }
    value
}

/// As many of something as are asked for, each made from its number.
fn many(count: usize, make: impl Fn(usize) -> Value) -> Value {
    (0..count).map(make).collect()
}
