//! Fields of JSON schemas that hold either a schema or something else, for which JSON has no message.

use super::table::TABLE;
use super::wire::{Field, Reader};
use super::{ProtobufError, structure, utf8};
use apimachinery::schema::{Schema, SchemaSet};
use serde_json::{Map, Value, json};

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
