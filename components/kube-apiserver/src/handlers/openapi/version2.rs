//! The version 2 document as protobuf, in the messages of gnostic's `openapi.v2`, which kubectl asks for.

mod messages;

use crate::protobuf::encode::writer;
use messages::{
    API_KEY, BASIC, BODY, DOCUMENT, Message, PARAMETER, PARAMETER_WITH_EMPTY, REFERENCE, RESPONSE, SCHEMA,
    Shape,
};
use serde_json::Value;

/// The media type that is answered.
pub const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The name that older clients ask for; it cannot be parsed strictly because of its `@`.
pub const OLD_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// Encodes a document. What the messages have no field for is left out.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 * 1024 * 1024);
    message(&mut out, &DOCUMENT, document);
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
        Shape::SchemaOrFlag => nested(out, number, |out| match value {
            Value::Bool(_) => field(out, 2, &Shape::Flag, value),
            value => field(out, 1, &Shape::One(&SCHEMA), value),
        }),
        Shape::Parameter => nested(out, number, |out| parameter(out, value)),
        Shape::ResponseValue => nested(out, number, |out| match value.get("$ref") {
            Some(_) => field(out, 2, &Shape::One(&REFERENCE), value),
            None => field(out, 1, &Shape::One(&RESPONSE), value),
        }),
        Shape::SecurityScheme => nested(out, number, |out| match value["type"].as_str() {
            Some("basic") => field(out, 1, &Shape::One(&BASIC), value),
            Some("apiKey") => field(out, 2, &Shape::One(&API_KEY), value),
            // No API server describes OAuth flows.
            _ => {}
        }),
    }
}

/// A parameter is a reference, a body, or one of four others that differ in their numbers.
fn parameter(out: &mut Vec<u8>, value: &Value) {
    if value.get("$ref").is_some() {
        return field(out, 2, &Shape::One(&REFERENCE), value);
    }
    let place = match value["in"].as_str() {
        Some("body") => {
            return nested(out, 1, |out| field(out, 1, &Shape::One(&BODY), value));
        }
        Some("header") => 1,
        Some("formData") => 2,
        Some("query") => 3,
        _ => 4,
    };
    let shape = match place {
        2 | 3 => Shape::One(&PARAMETER_WITH_EMPTY),
        _ => Shape::One(&PARAMETER),
    };
    nested(out, 1, |out| {
        nested(out, 2, |out| field(out, place, &shape, value))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::wire::{Field, Reader};
    use serde_json::json;

    /// Field `path` of nested messages, the first occurrence of each.
    fn at<'a>(mut bytes: &'a [u8], path: &[u32]) -> Option<&'a [u8]> {
        for number in path {
            bytes = Reader::new(bytes).find_map(|field| match field {
                Ok((found, Field::Bytes(inner))) if found == *number => Some(inner),
                _ => None,
            })?;
        }
        Some(bytes)
    }

    #[test]
    fn each_part_has_its_place() {
        let encoded = encode(&json!({
            "swagger": "2.0",
            "info": { "title": "Kubernetes", "version": "v1" },
            "paths": { "/api": { "get": {
                "operationId": "get",
                "parameters": [
                    { "in": "query", "name": "limit", "type": "integer", "uniqueItems": true },
                    { "in": "body", "name": "body", "schema": { "$ref": "#/definitions/A" } }
                ],
                "responses": { "200": { "description": "OK", "schema": { "type": "string" } } },
                "x-kubernetes-action": "get"
            } } },
            "definitions": { "A": {
                "type": "object",
                "properties": { "b": { "type": "array", "items": { "type": "string" } } },
                "x-kubernetes-group-version-kind": [{ "group": "", "kind": "A", "version": "v1" }]
            } },
            "securityDefinitions": { "BearerToken": { "type": "apiKey", "in": "header", "name": "authorization" } }
        }));
        for (path, expected) in [
            (&[1][..], "2.0"),
            (&[2, 1], "Kubernetes"),
            (&[8, 2, 1], "/api"),
            // path item, get, operationId
            (&[8, 2, 2, 2, 5], "get"),
            // parameters, parameter, not a body, query, name
            (&[8, 2, 2, 2, 8, 1, 2, 3, 4], "limit"),
            // responses, code: its name, then response, description
            (&[8, 2, 2, 2, 9, 1, 1], "200"),
            (&[8, 2, 2, 2, 9, 1, 2, 1, 1], "OK"),
            (&[8, 2, 2, 2, 9, 1, 2, 1, 2, 1, 22, 1], "string"),
            (&[8, 2, 2, 2, 13, 2, 2], "\"get\"\n"),
            (&[9, 1, 1], "A"),
            (&[9, 1, 2, 22, 1], "object"),
            // properties, named, schema, items, schema, type
            (&[9, 1, 2, 25, 1, 1], "b"),
            (&[9, 1, 2, 25, 1, 2, 23, 1, 22, 1], "string"),
            (&[9, 1, 2, 31, 1], "x-kubernetes-group-version-kind"),
            (&[13, 1, 2, 2, 2], "authorization"),
        ] {
            let found = at(&encoded, path).map(String::from_utf8_lossy);
            assert_eq!(found.as_deref(), Some(expected), "{path:?}");
        }
    }
}
