mod claims;
mod drivers;
mod volumes;

use super::*;
use serde_json::json;

/// What is told of a new object, or of one that changed.
fn told(kind: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    let errors = check(kind, old, old, new, Features::default()).unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

/// An object with these fields set in it, by their paths; null takes one away.
fn with(object: &Value, fields: &[(&str, Value)]) -> Value {
    let mut object = object.clone();
    for (path, value) in fields {
        let mut place = &mut object;
        for part in path.split('.') {
            place = match part.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[part],
            };
        }
        *place = value.clone();
    }
    object
}
