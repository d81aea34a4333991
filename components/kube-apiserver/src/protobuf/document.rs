//! Documents that are no kinds as protobuf. Tables say which JSON field has which number; what the messages have no
//! field for is left out.

use super::encode::writer;
use serde_json::Value;

/// What a field holds.
pub enum Shape {
    Text,
    Flag,
    Double,
    Integer,
    /// Any value, as text.
    Any,
    One(&'static Message),
    Many(&'static Shape),
    /// One value or several, in field 1 of a message.
    Wrapped(&'static Shape),
    /// A message with one of several fields: which one it is can be seen from the value.
    OneOf(fn(&Value) -> Option<(u32, &'static Shape)>),
}

pub type Fields = &'static [(&'static str, u32, Shape)];

/// A message.
pub struct Message {
    pub fields: Fields,
    /// Keys that are names and not fields, as in maps: each is a message of name and value.
    pub rest: Option<(u32, Shape)>,
    /// Where keys that begin with `x-` go.
    pub extensions: Option<u32>,
}

/// A message of fields and extensions.
pub const fn extensible(fields: Fields, extensions: u32) -> Message {
    Message {
        fields,
        rest: None,
        extensions: Some(extensions),
    }
}

/// A message of names, each with a value.
pub const fn map(number: u32, of: Shape) -> Message {
    Message {
        fields: &[],
        rest: Some((number, of)),
        extensions: None,
    }
}

/// A message of fields alone.
pub const fn plain(fields: Fields) -> Message {
    Message {
        fields,
        rest: None,
        extensions: None,
    }
}

/// Several texts.
pub const TEXTS: Shape = Shape::Many(&Shape::Text);

/// Encodes a document as the message `root`.
pub fn encode(root: &Message, document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, root, document);
    out
}

fn message(out: &mut Vec<u8>, message: &Message, value: &Value) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if let Some((_, number, shape)) = message.fields.iter().find(|(name, ..)| name == key) {
            field(out, *number, shape, value);
        } else if let Some(number) = message.extensions.filter(|_| key.starts_with("x-")) {
            named(out, number, key, &Shape::Any, value);
        } else if let Some((number, shape)) = &message.rest {
            named(out, *number, key, shape, value);
        }
    }
}

/// An entry of a map: its name and its value.
fn named(out: &mut Vec<u8>, number: u32, name: &str, shape: &Shape, value: &Value) {
    nested(out, number, |out| {
        writer::bytes(out, 1, name.as_bytes());
        field(out, 2, shape, value);
    });
}

fn nested(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let Ok(()) = writer::nested(out, number, |out| {
        write(out);
        Ok::<_, std::convert::Infallible>(())
    });
}

fn field(out: &mut Vec<u8>, number: u32, shape: &Shape, value: &Value) {
    match shape {
        Shape::Text => {
            if let Some(text) = value.as_str() {
                writer::bytes(out, number, text.as_bytes());
            }
        }
        Shape::Flag => writer::number(out, number, u64::from(value == &Value::Bool(true))),
        Shape::Double => {
            if let Some(double) = value.as_f64() {
                writer::fixed64(out, number, double.to_bits());
            }
        }
        Shape::Integer => {
            if let Some(integer) = value.as_i64() {
                writer::number(out, number, integer as u64);
            }
        }
        // The text of the value as YAML, which JSON is.
        Shape::Any => nested(out, number, |out| {
            writer::bytes(out, 2, format!("{value}\n").as_bytes());
        }),
        Shape::One(inner) => nested(out, number, |out| message(out, inner, value)),
        Shape::Many(inner) => {
            for item in value.as_array().into_iter().flatten() {
                field(out, number, inner, item);
            }
        }
        Shape::Wrapped(inner) => nested(out, number, |out| match value {
            Value::Array(items) => items.iter().for_each(|item| field(out, 1, inner, item)),
            value => field(out, 1, inner, value),
        }),
        Shape::OneOf(choose) => nested(out, number, |out| {
            if let Some((number, shape)) = choose(value) {
                field(out, number, shape, value);
            }
        }),
    }
}

/// Reads a message back, so that tests can compare what was written with what was meant.
#[cfg(test)]
pub fn decode(message: &Message, bytes: &[u8]) -> Value {
    use super::wire::{Field, Reader};
    use serde_json::Map;

    fn inner(bytes: &[u8], number: u32) -> &[u8] {
        let found = Reader::new(bytes)
            .map(Result::unwrap)
            .find_map(|field| match field {
                (at, Field::Bytes(inner)) if at == number => Some(inner),
                _ => None,
            });
        found.unwrap_or_default()
    }
    fn put(map: &mut Map<String, Value>, name: &str, shape: &Shape, field: Field<'_>) {
        if let (Shape::Many(shape), field) = (shape, field) {
            let list = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            list.as_array_mut().unwrap().push(value(shape, field));
        } else {
            map.insert(name.to_owned(), value(shape, field));
        }
    }
    fn value(shape: &Shape, field: Field<'_>) -> Value {
        match (shape, field) {
            (Shape::Text, Field::Bytes(text)) => std::str::from_utf8(text).unwrap().into(),
            (Shape::Flag, Field::Varint(flag)) => (flag == 1).into(),
            (Shape::Double, Field::Fixed64(bits)) => {
                let double = f64::from_bits(bits);
                if double.fract() == 0.0 {
                    (double as i64).into()
                } else {
                    double.into()
                }
            }
            (Shape::Integer, Field::Varint(integer)) => (integer as i64).into(),
            (Shape::Any, Field::Bytes(bytes)) => serde_json::from_slice(inner(bytes, 2)).unwrap(),
            (Shape::One(message), Field::Bytes(bytes)) => decode(message, bytes),
            (Shape::Wrapped(shape), Field::Bytes(bytes)) => {
                let mut items = Reader::new(bytes).map(|field| value(shape, field.unwrap().1));
                // Texts come as lists, schemas alone.
                match shape {
                    Shape::Text => items.collect(),
                    _ => items.next().unwrap(),
                }
            }
            // What each number stands for is told by the values that lead to it.
            (Shape::OneOf(choose), Field::Bytes(bytes)) => {
                let Some(Ok((number, field))) = Reader::new(bytes).next() else {
                    return Value::Null;
                };
                let kinds = [
                    serde_json::json!({}),
                    serde_json::json!({ "$ref": "" }),
                    true.into(),
                    0.into(),
                    "".into(),
                ];
                let shape = kinds
                    .iter()
                    .filter_map(choose)
                    .find(|(at, _)| *at == number)
                    .unwrap()
                    .1;
                value(shape, field)
            }
            (_, field) => panic!("{field:?}"),
        }
    }

    let mut map = Map::new();
    for field in Reader::new(bytes) {
        let (number, field) = field.unwrap();
        if let Some((name, _, shape)) = message.fields.iter().find(|(_, at, _)| *at == number) {
            put(&mut map, name, shape, field);
            continue;
        }
        let Field::Bytes(entry) = field else {
            panic!("{field:?}")
        };
        let name = std::str::from_utf8(inner(entry, 1)).unwrap();
        let shape = match &message.rest {
            _ if message.extensions == Some(number) => &Shape::Any,
            Some((at, shape)) if *at == number => shape,
            _ => panic!("field {number}"),
        };
        map.insert(
            name.to_owned(),
            value(shape, Reader::new(entry).nth(1).unwrap().unwrap().1),
        );
    }
    Value::Object(map)
}
