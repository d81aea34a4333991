//! Kubernetes' protobuf encoding, in both directions, by a table of field numbers over the kinds' schemas.

mod alternatives;
pub mod document;
pub mod encode;
pub mod envelope;
pub mod former;
mod table;
pub mod wire;

use apimachinery::Type;
use apimachinery::schema::{Schema, SchemaSet};
use apimachinery::time::{self, Moment};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use table::{Entry, Message, TABLE};
use wire::{Field, Reader};

const MAGIC: &[u8] = b"k8s\0";
/// The schema of the answer to what failed, or has no object.
pub const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
/// Deeper nesting is refused; no kind comes near it.
const MAX_DEPTH: usize = 64;

/// The bytes are not what they say they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoPrefix,
    #[error("malformed protobuf message")]
    Malformed,
    #[error("no schema for {0}")]
    UnknownKind(String),
    #[error("cannot be encoded as protobuf: {0}")]
    Unencodable(String),
}

/// An object in its envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: String,
    pub kind: String,
    pub raw: &'a [u8],
}

/// Opens the envelope of a stored or sent object.
pub fn open(bytes: &[u8]) -> Result<Envelope<'_>, ProtobufError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(ProtobufError::NoPrefix)?;
    let mut envelope = Envelope::default();
    for field in Reader::new(body) {
        match field? {
            (1, Field::Bytes(meta)) => {
                for field in Reader::new(meta) {
                    match field? {
                        (1, Field::Bytes(text)) => envelope.api_version = utf8(text)?,
                        (2, Field::Bytes(text)) => envelope.kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Field::Bytes(raw)) => envelope.raw = raw,
            _ => {}
        }
    }
    Ok(envelope)
}

/// Decodes the message of a schema; kind and apiVersion are not part of it.
pub fn decode(set: &SchemaSet, schema: &str, raw: &[u8]) -> Result<Value, ProtobufError> {
    let unknown = || ProtobufError::UnknownKind(schema.to_owned());
    let message = TABLE.get(schema).ok_or_else(unknown)?;
    let schema = set.by_name(schema).ok_or_else(unknown)?;
    let mut map = Map::new();
    structure(set, message, schema, raw, &mut map, 0)?;
    Ok(Value::Object(map))
}

/// The allocation bitmap that upstream keeps outside any resource.
pub fn decode_range_allocation(bytes: &[u8]) -> Option<Value> {
    let envelope = open(bytes).ok()?;
    let mut value = json!({ "kind": "RangeAllocation", "apiVersion": "v1" });
    for field in Reader::new(envelope.raw) {
        match field.ok()? {
            (2, Field::Bytes(range)) => value["range"] = json!(utf8(range).ok()?),
            (3, Field::Bytes(data)) => value["data"] = json!(STANDARD.encode(data)),
            _ => {}
        }
    }
    Some(value)
}

fn utf8(bytes: &[u8]) -> Result<String, ProtobufError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtobufError::Malformed)
}

fn structure(
    set: &SchemaSet,
    message: &Message,
    schema: &Schema,
    raw: &[u8],
    map: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    if depth > MAX_DEPTH {
        return Err(ProtobufError::Malformed);
    }
    for field in Reader::new(raw) {
        let (number, field) = field?;
        match message.get(&number) {
            // A field of a newer version: dropped, as upstream drops it.
            None => {}
            Some(Entry::Inline(inner)) => {
                let Field::Bytes(bytes) = field else {
                    return Err(ProtobufError::Malformed);
                };
                structure(set, inner, schema, bytes, map, depth + 1)?;
            }
            Some(Entry::Named(name)) => {
                let Some(declared) = schema.field(name) else {
                    continue;
                };
                match (alternatives::of(schema, name), field) {
                    (Some(form), Field::Bytes(bytes)) => {
                        alternatives::put(set, schema, form, name, bytes, map, depth + 1)?
                    }
                    (_, field) => put(set, &declared.ty, name, field, map, depth)?,
                }
            }
        }
    }
    Ok(())
}

