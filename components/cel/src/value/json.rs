use super::{Text, Value};
use crate::instant::Instant;
use crate::types::{Decl, Shape};
use serde_json::Value as Json;

/// The value of declared JSON. Arrays and objects stay where they are; texts are borrowed.
pub fn from_json<'a>(json: &'a Json, decl: &'a Decl) -> Value<'a> {
    match (json, &decl.shape) {
        (Json::Null, _) => Value::Null,
        (Json::Bool(truth), _) => Value::Bool(*truth),
        (Json::Number(number), Shape::Double) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        (Json::Number(number), Shape::Int) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|number| number as i64))
            .map_or(Value::Null, Value::Int),
        (Json::Number(number), _) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::Uint(number),
            _ => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        (Json::String(text), shape) => from_text(text, shape),
        (Json::Array(_) | Json::Object(_), _) => Value::Json(json, decl),
    }
}

fn from_text<'a>(text: &'a str, shape: &Shape) -> Value<'a> {
    let plain = || Value::String(Text::Borrowed(text));
    match shape {
        Shape::Timestamp => time(text).map_or_else(plain, Value::Timestamp),
        Shape::Duration => crate::time::parse_duration(text).map_or_else(plain, Value::Duration),
        Shape::Bytes => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_or_else(|_| plain(), |bytes| Value::Bytes(bytes.into()))
        }
        _ => plain(),
    }
}

/// A date-time, or a date alone.
fn time(text: &str) -> Option<Instant> {
    if text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10 {
        return Instant::parse(&format!("{text}T00:00:00Z")).ok().flatten();
    }
    match Instant::parse(text) {
        Ok(time) => time,
        // Other forms of a date-time.
        Err(_) => text.parse().ok().map(jiff::Timestamp::into),
    }
}

/// A number without a fraction is written as Go writes it, like an integer.
fn from_double(number: f64) -> Option<Json> {
    // Beyond these not every integer is a double, and Go's texts have exponents further on.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= WHOLE {
        return Some(Json::from(number as i64));
    }
    serde_json::Number::from_f64(number).map(Json::Number)
}

impl Value<'_> {
    /// The value as JSON, as far as it has a JSON form.
    pub fn to_json(&self) -> Option<Json> {
        Some(match self {
            Self::Null => Json::Null,
            Self::Bool(truth) => Json::from(*truth),
            Self::Int(number) => Json::from(*number),
            Self::Uint(number) => Json::from(*number),
            Self::Double(number) => from_double(*number)?,
            Self::String(text) => Json::from(text.as_str()),
            Self::Bytes(bytes) => {
                use base64::Engine;
                Json::from(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            Self::Timestamp(time) => Json::from(time.to_string()),
            Self::Duration(duration) => Json::from(crate::time::format_duration(*duration)),
            Self::List(items) => Json::Array(items.iter().map(Value::to_json).collect::<Option<_>>()?),
            Self::Map(map) => {
                let mut object = serde_json::Map::new();
                for (key, value) in &map.entries {
                    let super::Key::String(key) = key else {
                        return None;
                    };
                    object.insert(key.clone(), value.to_json()?);
                }
                Json::Object(object)
            }
            Self::Json(json, _) => (*json).clone(),
            Self::Optional(Some(value)) => value.to_json()?,
            Self::Optional(None) | Self::Type(_) | Self::Opaque(_) | Self::Lazy(_) => return None,
        })
    }
}
