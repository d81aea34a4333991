//! JSON paths of definitions: the simple ones of fields, and those of columns.
use serde_json::Value;

/// `.spec.replicas`: names joined by dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimplePath {
    text: String,
    names: Vec<String>,
}

impl SimplePath {
    /// Reads a path; a leading dot is dropped. Names may be quoted in brackets: `.metadata.annotations['a.b/c']`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut names = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix("['") {
                let (name, after) = quoted.split_once("']")?;
                names.push(name.to_owned());
                rest = after;
                continue;
            }
            rest = rest.strip_prefix('.')?;
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end > 0 {
                names.push(rest[..end].to_owned());
            } else if !rest.starts_with('[') {
                return None;
            }
            rest = &rest[end..];
        }
        (!names.is_empty()).then(|| Self {
            text: text.to_owned(),
            names,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The value there. Fails, in upstream's words, when something on the way is no object.
    pub fn get<'v>(&self, value: &'v Value) -> Result<Option<&'v Value>, String> {
        let mut at = value;
        for name in &self.names {
            let Some(map) = at.as_object() else {
                return Err(format!(
                    "{} accessor error: {} is of the type {}, expected map[string]interface{{}}",
                    self.text,
                    shown(at),
                    go_type(at)
                ));
            };
            match map.get(name) {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// Sets the value there, making objects on the way.
    pub fn set(&self, value: &mut Value, wanted: Value) {
        let mut at = value;
        for name in &self.names {
            if !at.is_object() {
                *at = Value::Object(serde_json::Map::new());
            }
            at = &mut at[name];
        }
        *at = wanted;
    }
}

/// A value as Go prints it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let entries: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", shown(value)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
        other => other.to_string(),
    }
}

/// The type that Go decodes a value to.
pub(super) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
