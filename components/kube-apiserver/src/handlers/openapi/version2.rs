//! The messages of gnostic's `openapi.v2`.

use crate::protobuf::document::Shape::{self, Any, Double, Flag, Integer, Many, One, OneOf, Text, Wrapped};
use crate::protobuf::document::{Message, TEXTS, extensible, map, plain};
use serde_json::Value;

/// The media type that is answered.
pub const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The name that older clients ask for; it cannot be parsed strictly because of its `@`.
pub const OLD_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

const PARAMETERS: Shape = Many(&OneOf(parameter));

pub static DOCUMENT: Message = extensible(
    &[
        ("swagger", 1, Text),
        ("info", 2, One(&INFO)),
        ("host", 3, Text),
        ("basePath", 4, Text),
        ("schemes", 5, TEXTS),
        ("consumes", 6, TEXTS),
        ("produces", 7, TEXTS),
        ("paths", 8, One(&PATHS)),
        ("definitions", 9, One(&SCHEMAS)),
        ("security", 12, Many(&One(&SECURITY_REQUIREMENT))),
        ("securityDefinitions", 13, One(&SECURITY_DEFINITIONS)),
        ("tags", 14, Many(&One(&TAG))),
        ("externalDocs", 15, One(&EXTERNAL_DOCS)),
    ],
    16,
);

static INFO: Message = extensible(
    &[
        ("title", 1, Text),
        ("version", 2, Text),
        ("description", 3, Text),
        ("termsOfService", 4, Text),
    ],
    7,
);

static TAG: Message = extensible(&[("name", 1, Text), ("description", 2, Text)], 4);
static EXTERNAL_DOCS: Message = extensible(&[("description", 1, Text), ("url", 2, Text)], 3);

static PATHS: Message = Message {
    fields: &[],
    rest: Some((2, One(&PATH_ITEM))),
    extensions: Some(1),
};

static PATH_ITEM: Message = extensible(
    &[
        ("$ref", 1, Text),
        ("get", 2, One(&OPERATION)),
        ("put", 3, One(&OPERATION)),
        ("post", 4, One(&OPERATION)),
        ("delete", 5, One(&OPERATION)),
        ("options", 6, One(&OPERATION)),
        ("head", 7, One(&OPERATION)),
        ("patch", 8, One(&OPERATION)),
        ("parameters", 9, PARAMETERS),
    ],
    10,
);

static OPERATION: Message = extensible(
    &[
        ("tags", 1, TEXTS),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("externalDocs", 4, One(&EXTERNAL_DOCS)),
        ("operationId", 5, Text),
        ("produces", 6, TEXTS),
        ("consumes", 7, TEXTS),
        ("parameters", 8, PARAMETERS),
        ("responses", 9, One(&RESPONSES)),
        ("schemes", 10, TEXTS),
        ("deprecated", 11, Flag),
        ("security", 12, Many(&One(&SECURITY_REQUIREMENT))),
    ],
    13,
);

static REFERENCE: Message = plain(&[("$ref", 1, Text), ("description", 2, Text)]);

static BODY: Message = extensible(
    &[
        ("description", 1, Text),
        ("name", 2, Text),
        ("in", 3, Text),
        ("required", 4, Flag),
        ("schema", 5, One(&SCHEMA)),
    ],
    6,
);

/// Parameters in headers and paths.
static PARAMETER: Message = extensible(
    &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("format", 6, Text),
        ("collectionFormat", 8, Text),
        ("default", 9, Any),
        ("maximum", 10, Double),
        ("exclusiveMaximum", 11, Flag),
        ("minimum", 12, Double),
        ("exclusiveMinimum", 13, Flag),
        ("maxLength", 14, Integer),
        ("minLength", 15, Integer),
        ("pattern", 16, Text),
        ("maxItems", 17, Integer),
        ("minItems", 18, Integer),
        ("uniqueItems", 19, Flag),
        ("enum", 20, Many(&Any)),
        ("multipleOf", 21, Double),
    ],
    22,
);

/// Parameters in queries and forms, which may also be given without a value.
static PARAMETER_WITH_EMPTY: Message = extensible(
    &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("allowEmptyValue", 5, Flag),
        ("type", 6, Text),
        ("format", 7, Text),
        ("collectionFormat", 9, Text),
        ("default", 10, Any),
        ("maximum", 11, Double),
        ("exclusiveMaximum", 12, Flag),
        ("minimum", 13, Double),
        ("exclusiveMinimum", 14, Flag),
        ("maxLength", 15, Integer),
        ("minLength", 16, Integer),
        ("pattern", 17, Text),
        ("maxItems", 18, Integer),
        ("minItems", 19, Integer),
        ("uniqueItems", 20, Flag),
        ("enum", 21, Many(&Any)),
        ("multipleOf", 22, Double),
    ],
    23,
);

