//! Maps and lists, and what is in them by a key.

use serde_json::Value;

static NOTHING: Value = Value::Null;

/// The map or list that holds what `path` points to, and its key there.
pub(super) fn locate<'t>(target: &'t mut Value, path: &str) -> Option<(&'t mut Value, String)> {
    // What is before the first slash doesn't matter to the library.
    let (_, pointer) = path.split_once('/')?;
    let (parents, key) = match pointer.rsplit_once('/') {
        Some((parents, key)) => (Some(parents), key),
        None => (None, pointer),
    };
    let mut current = target;
    for part in parents.into_iter().flat_map(|parents| parents.split('/')) {
        let part = unescape(part);
        current = match current {
            Value::Object(map) => map.get_mut(&part)?,
            Value::Array(items) => {
                let at = position(&part, items.len()).ok()?;
                items.get_mut(at)?
            }
            _ => return None,
        };
    }
    (current.is_object() || current.is_array()).then(|| (current, unescape(key)))
}

/// What is there; null if a map has no such member.
pub(super) fn get<'t>(container: &'t Value, key: &str) -> Result<&'t Value, String> {
    match container {
        Value::Array(items) => {
            let at = position(key, items.len())?;
            items.get(at).ok_or_else(|| out_of_bounds(key))
        }
        map => Ok(map.get(key).unwrap_or(&NOTHING)),
    }
}

/// Sets a member of a map, or puts in an item of a list.
pub(super) fn add(container: &mut Value, key: &str, value: Value) -> Result<(), String> {
    match container {
        Value::Array(items) => {
            let at = if key == "-" {
                items.len()
            } else {
                // Counted from behind the end, where there is one place more.
                position(key, items.len() + 1).map_err(|error| {
                    if error.starts_with("strconv") {
                        format!("value was not a proper array index: '{key}': {error}")
                    } else {
                        error
                    }
                })?
            };
            if at > items.len() {
                return Err(out_of_bounds(key));
            }
            items.insert(at, value);
        }
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        _ => {}
    }
    Ok(())
}

/// Sets a member of a map, or an item that is there.
pub(super) fn replace(container: &mut Value, key: &str, value: Value) -> Result<(), String> {
    match container {
        Value::Array(items) => {
            let at = position(key, items.len())?;
            *items.get_mut(at).ok_or_else(|| out_of_bounds(key))? = value;
            Ok(())
        }
        map => add(map, key, value),
    }
}

/// Takes something out.
pub(super) fn remove(container: &mut Value, key: &str) -> Result<Value, String> {
    match container {
        Value::Array(items) => {
            let at = position(key, items.len())?;
            if at >= items.len() {
                return Err(out_of_bounds(key));
            }
            Ok(items.remove(at))
        }
        Value::Object(map) => map
            .remove(key)
            .ok_or_else(|| format!("Unable to remove nonexistent key: {key}: missing value")),
        _ => Ok(Value::Null),
    }
}

/// An index as Go's `Atoi` reads it, from the end if it is negative; it may be beyond the end.
fn position(key: &str, length: usize) -> Result<usize, String> {
    let digits = key.strip_prefix(['+', '-']).unwrap_or(key);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("strconv.Atoi: parsing {key:?}: invalid syntax"));
    }
    let out_of_range = || format!("strconv.Atoi: parsing {key:?}: value out of range");
    let index: i64 = key.parse().map_err(|_| out_of_range())?;
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let at = if index < 0 { index + length } else { index };
    usize::try_from(at).map_err(|_| out_of_bounds(key))
}

fn out_of_bounds(key: &str) -> String {
    // Printed as a number: neither signs nor zeros before it.
    let index: i64 = key.parse().unwrap_or_default();
    format!("Unable to access invalid index: {index}: invalid index referenced")
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}
