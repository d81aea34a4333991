use super::Path;
use crate::go::is_print;
use crate::status::Cause;
use serde_json::Value;
use std::fmt;

/// All that is wrong with an object.
pub type ErrorList = Vec<Error>;

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
    TypeInvalid,
}

impl ErrorKind {
    /// The `reason` of the cause in a Status.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// The offending value, printed as upstream prints it.
#[derive(Clone, Debug, PartialEq)]
pub enum BadValue {
    /// Not printed.
    Omitted,
    /// Printed as JSON (a text in quotes, a number bare, an object as its JSON).
    Json(Value),
    /// Printed as it is, for values whose form is not JSON's.
    Raw(String),
}

impl From<Value> for BadValue {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}
impl From<&Value> for BadValue {
    fn from(value: &Value) -> Self {
        Self::Json(value.clone())
    }
}
impl From<&str> for BadValue {
    fn from(value: &str) -> Self {
        Self::Json(Value::from(value))
    }
}
impl From<String> for BadValue {
    fn from(value: String) -> Self {
        Self::Json(Value::from(value))
    }
}
impl From<i64> for BadValue {
    fn from(value: i64) -> Self {
        Self::Json(Value::from(value))
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Omitted => Ok(()),
            Self::Raw(text) => f.write_str(text),
            Self::Json(Value::String(text)) => write!(f, "{}", quote(text)),
            Self::Json(value) => write!(f, "{value}"),
        }
    }
}

/// A text in quotes with escapes, as Go's `%q` writes it.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if is_print(c) => out.push(c),
            c => match c as u32 {
                code @ ..0x80 => out.push_str(&format!("\\x{code:02x}")),
                code @ ..0x1_0000 => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
        }
    }
    out.push('"');
    out
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub kind: ErrorKind,
    pub field: String,
    pub bad_value: BadValue,
    pub detail: String,
}

impl Error {
    fn make(kind: ErrorKind, path: &Path, bad_value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            field: path.to_string(),
            bad_value: bad_value.into(),
            detail: detail.into(),
        }
    }

    /// The value refers to something that doesn't exist.
    pub fn not_found(path: &Path, value: impl Into<BadValue>) -> Self {
        Self::make(ErrorKind::NotFound, path, value, "")
    }
    /// A value must be given.
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::Required, path, BadValue::Omitted, detail)
    }
    /// The value was already given elsewhere.
    pub fn duplicate(path: &Path, value: impl Into<BadValue>) -> Self {
        Self::make(ErrorKind::Duplicate, path, value, "")
    }
    /// The value breaks a rule.
    pub fn invalid(path: &Path, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::Invalid, path, value, detail)
    }
    /// The value has the wrong type.
    pub fn type_invalid(path: &Path, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::TypeInvalid, path, value, detail)
    }
    /// The value is not one of `supported`, which are listed in the given order.
    pub fn not_supported(path: &Path, value: impl Into<BadValue>, supported: &[&str]) -> Self {
        let listed: Vec<_> = supported.iter().map(|text| quote(text)).collect();
        let detail = if listed.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", listed.join(", "))
        };
        Self::make(ErrorKind::NotSupported, path, value, detail)
    }
    /// The field may not be set in this situation.
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::Forbidden, path, BadValue::Omitted, detail)
    }
    /// The value is longer than `max` bytes.
    pub fn too_long(path: &Path, max: usize) -> Self {
        Self::make(
            ErrorKind::TooLong,
            path,
            BadValue::Omitted,
            format!("may not be more than {max} bytes"),
        )
    }
    /// The list has more than `max` items.
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        let items = if max == 1 { "item" } else { "items" };
        Self::make(
            ErrorKind::TooMany,
            path,
            actual as i64,
            format!("must have at most {max} {items}"),
        )
    }
    /// Something failed that isn't the client's fault.
    pub fn internal(path: &Path, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::Internal, path, BadValue::Omitted, detail)
    }

    /// The error without its field: kind, value, detail.
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        let value = match self.kind {
            ErrorKind::Required | ErrorKind::Forbidden | ErrorKind::TooLong | ErrorKind::Internal => {
                String::new()
            }
            _ => self.bad_value.to_string(),
        };
        if !value.is_empty() {
            text.push_str(": ");
            text.push_str(&value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    /// The cause that a Status carries.
    pub fn cause(&self) -> Cause {
        Cause {
            reason: self.kind.reason().to_owned(),
            message: self.body(),
            field: self.field.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// The errors joined as upstream's aggregate: alone bare, several in brackets, repeats once.
pub fn aggregate(errors: &[Error]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.len() {
        1 => texts.remove(0),
        _ => format!("[{}]", texts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_go_does() {
        for (text, expected) in [
            ("", r#""""#),
            ("a \"b\" \\", r#""a \"b\" \\""#),
            ("\u{7}\u{8}\t\n\u{b}\u{c}\r", r#""\a\b\t\n\v\f\r""#),
            ("\0\u{1f}\u{7f}", r#""\x00\x1f\x7f""#),
            ("j\u{f6}rg", "\"j\u{f6}rg\""),
            ("\u{a0}\u{200b}", r#""\u00a0\u200b""#),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(quote(text), expected);
        }
    }
}
