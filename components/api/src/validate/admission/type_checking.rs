//! What a policy's status says of expressions that don't fit the types they are about.
use super::json_path;
use crate::value::{list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// The warnings of `status.typeChecking`: each with a text, and where its expression is.
pub(in crate::validate) fn check(policy: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = path.child("typeChecking.expressionWarnings");
    for (index, warning) in list(policy, &["status", "typeChecking", "expressionWarnings"])
        .iter()
        .enumerate()
    {
        let path = path.index(index);
        if text(warning, &["warning"]).is_empty() {
            errors.push(Error::required(&path.child("warning"), ""));
        }
        let (field, path) = (text(warning, &["fieldRef"]).trim(), path.child("fieldRef"));
        if field.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if let Err(why) = json_path::check(field) {
            errors.push(Error::invalid(&path, field, format!("invalid JSONPath: {why}")));
        }
    }
    errors
}
