//! Values as texts, and `strings.quote()`.
use super::{Overload, Sig, function, no_such_overload};
use crate::value::{Opaque, Value};
use Sig::String;
use apimachinery::go;

/// A value as texts have it, without quotes.
pub(crate) fn plain(value: &Value<'_>) -> std::string::String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => go::float_text(*number),
        Value::String(text) => text.as_str().to_owned(),
        Value::Bytes(bytes) => std::string::String::from_utf8_lossy(bytes).into_owned(),
        Value::Timestamp(time) => time.to_string(),
        Value::Duration(duration) => crate::time::format_duration(*duration),
        Value::Type(ty) => ty.name().to_owned(),
        Value::Optional(None) => "optional.none()".into(),
        Value::Optional(Some(value)) => format!("optional({})", plain(value)),
        Value::Opaque(Opaque::Ip(ip)) => ip.to_string(),
        Value::Opaque(Opaque::Cidr(cidr)) => cidr.to_string(),
        Value::Opaque(Opaque::Quantity(quantity)) => quantity.to_string(),
        Value::Opaque(Opaque::Url(url)) => url.to_string(),
        Value::Opaque(Opaque::Version(version)) => version.to_string(),
        Value::Opaque(_) | Value::Lazy(_) => value.opaque_name().unwrap_or_default().to_owned(),
        Value::List(_) | Value::Map(_) | Value::Json(..) => nested(value),
    }
}

fn nested(value: &Value<'_>) -> std::string::String {
    if let Some(list) = value.as_list() {
        let items: Vec<_> = list.iter().map(|item| plain(&item)).collect();
        return format!("[{}]", items.join(", "));
    }
    let mut entries: Vec<_> = value
        .keys()
        .into_iter()
        .map(|key| {
            let entry = value.entry(&key).map(|entry| plain(&entry)).unwrap_or_default();
            format!("{}: {entry}", plain(&key))
        })
        .collect();
    entries.sort();
    format!("{{{}}}", entries.join(", "))
}

/// A text in quotes, with what can't be written plainly as escapes of this language. All else stays as it is.
fn literal(text: &str) -> std::string::String {
    let mut out = std::string::String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A text as Go quotes it.
pub(super) fn quoted(text: &str) -> std::string::String {
    apimachinery::field::quote(text)
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[(
    "strings.quote",
    function("quote", &[String], String, |_, args| {
        args[0]
            .as_str()
            .map(|text| Value::text(literal(text)))
            .ok_or_else(no_such_overload)
    }),
)];
