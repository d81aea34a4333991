use serde_json::Value;
use std::fmt;

/// One step of a path into an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    Field(String),
    /// The list item with these key fields.
    Key(Vec<(String, Value)>),
    /// The set item of this value.
    Value(Value),
    Index(i64),
}

impl Element {
    /// Whether the text is a FieldsV1 key.
    pub fn is_valid(text: &str) -> bool {
        text.starts_with("f:") || Self::parse(text).is_some()
    }

    /// Reads a FieldsV1 key.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        Some(match kind {
            "f" => Self::Field(rest.to_owned()),
            "k" => match serde_json::from_str(rest).ok()? {
                Value::Object(map) => Self::Key(map.into_iter().collect()),
                _ => return None,
            },
            "v" => Self::Value(serde_json::from_str(rest).ok()?),
            "i" => Self::Index(rest.parse().ok()?),
            _ => return None,
        })
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                let shown: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                write!(f, "[{}]", shown.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// The text of the field of this name. Made for each field of each written object, so without a formatter.
pub(crate) fn field_element(name: &str) -> String {
    ["f:", name].concat()
}
