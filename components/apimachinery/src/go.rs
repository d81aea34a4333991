//! Values as Go prints and writes them.
use serde::Serialize;
use serde_json::Value;

/// `%v` of a value decoded into an `interface{}`.
pub fn print(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            format!(
                "map[{}]",
                entries
                    .into_iter()
                    .map(|(key, value)| format!("{key}:{}", print(value)))
                    .collect::<Vec<_>>()
                    .join(" ")
            )
        }
        other => other.to_string(),
    }
}

/// `%#v` of a value decoded into an `interface{}`: as a Go program would have it.
pub fn syntax(value: &Value) -> String {
    let joined = |all: Vec<String>| all.join(", ");
    match value {
        Value::Null => "interface {}(nil)".into(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => format!(
            "[]interface {{}}{{{}}}",
            joined(items.iter().map(syntax).collect())
        ),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            let entries = entries
                .iter()
                .map(|(key, value)| format!("{key:?}:{}", syntax(value)));
            format!("map[string]interface {{}}{{{}}}", joined(entries.collect()))
        }
        other => other.to_string(),
    }
}

/// `%T` of a value decoded into an `interface{}`.
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        Value::Null => "<nil>",
    }
}

/// JSON as Go writes it: what browsers might take for markup is escaped.
pub fn json(value: &impl Serialize) -> String {
    // Writing what is made of texts and numbers can't fail.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    for (plain, code) in [
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u{2028}", "\\u2028"),
        ("\u{2029}", "\\u2029"),
    ] {
        if text.contains(plain) {
            text = text.replace(plain, code);
        }
    }
    text
}