static RESPONSES: Message = Message {
    fields: &[],
    rest: Some((1, OneOf(response))),
    extensions: Some(2),
};

static RESPONSE: Message = extensible(
    &[
        ("description", 1, Text),
        ("schema", 2, Wrapped(&One(&SCHEMA))),
        ("examples", 4, One(&EXAMPLES)),
    ],
    5,
);

static EXAMPLES: Message = map(1, Any);
static SCHEMAS: Message = map(1, One(&SCHEMA));

static SCHEMA: Message = extensible(
    &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("title", 3, Text),
        ("description", 4, Text),
        ("default", 5, Any),
        ("multipleOf", 6, Double),
        ("maximum", 7, Double),
        ("exclusiveMaximum", 8, Flag),
        ("minimum", 9, Double),
        ("exclusiveMinimum", 10, Flag),
        ("maxLength", 11, Integer),
        ("minLength", 12, Integer),
        ("pattern", 13, Text),
        ("maxItems", 14, Integer),
        ("minItems", 15, Integer),
        ("uniqueItems", 16, Flag),
        ("maxProperties", 17, Integer),
        ("minProperties", 18, Integer),
        ("required", 19, TEXTS),
        ("enum", 20, Many(&Any)),
        ("additionalProperties", 21, OneOf(schema_or_flag)),
        ("type", 22, Wrapped(&Text)),
        ("items", 23, Wrapped(&One(&SCHEMA))),
        ("allOf", 24, Many(&One(&SCHEMA))),
        ("properties", 25, One(&SCHEMAS)),
        ("discriminator", 26, Text),
        ("readOnly", 27, Flag),
        ("externalDocs", 29, One(&EXTERNAL_DOCS)),
        ("example", 30, Any),
    ],
    31,
);

static SECURITY_REQUIREMENT: Message = map(1, Wrapped(&Text));
static SECURITY_DEFINITIONS: Message = map(1, OneOf(security_scheme));

static BASIC: Message = extensible(&[("type", 1, Text), ("description", 2, Text)], 3);

static API_KEY: Message = extensible(
    &[
        ("type", 1, Text),
        ("name", 2, Text),
        ("in", 3, Text),
        ("description", 4, Text),
    ],
    5,
);

fn schema_or_flag(value: &Value) -> Option<(u32, &'static Shape)> {
    Some(if value.is_boolean() {
        (2, &Flag)
    } else {
        (1, const { &One(&SCHEMA) })
    })
}

fn response(value: &Value) -> Option<(u32, &'static Shape)> {
    Some(match value.get("$ref") {
        Some(_) => (2, const { &One(&REFERENCE) }),
        None => (1, const { &One(&RESPONSE) }),
    })
}

fn security_scheme(value: &Value) -> Option<(u32, &'static Shape)> {
    match value["type"].as_str() {
        Some("basic") => Some((1, const { &One(&BASIC) })),
        Some("apiKey") => Some((2, const { &One(&API_KEY) })),
        // No API server describes OAuth flows.
        _ => None,
    }
}

/// A parameter is a reference, a body, or one of four others that differ in their numbers.
fn parameter(value: &Value) -> Option<(u32, &'static Shape)> {
    Some(match value.get("$ref") {
        Some(_) => (2, const { &One(&REFERENCE) }),
        None => (1, const { &OneOf(described_parameter) }),
    })
}

fn described_parameter(value: &Value) -> Option<(u32, &'static Shape)> {
    Some(if value["in"] == "body" {
        (1, const { &One(&BODY) })
    } else {
        (2, const { &OneOf(parameter_outside_body) })
    })
}

fn parameter_outside_body(value: &Value) -> Option<(u32, &'static Shape)> {
    Some(match value["in"].as_str() {
        Some("header") => (1, const { &One(&PARAMETER) }),
        Some("formData") => (2, const { &One(&PARAMETER_WITH_EMPTY) }),
        Some("query") => (3, const { &One(&PARAMETER_WITH_EMPTY) }),
        _ => (4, const { &One(&PARAMETER) }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::document::encode;
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
        let encoded = encode(
            &DOCUMENT,
            &json!({
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
            }),
        );
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
