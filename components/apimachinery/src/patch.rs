//! The patch formats: JSON patch, merge patch, strategic merge patch.
pub mod json;
pub mod merge;
pub mod strategic;

use serde_json::Value;

/// A patch can't be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is malformed (400).
    #[error("{0}")]
    Malformed(String),
    /// The patch does too much (413).
    #[error("{0}")]
    TooLarge(String),
    /// The patch doesn't fit the object (422).
    #[error("{0}")]
    Rejected(String),
    /// The object is not what the patch was made for: a `test` that fails (422).
    #[error("{0}")]
    TestFailed(String),
    /// The patch can't be carried out, for reasons that upstream tells without saying whose fault it is (500).
    #[error("{0}")]
    Failed(String),
}

/// What Go's JSON reader calls a value.
pub fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => "null",
    }
}
