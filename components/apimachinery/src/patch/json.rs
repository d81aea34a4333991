//! JSON patch (RFC 6902).
use super::PatchError;
use serde_json::Value;

/// More operations than this are refused, as upstream does.
const MAX_OPERATIONS: usize = 10_000;

/// Applies the operations in order. On an error the target may be half changed; work on a copy.
pub fn apply(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let operations = patch.as_array().ok_or_else(|| {
        PatchError::Malformed("json: cannot unmarshal object into Go value of type jsonpatch.Patch".into())
    })?;
    if operations.len() > MAX_OPERATIONS {
        let length = operations.len();
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {length}"
        )));
    }
    operations
        .iter()
        .try_for_each(|operation| apply_one(target, operation))
}

fn apply_one(target: &mut Value, operation: &Value) -> Result<(), PatchError> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    let path = text("path").ok_or_else(|| rejected("operation has no path"))?;
    let value = || {
        operation
            .get("value")
            .cloned()
            .ok_or_else(|| rejected(&format!("operation on {path} has no value")))
    };
    let from = || text("from").ok_or_else(|| rejected(&format!("operation on {path} has no from")));
    match text("op").unwrap_or("") {
        "add" => add(target, path, value()?),
        "remove" => remove(target, path).map(|_| ()),
        "replace" => {
            // As the library that upstream uses has it, a map's missing entry is made.
            if let Some((parent, last)) = split(path)?
                && let Value::Object(map) = find(target, parent)?
            {
                map.insert(last, value()?);
                return Ok(());
            }
            *find(target, path)? = value()?;
            Ok(())
        }
        "move" => {
            let from = from()?;
            if path.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
                return Err(rejected(&format!("can't move {from} into itself")));
            }
            let moved = remove(target, from)?;
            add(target, path, moved)
        }
        "copy" => {
            let copied = find(target, from()?)?.clone();
            add(target, path, copied)
        }
        "test" => {
            let wanted = operation.get("value").cloned().unwrap_or(Value::Null);
            let found = find(target, path).map(|value| value.clone()).or_else(|error| {
                if wanted.is_null() {
                    Ok(Value::Null)
                } else {
                    Err(error)
                }
            })?;
            if found == wanted {
                Ok(())
            } else {
                Err(rejected(&format!("testing value {path} failed: test failed")))
            }
        }
        other => Err(rejected(&format!("Unexpected kind: {other}"))),
    }
}

fn rejected(message: &str) -> PatchError {
    PatchError::Rejected(message.to_owned())
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

fn split(path: &str) -> Result<Option<(&str, String)>, PatchError> {
    if path.is_empty() {
        return Ok(None);
    }
    if !path.starts_with('/') {
        return Err(rejected(&format!("{path} does not start with /")));
    }
    Ok(path
        .rsplit_once('/')
        .map(|(parent, last)| (parent, unescape(last))))
}

fn position(segment: &str, length: usize) -> Result<usize, PatchError> {
    if segment == "-" {
        return Ok(length);
    }
    let plain =
        segment == "0" || (!segment.starts_with('0') && segment.bytes().all(|byte| byte.is_ascii_digit()));
    segment
        .parse()
        .ok()
        .filter(|index| plain && *index <= length)
        .ok_or_else(|| rejected(&format!("Unable to access invalid index: {segment}")))
}

fn find<'a>(target: &'a mut Value, path: &str) -> Result<&'a mut Value, PatchError> {
    let mut current = target;
    if path.is_empty() {
        return Ok(current);
    }
    let missing = || rejected(&format!("{path} does not exist"));
    for segment in path.strip_prefix('/').ok_or_else(missing)?.split('/') {
        let segment = unescape(segment);
        current = match current {
            Value::Object(map) => map.get_mut(&segment).ok_or_else(missing)?,
            Value::Array(items) => {
                let at = position(&segment, items.len())?;
                items.get_mut(at).ok_or_else(missing)?
            }
            _ => return Err(missing()),
        };
    }
    Ok(current)
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), PatchError> {
    let Some((parent, last)) = split(path)? else {
        *target = value;
        return Ok(());
    };
    match find(target, parent)? {
        Value::Object(map) => {
            map.insert(last, value);
            Ok(())
        }
        Value::Array(items) => {
            let at = position(&last, items.len())?;
            items.insert(at, value);
            Ok(())
        }
        _ => Err(rejected(&format!("{path} has no parent"))),
    }
}

fn remove(target: &mut Value, path: &str) -> Result<Value, PatchError> {
    let missing = || rejected(&format!("Unable to remove nonexistent key: {path}"));
    let Some((parent, last)) = split(path)? else {
        return Ok(std::mem::take(target));
    };
    match find(target, parent)? {
        Value::Object(map) => map.remove(&last).ok_or_else(missing),
        Value::Array(items) => {
            let at = position(&last, items.len())?;
            if at < items.len() {
                Ok(items.remove(at))
            } else {
                Err(missing())
            }
        }
        _ => Err(missing()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations() {
        let mut target = json!({"a": [1, 2], "b": {"c/d": "x"}});
        let patch = json!([
            {"op": "test", "path": "/b/c~1d", "value": "x"}, {"op": "add", "path": "/a/-", "value": 3}, {"op": "add", "path": "/a/0", "value": 0},
            {"op": "replace", "path": "/b/c~1d", "value": "y"}, {"op": "copy", "from": "/b/c~1d", "path": "/e"}, {"op": "move", "from": "/a/1", "path": "/f"},
            {"op": "remove", "path": "/b"}
        ]);
        apply(&mut target, &patch).unwrap();
        assert_eq!(target, json!({"a": [0, 2, 3], "e": "y", "f": 1}));
    }

    #[test]
    fn refusals() {
        for operation in [
            json!({"op": "test", "path": "/a", "value": 2}),
            json!({"op": "remove", "path": "/none"}),
            json!({"op": "replace", "path": "/none/x", "value": 1}),
            json!({"op": "replace", "path": "/l/0", "value": 1}),
            json!({"op": "add", "path": "/none/x", "value": 1}),
            json!({"op": "fly", "path": "/a"}),
            json!({"op": "add", "path": "/l/7", "value": 1}),
            json!({"op": "move", "from": "/l", "path": "/l/0"}),
            json!({"op": "add", "path": "x", "value": 1}),
        ] {
            assert!(
                apply(&mut json!({"a": 1, "l": []}), &json!([operation])).is_err(),
                "{operation}"
            );
        }
        assert!(matches!(
            apply(&mut json!({}), &json!({})),
            Err(PatchError::Malformed(_))
        ));
    }
}
