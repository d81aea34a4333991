//! JSON patch (RFC 6902) as the library has it that upstream uses (json-patch.v4): indexes are what Go's `Atoi` takes and
//! may count from the end, and in a map a member that isn't there is like one that is null.

mod container;

use super::{PatchError, go_kind};
use container::{add, get, locate, remove, replace};
use serde_json::Value;

/// More operations than this are refused, as upstream does.
const MAX_OPERATIONS: usize = 10_000;

/// Applies the operations in order. On an error the target may be half changed; work on a copy.
pub fn apply(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let operations = operations(patch).map_err(PatchError::Malformed)?;
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

struct Operation<'p> {
    kind: &'p str,
    path: Option<&'p str>,
    from: Option<&'p str>,
    /// Null and none are the same.
    value: &'p Value,
}

/// The operations, if each is one by its type; otherwise Go's error.
fn operations(patch: &Value) -> Result<Vec<Operation<'_>>, String> {
    const LIST: &str = "[]handlers.jsonPatchOp";
    let wrong = |value: &Value, of: &str| {
        let kind = go_kind(value);
        format!("error decoding patch: json: cannot unmarshal {kind} into Go {of}")
    };
    let list = match patch {
        Value::Array(list) => list.as_slice(),
        Value::Null => &[],
        other => return Err(wrong(other, &format!("value of type {LIST}"))),
    };
    let mut read = Vec::with_capacity(list.len());
    for item in list {
        let fields = match item {
            Value::Object(fields) => Some(fields),
            Value::Null => None,
            other => return Err(wrong(other, "value of type handlers.jsonPatchOp")),
        };
        let text = |field: &str| match fields.and_then(|fields| fields.get(field)) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(other) => Err(wrong(
                other,
                &format!("struct field jsonPatchOp.{field} of type string"),
            )),
        };
        read.push(Operation {
            kind: text("op")?.unwrap_or("unknown"),
            path: text("path")?,
            from: text("from")?,
            value: fields
                .and_then(|fields| fields.get("value"))
                .unwrap_or(&Value::Null),
        });
    }
    Ok(read)
}

fn apply_one(target: &mut Value, operation: &Operation<'_>) -> Result<(), PatchError> {
    let kind = operation.kind;
    let path = || {
        let missing = || format!("{kind} operation failed to decode path: missing value");
        operation.path.ok_or_else(|| rejected(missing()))
    };
    let from = || {
        let missing = || {
            format!("{kind} operation failed to decode from: operation, missing from field: missing value")
        };
        operation.from.ok_or_else(|| rejected(missing()))
    };
    match kind {
        "add" => {
            let path = path()?;
            let (parent, key) = locate(target, path).ok_or_else(|| {
                rejected(format!(
                    "add operation does not apply: doc is missing path: {path:?}: missing value"
                ))
            })?;
            add(parent, &key, operation.value.clone())
                .map_err(|error| rejected(format!("error in add for path: '{path}': {error}")))
        }
        "remove" => {
            let path = path()?;
            let (parent, key) = locate(target, path).ok_or_else(|| {
                rejected(format!(
                    "remove operation does not apply: doc is missing path: {path:?}: missing value"
                ))
            })?;
            remove(parent, &key)
                .map(drop)
                .map_err(|error| rejected(format!("error in remove for path: '{path}': {error}")))
        }
        "replace" => replace_at(target, path()?, operation.value),
        "move" => {
            let from = from()?;
            let (parent, key) = locate(target, from).ok_or_else(|| {
                rejected(format!(
                    "move operation does not apply: doc is missing from path: {from}: missing value"
                ))
            })?;
            let moved = remove(parent, &key)
                .map_err(|error| rejected(format!("error in move for path: '{key}': {error}")))?;
            let path = path()?;
            let (parent, key) = locate(target, path).ok_or_else(|| {
                rejected(format!(
                    "move operation does not apply: doc is missing destination path: {path}: missing value"
                ))
            })?;
            add(parent, &key, moved)
                .map_err(|error| rejected(format!("error in move for path: '{path}': {error}")))
        }
        "copy" => {
            let from = from()?;
            let (parent, key) = locate(target, from).ok_or_else(|| {
                rejected(format!(
                    "copy operation does not apply: doc is missing from path: {from}: missing value"
                ))
            })?;
            let copied = get(parent, &key)
                .map_err(|error| rejected(format!("error in copy for from: '{from}': {error}")))?
                .clone();
            let path = path()?;
            let (parent, key) = locate(target, path).ok_or_else(|| {
                rejected(format!(
                    "copy operation does not apply: doc is missing destination path: {path}: missing value"
                ))
            })?;
            add(parent, &key, copied)
                .map_err(|error| rejected(format!("error while adding value during copy: {error}")))
        }
        "test" => test(target, path()?, operation.value),
        other => Err(rejected(format!("Unexpected kind: {other}"))),
    }
}

fn replace_at(target: &mut Value, path: &str, value: &Value) -> Result<(), PatchError> {
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err(rejected(
                "replace operation value must be object or array".to_owned(),
            ));
        }
        *target = value.clone();
        return Ok(());
    }
    let (parent, key) = locate(target, path).ok_or_else(|| {
        rejected(format!(
            "replace operation does not apply: doc is missing path: {path}: missing value"
        ))
    })?;
    replace(parent, &key, value.clone()).map_err(|_| {
        rejected(format!(
            "replace operation does not apply: doc is missing key: {path}: missing value"
        ))
    })
}

fn test(target: &mut Value, path: &str, wanted: &Value) -> Result<(), PatchError> {
    let found = if path.is_empty() {
        &*target
    } else {
        let (parent, key) = locate(target, path).ok_or_else(|| {
            rejected(format!(
                "test operation does not apply: is missing path: {path}: missing value"
            ))
        })?;
        get(parent, &key).map_err(|error| rejected(format!("error in test for path: '{path}': {error}")))?
    };
    if found == wanted {
        return Ok(());
    }
    Err(PatchError::TestFailed(format!(
        "testing value {path} failed: test failed"
    )))
}

fn rejected(message: String) -> PatchError {
    PatchError::Rejected(message)
}

#[cfg(test)]
mod tests;
