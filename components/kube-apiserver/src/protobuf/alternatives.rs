//! Fields of JSON schemas that hold either a schema or something else, for which JSON has no message.

use super::encode::{self, writer};
use super::table::TABLE;
use super::wire::{Field, Reader};
use super::{ProtobufError, structure, utf8};
use apimachinery::schema::{Schema, SchemaSet};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// What a field may hold besides a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A list of schemas.
    Array,
    Bool,
    /// A map to a schema or a list of names.
    Names,
}

/// The form of a field, if it is one of these.
pub fn of(schema: &Schema, field: &str) -> Option<Form> {
    match (schema.short.as_str(), field) {
        ("JSONSchemaProps", "items") => Some(Form::Array),
        ("JSONSchemaProps", "additionalProperties" | "additionalItems") => Some(Form::Bool),
        ("JSONSchemaProps", "dependencies") => Some(Form::Names),
        _ => None,
    }
}

/// Decodes the field into `map`.
pub fn put(
    set: &SchemaSet,
    schema: &Schema,
    form: Form,
    name: &str,
    bytes: &[u8],
    map: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    if form != Form::Names {
        map.insert(name.to_owned(), either(set, schema, form, bytes, depth)?);
        return Ok(());
    }
    let (mut key, mut value) = (String::new(), Value::Null);
    for field in Reader::new(bytes) {
        match field? {
            (1, Field::Bytes(text)) => key = utf8(text)?,
            (2, Field::Bytes(inner)) => value = either(set, schema, form, inner, depth)?,
            _ => {}
        }
    }
    if let Some(object) = map.entry(name).or_insert_with(|| json!({})).as_object_mut() {
        object.insert(key, value);
    }
    Ok(())
}

/// Encodes the field's JSON text as field `number`.
pub fn write(
    set: &SchemaSet,
    schema: &Schema,
    form: Form,
    json: &str,
    out: &mut Vec<u8>,
    number: u32,
    depth: usize,
) -> Result<(), ProtobufError> {
    if form != Form::Names {
        return write_either(set, schema, form, json, out, number, depth);
    }
    let entries: HashMap<String, &RawValue> = parsed(json)?;
    for (key, value) in entries {
        writer::nested(out, number, |out| {
            writer::bytes(out, 1, key.as_bytes());
            write_either(set, schema, form, value.get(), out, 2, depth)
        })?;
    }
    Ok(())
}

fn parsed<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, ProtobufError> {
    serde_json::from_str(json).map_err(|error| ProtobufError::Unencodable(error.to_string()))
}

fn write_either(
    set: &SchemaSet,
    schema: &Schema,
    form: Form,
    json: &str,
    out: &mut Vec<u8>,
    number: u32,
    depth: usize,
) -> Result<(), ProtobufError> {
    let schema_as = |out: &mut Vec<u8>, number: u32, json: &str| {
        writer::nested(out, number, |out| {
            encode::append(set, &schema.name, json.as_bytes(), out, depth)
        })
    };
    writer::nested(out, number, |out| match (form, json.as_bytes().first()) {
        (Form::Bool, Some(b'{')) => {
            writer::number(out, 1, 1);
            schema_as(out, 2, json)
        }
        (Form::Bool, _) => {
            writer::number(out, 1, u64::from(json == "true"));
            Ok(())
        }
        (_, Some(b'{')) => schema_as(out, 1, json),
        (Form::Names, _) => {
            for name in parsed::<Vec<String>>(json)? {
                writer::bytes(out, 2, name.as_bytes());
            }
            Ok(())
        }
        _ => {
            for item in parsed::<Vec<&RawValue>>(json)? {
                schema_as(out, 2, item.get())?;
            }
            Ok(())
        }
    })
}

fn either(
    set: &SchemaSet,
    schema: &Schema,
    form: Form,
    bytes: &[u8],
    depth: usize,
) -> Result<Value, ProtobufError> {
    let message = TABLE
        .get(schema.name.as_str())
        .ok_or_else(|| ProtobufError::UnknownKind(schema.name.clone()))?;
    let one = |raw: &[u8]| -> Result<Value, ProtobufError> {
        let mut map = Map::new();
        structure(set, message, schema, raw, &mut map, depth + 1)?;
        let mut value = Value::Object(map);
        // The field's type is opaque to the schema, so nothing else drops the zero values in here.
        if let Some(id) = set.id(&schema.name) {
            apimachinery::decode::fit(set, id, &mut value).map_err(|_| ProtobufError::Malformed)?;
        }
        Ok(value)
    };
    let (mut single, mut many, mut flag) = (None, Vec::new(), false);
    for field in Reader::new(bytes) {
        match (form, field?) {
            (Form::Array | Form::Names, (1, Field::Bytes(raw))) | (Form::Bool, (2, Field::Bytes(raw))) => {
                single = Some(one(raw)?)
            }
            (Form::Array, (2, Field::Bytes(raw))) => many.push(one(raw)?),
            (Form::Names, (2, Field::Bytes(text))) => many.push(json!(utf8(text)?)),
            (Form::Bool, (1, Field::Varint(set))) => flag = set != 0,
            _ => {}
        }
    }
    Ok(match (single, form) {
        (Some(schema), _) => schema,
        (None, Form::Bool) => json!(flag),
        (None, _) => Value::Array(many),
    })
}