fn put(
    set: &SchemaSet,
    ty: &Type,
    name: &str,
    field: Field<'_>,
    map: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    match ty {
        Type::List(inner, _) => {
            let list = map.entry(name).or_insert_with(|| json!([]));
            let Some(items) = list.as_array_mut() else {
                return Err(ProtobufError::Malformed);
            };
            match (field, &**inner) {
                // Numbers may come packed.
                (Field::Bytes(packed), Type::Int32 | Type::Int64 | Type::Bool) => {
                    for number in wire::packed(packed) {
                        items.push(scalar(set, inner, Field::Varint(number?), depth)?);
                    }
                }
                (field, inner) => items.push(scalar(set, inner, field, depth)?),
            }
        }
        Type::Map(inner, _) => {
            let Field::Bytes(bytes) = field else {
                return Err(ProtobufError::Malformed);
            };
            let (key, value) = entry(set, inner, bytes, depth)?;
            let object = map.entry(name).or_insert_with(|| json!({}));
            if let Some(object) = object.as_object_mut() {
                object.insert(key, value);
            }
        }
        _ => {
            let value = scalar(set, ty, field, depth)?;
            map.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

fn entry(set: &SchemaSet, ty: &Type, bytes: &[u8], depth: usize) -> Result<(String, Value), ProtobufError> {
    let (mut key, mut value) = (String::new(), None);
    for field in Reader::new(bytes) {
        match field? {
            (1, Field::Bytes(text)) => key = utf8(text)?,
            (2, field) => {
                value = Some(match (ty, field) {
                    // A list as value is a message with the items in field 1.
                    (Type::List(inner, _), Field::Bytes(list)) => {
                        let mut items = Vec::new();
                        for item in Reader::new(list) {
                            if let (1, item) = item? {
                                items.push(scalar(set, inner, item, depth + 1)?);
                            }
                        }
                        Value::Array(items)
                    }
                    (_, field) => scalar(set, ty, field, depth + 1)?,
                });
            }
            _ => {}
        }
    }
    let empty = || match ty {
        Type::String | Type::Bytes => json!(""),
        Type::List(..) => json!([]),
        Type::Struct(_) => json!({}),
        Type::Bool => json!(false),
        _ => json!(0),
    };
    Ok((key, value.unwrap_or_else(empty)))
}

fn scalar(set: &SchemaSet, ty: &Type, field: Field<'_>, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match (ty, field) {
        (Type::String, Field::Bytes(bytes)) => json!(utf8(bytes)?),
        (Type::Bytes, Field::Bytes(bytes)) => json!(STANDARD.encode(bytes)),
        (Type::Bool, Field::Varint(number)) => json!(number != 0),
        (Type::Int32, Field::Varint(number)) => json!(number as i32),
        (Type::Int64, Field::Varint(number)) => json!(number as i64),
        (Type::Double, Field::Fixed64(bits)) => double(f64::from_bits(bits)),
        (Type::Struct(id), Field::Bytes(bytes)) => {
            let schema = set.get(*id);
            let message = TABLE
                .get(schema.name.as_str())
                .ok_or_else(|| ProtobufError::UnknownKind(schema.name.clone()))?;
            let mut map = Map::new();
            structure(set, message, schema, bytes, &mut map, depth + 1)?;
            Value::Object(map)
        }
        (Type::Time, Field::Bytes(bytes)) => {
            instant(bytes)?.map_or(Value::Null, |time| json!(time::format_time(time)))
        }
        (Type::MicroTime, Field::Bytes(bytes)) => {
            instant(bytes)?.map_or(Value::Null, |time| json!(time::format_micro_time(time)))
        }
        (Type::Duration, Field::Bytes(bytes)) => {
            let nanoseconds = number(bytes, 1)?;
            json!(format!("{}s", nanoseconds as f64 / 1e9))
        }
        (Type::Quantity, Field::Bytes(bytes)) => json!(text(bytes, 1)?),
        (Type::IntOrString, Field::Bytes(bytes)) => {
            if number(bytes, 1)? == 1 {
                json!(text(bytes, 3)?)
            } else {
                json!(number(bytes, 2)? as i32)
            }
        }
        (Type::Any, Field::Bytes(bytes)) => {
            let raw = bytes_of(bytes, 1)?;
            if raw.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(raw).map_err(|_| ProtobufError::Malformed)?
            }
        }
        _ => return Err(ProtobufError::Malformed),
    })
}

/// Go writes whole numbers without a fraction.
fn double(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        json!(number as i64)
    } else {
        json!(number)
    }
}

fn instant(bytes: &[u8]) -> Result<Option<Moment>, ProtobufError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let nanoseconds = i32::try_from(number(bytes, 2)?).map_err(|_| ProtobufError::Malformed)?;
    let moment = Moment::from_unix(number(bytes, 1)?, nanoseconds);
    moment.map(Some).ok_or(ProtobufError::Malformed)
}

fn number(bytes: &[u8], wanted: u32) -> Result<i64, ProtobufError> {
    let mut found = 0;
    for field in Reader::new(bytes) {
        if let (tag, Field::Varint(value)) = field?
            && tag == wanted
        {
            found = value as i64;
        }
    }
    Ok(found)
}

fn bytes_of(bytes: &[u8], wanted: u32) -> Result<&[u8], ProtobufError> {
    let mut found: &[u8] = &[];
    for field in Reader::new(bytes) {
        if let (tag, Field::Bytes(value)) = field?
            && tag == wanted
        {
            found = value;
        }
    }
    Ok(found)
}

fn text(bytes: &[u8], wanted: u32) -> Result<String, ProtobufError> {
    utf8(bytes_of(bytes, wanted)?)
}

#[cfg(test)]
mod tests;
