use crate::quantity::{self, Precision};
use crate::schema::Type;
use crate::time;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::borrow::Cow;

/// Why a scalar doesn't fit.
pub(super) enum Wrong {
    /// What was found and the type that was wanted; decoding goes on.
    Type(String, &'static str),
    /// The same from a type's own decoder; decoding stops.
    Inner(String, &'static str),
    /// A text that a type's own decoder refuses; decoding stops.
    Text(String),
}

/// Go's noun for a kind of JSON value.
pub fn noun(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong(value: &Value, name: &'static str) -> Wrong {
    Wrong::Type(noun(value).to_owned(), name)
}

/// Fits one value that is neither struct, list nor map. A quantity that is finer than `precision` is rounded.
pub(super) fn fit(ty: &Type, value: &mut Value, precision: Precision) -> Result<(), Wrong> {
    if value.is_null() {
        return Ok(());
    }
    match ty {
        Type::String => {
            if value.is_string() {
                Ok(())
            } else {
                Err(wrong(value, "string"))
            }
        }
        Type::Bool => {
            if value.is_boolean() {
                Ok(())
            } else {
                Err(wrong(value, "bool"))
            }
        }
        Type::Int32 => integer(value, i64::from(i32::MIN)..=i64::from(i32::MAX), "int32"),
        Type::Int64 => integer(value, i64::MIN..=i64::MAX, "int64"),
        Type::Double => {
            if value.is_number() {
                Ok(())
            } else {
                Err(wrong(value, "float64"))
            }
        }
        Type::Bytes => bytes(value),
        Type::Time => timestamp(value, |text| time::parse_time(text).map(time::format_time)),
        Type::MicroTime => timestamp(value, |text| {
            time::parse_micro_time(text).map(time::format_micro_time)
        }),
        Type::Duration => {
            text(value).and_then(|text| time::parse_duration(text).map(|_| ()).map_err(Wrong::Text))
        }
        Type::Quantity => quantity(value, precision),
        Type::IntOrString if value.is_string() => Ok(()),
        Type::IntOrString => match integer(value, i64::from(i32::MIN)..=i64::from(i32::MAX), "int32") {
            Err(Wrong::Type(what, name)) => Err(Wrong::Inner(what, name)),
            other => other,
        },
        Type::Any | Type::Deduced | Type::Struct(_) | Type::List(..) | Type::Map(..) => Ok(()),
    }
}

fn integer(value: &mut Value, range: std::ops::RangeInclusive<i64>, name: &'static str) -> Result<(), Wrong> {
    let Value::Number(number) = &*value else {
        return Err(wrong(value, name));
    };
    match number.as_i64() {
        Some(whole) if range.contains(&whole) => Ok(()),
        _ => Err(Wrong::Type(format!("number {}", go_number(number)), name)),
    }
}

fn go_number(number: &serde_json::Number) -> String {
    number.to_string()
}

fn text(value: &Value) -> Result<&str, Wrong> {
    value.as_str().ok_or_else(|| {
        Wrong::Text(format!(
            "json: cannot unmarshal {} into Go value of type string",
            noun(value)
        ))
    })
}

fn timestamp(value: &mut Value, canonical: impl Fn(&str) -> Result<String, String>) -> Result<(), Wrong> {
    let Some(given) = value.as_str() else {
        return Err(Wrong::Inner(noun(value).to_owned(), "string"));
    };
    let written = canonical(given).map_err(Wrong::Text)?;
    if written != given {
        *value = Value::from(written);
    }
    Ok(())
}

/// Whether a text is a quantity as it is written out: a small number that its suffix suits.
fn is_canonical_quantity(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let Some(number) = (1..=4)
        .contains(&digits)
        .then(|| number.parse::<u32>().ok())
        .flatten()
    else {
        return false;
    };
    let step = match suffix {
        "" | "m" | "k" | "M" | "G" | "T" => 1000,
        "Ki" | "Mi" | "Gi" | "Ti" => 1024,
        _ => return false,
    };
    !text.starts_with('0') && number % step != 0
}

fn quantity(value: &mut Value, precision: Precision) -> Result<(), Wrong> {
    if value.as_str().is_some_and(is_canonical_quantity) {
        return Ok(());
    }
    let given = match &*value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        other => Cow::Owned(other.to_string()),
    };
    let written =
        quantity::canonical(given.trim(), precision).map_err(|error| Wrong::Text(error.to_string()))?;
    if value.as_str() != Some(&written) {
        *value = Value::from(written.into_owned());
    }
    Ok(())
}

fn bytes(value: &mut Value) -> Result<(), Wrong> {
    let Some(given) = value.as_str() else {
        return Err(wrong(value, "[]uint8"));
    };
    let plain: String = given.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    match STANDARD.decode(&plain) {
        Ok(decoded) => {
            *value = Value::from(STANDARD.encode(decoded));
            Ok(())
        }
        Err(_) => Err(Wrong::Text(format!(
            "illegal base64 data at input byte {}",
            corrupt_at(given)
        ))),
    }
}

/// The byte at which Go's base64 decoder gives up.
fn corrupt_at(text: &str) -> usize {
    let symbol = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let bytes: Vec<(usize, u8)> = text
        .bytes()
        .enumerate()
        .filter(|(_, byte)| !matches!(byte, b'\n' | b'\r'))
        .collect();
    for quantum in bytes.chunks(4) {
        for (place, (at, byte)) in quantum.iter().enumerate() {
            if symbol(*byte) {
                continue;
            }
            if *byte == b'=' && place >= 2 {
                match quantum.get(place + 1) {
                    None if place == 3 => {
                        let after = bytes.iter().find(|(index, _)| index > at);
                        return after.map_or(text.len(), |(index, _)| *index);
                    }
                    None => return text.len(),
                    Some((_, b'=')) if place == 2 => {
                        let after = bytes.iter().find(|(index, _)| *index > at + 1);
                        return after.map_or(text.len(), |(index, _)| *index);
                    }
                    Some((next, _)) => return *next,
                }
            }
            return *at;
        }
        if quantum.len() < 4 {
            return quantum[0].0;
        }
    }
    text.len()
}

/// Go's name for the type of a value that was decoded without types.
pub(super) fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

/// Why an untyped value can't become a scalar of this type.
pub(super) fn conversion_error(ty: &Type, name: &str, value: &Value) -> String {
    match (ty, value) {
        (Type::Bytes, Value::String(text)) => {
            format!(
                "error decoding from json: illegal base64 data at input byte {}",
                corrupt_at(text)
            )
        }
        (Type::Bytes, _) => format!("cannot restore slice from {}", go_kind(value)),
        (Type::String, Value::Number(_)) | (Type::Int32 | Type::Int64, Value::Number(_)) => {
            format!("cannot convert {} to {name}", go_kind(value))
        }
        (Type::String, _) => "unrecognized type: string".into(),
        (Type::Bool, _) => "unrecognized type: bool".into(),
        (Type::Int32, _) => "unrecognized type: int32".into(),
        (Type::Int64, _) => "unrecognized type: int64".into(),
        _ => "unrecognized type: float64".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn canonical_quantities_are_written_as_they_are(text in "[0-9]{1,5}(m|k|M|G|T|Ki|Mi|Gi|Ti)?") {
            if is_canonical_quantity(&text) {
                let written = text.parse::<crate::Quantity>().unwrap().to_string();
                prop_assert_eq!(written, text);
            }
        }
    }
}
