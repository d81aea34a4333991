//! The messages of gnostic's `openapi.v3`.

use crate::protobuf::document::Shape::{self, Any, Double, Flag, Integer, Many, One, OneOf, Text, Wrapped};
use crate::protobuf::document::{Message, TEXTS, extensible, map, plain};
use serde_json::Value;

/// The media type that is answered.
pub const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
/// The name that older clients ask for; it cannot be parsed strictly because of its `@`.
pub const OLD_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";

const SCHEMA_OR_REFERENCE: Shape = OneOf(schema_or_reference);
const PARAMETERS: Shape = Many(&OneOf(parameter_or_reference));
const REFERENCE_SHAPE: Shape = One(&REFERENCE);

pub static DOCUMENT: Message = extensible(
    &[
        ("openapi", 1, Text),
        ("info", 2, One(&INFO)),
        ("servers", 3, SERVERS),
        ("paths", 4, One(&PATHS)),
        ("components", 5, One(&COMPONENTS)),
        ("security", 6, Many(&One(&SECURITY_REQUIREMENT))),
        ("tags", 7, Many(&One(&TAG))),
        ("externalDocs", 8, One(&EXTERNAL_DOCS)),
    ],
    9,
);

static INFO: Message = extensible(
    &[
        ("title", 1, Text),
        ("description", 2, Text),
        ("termsOfService", 3, Text),
        ("contact", 4, One(&CONTACT)),
        ("license", 5, One(&LICENSE)),
        ("version", 6, Text),
        ("summary", 8, Text),
    ],
    7,
);

static CONTACT: Message = extensible(&[("name", 1, Text), ("url", 2, Text), ("email", 3, Text)], 4);
static LICENSE: Message = extensible(&[("name", 1, Text), ("url", 2, Text)], 3);

const SERVERS: Shape = Many(&One(&SERVER));
static SERVER: Message = extensible(
    &[
        ("url", 1, Text),
        ("description", 2, Text),
        ("variables", 3, One(&SERVER_VARIABLES)),
    ],
    4,
);
static SERVER_VARIABLES: Message = map(1, One(&SERVER_VARIABLE));
static SERVER_VARIABLE: Message = extensible(
    &[("enum", 1, TEXTS), ("default", 2, Text), ("description", 3, Text)],
    4,
);

static TAG: Message = extensible(
    &[
        ("name", 1, Text),
        ("description", 2, Text),
        ("externalDocs", 3, One(&EXTERNAL_DOCS)),
    ],
    4,
);
static EXTERNAL_DOCS: Message = extensible(&[("description", 1, Text), ("url", 2, Text)], 3);

static COMPONENTS: Message = extensible(
    &[
        ("schemas", 1, One(&SCHEMAS)),
        ("responses", 2, One(&RESPONSE_MAP)),
        ("parameters", 3, One(&PARAMETER_MAP)),
        ("examples", 4, One(&EXAMPLES)),
        ("requestBodies", 5, One(&REQUEST_BODIES)),
        ("headers", 6, One(&HEADERS)),
        ("securitySchemes", 7, One(&SECURITY_SCHEMES)),
    ],
    10,
);

static PATHS: Message = Message {
    fields: &[],
    rest: Some((1, One(&PATH_ITEM))),
    extensions: Some(2),
};

static PATH_ITEM: Message = extensible(
    &[
        ("$ref", 1, Text),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("get", 4, One(&OPERATION)),
        ("put", 5, One(&OPERATION)),
        ("post", 6, One(&OPERATION)),
        ("delete", 7, One(&OPERATION)),
        ("options", 8, One(&OPERATION)),
        ("head", 9, One(&OPERATION)),
        ("patch", 10, One(&OPERATION)),
        ("trace", 11, One(&OPERATION)),
        ("servers", 12, SERVERS),
        ("parameters", 13, PARAMETERS),
    ],
    14,
);

static OPERATION: Message = extensible(
    &[
        ("tags", 1, TEXTS),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("externalDocs", 4, One(&EXTERNAL_DOCS)),
        ("operationId", 5, Text),
        ("parameters", 6, PARAMETERS),
        ("requestBody", 7, OneOf(request_body_or_reference)),
        ("responses", 8, One(&RESPONSES)),
        ("deprecated", 10, Flag),
        ("security", 11, Many(&One(&SECURITY_REQUIREMENT))),
        ("servers", 12, SERVERS),
    ],
    13,
);

static REFERENCE: Message = plain(&[("$ref", 1, Text), ("summary", 2, Text), ("description", 3, Text)]);

static PARAMETER: Message = extensible(
    &[
        ("name", 1, Text),
        ("in", 2, Text),
        ("description", 3, Text),
        ("required", 4, Flag),
        ("deprecated", 5, Flag),
        ("allowEmptyValue", 6, Flag),
        ("style", 7, Text),
        ("explode", 8, Flag),
        ("allowReserved", 9, Flag),
        ("schema", 10, SCHEMA_OR_REFERENCE),
        ("example", 11, Any),
        ("examples", 12, One(&EXAMPLES)),
        ("content", 13, One(&MEDIA_TYPES)),
    ],
    14,
);
static PARAMETER_MAP: Message = map(1, OneOf(parameter_or_reference));

static HEADER: Message = extensible(
    &[
        ("description", 1, Text),
        ("required", 2, Flag),
        ("deprecated", 3, Flag),
        ("allowEmptyValue", 4, Flag),
        ("style", 5, Text),
        ("explode", 6, Flag),
        ("allowReserved", 7, Flag),
        ("schema", 8, SCHEMA_OR_REFERENCE),
        ("example", 9, Any),
        ("examples", 10, One(&EXAMPLES)),
        ("content", 11, One(&MEDIA_TYPES)),
    ],
    12,
);
static HEADERS: Message = map(1, OneOf(header_or_reference));

static REQUEST_BODY: Message = extensible(
    &[
        ("description", 1, Text),
        ("content", 2, One(&MEDIA_TYPES)),
        ("required", 3, Flag),
    ],
    4,
);
static REQUEST_BODIES: Message = map(1, OneOf(request_body_or_reference));

static RESPONSES: Message = Message {
    fields: &[("default", 1, OneOf(response_or_reference))],
    rest: Some((2, OneOf(response_or_reference))),
    extensions: Some(3),
};
static RESPONSE_MAP: Message = map(1, OneOf(response_or_reference));

static RESPONSE: Message = extensible(
    &[
        ("description", 1, Text),
        ("headers", 2, One(&HEADERS)),
        ("content", 3, One(&MEDIA_TYPES)),
    ],
    5,
);

static MEDIA_TYPES: Message = map(1, One(&MEDIA));
static MEDIA: Message = extensible(
    &[
        ("schema", 1, SCHEMA_OR_REFERENCE),
        ("example", 2, Any),
        ("examples", 3, One(&EXAMPLES)),
        ("encoding", 4, One(&ENCODINGS)),
    ],
    5,
);

static ENCODINGS: Message = map(1, One(&ENCODING));
static ENCODING: Message = extensible(
    &[
        ("contentType", 1, Text),
        ("headers", 2, One(&HEADERS)),
        ("style", 3, Text),
        ("explode", 4, Flag),
        ("allowReserved", 5, Flag),
    ],
    6,
);

static EXAMPLES: Message = map(1, OneOf(example_or_reference));
static EXAMPLE: Message = extensible(
    &[
        ("summary", 1, Text),
        ("description", 2, Text),
        ("value", 3, Any),
        ("externalValue", 4, Text),
    ],
    5,
);

static SCHEMAS: Message = map(1, SCHEMA_OR_REFERENCE);

static SCHEMA: Message = extensible(
    &[
        ("nullable", 1, Flag),
        ("discriminator", 2, One(&DISCRIMINATOR)),
        ("readOnly", 3, Flag),
        ("writeOnly", 4, Flag),
        ("externalDocs", 6, One(&EXTERNAL_DOCS)),
        ("example", 7, Any),
        ("deprecated", 8, Flag),
        ("title", 9, Text),
        ("multipleOf", 10, Double),
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
        ("maxProperties", 21, Integer),
        ("minProperties", 22, Integer),
        ("required", 23, TEXTS),
        ("enum", 24, Many(&Any)),
        ("type", 25, Text),
        ("allOf", 26, Many(&SCHEMA_OR_REFERENCE)),
        ("oneOf", 27, Many(&SCHEMA_OR_REFERENCE)),
        ("anyOf", 28, Many(&SCHEMA_OR_REFERENCE)),
        ("not", 29, One(&SCHEMA)),
        ("items", 30, Wrapped(&SCHEMA_OR_REFERENCE)),
        ("properties", 31, One(&SCHEMAS)),
        ("additionalProperties", 32, OneOf(schema_or_flag)),
        ("default", 33, OneOf(default)),
        ("description", 34, Text),
        ("format", 35, Text),
    ],
    36,
);

static DISCRIMINATOR: Message = extensible(&[("propertyName", 1, Text), ("mapping", 2, One(&STRINGS))], 3);
static STRINGS: Message = map(1, Text);

static SECURITY_REQUIREMENT: Message = map(1, Wrapped(&Text));
static SECURITY_SCHEMES: Message = map(1, OneOf(security_scheme_or_reference));
static SECURITY_SCHEME: Message = extensible(
    &[
        ("type", 1, Text),
        ("description", 2, Text),
        ("name", 3, Text),
        ("in", 4, Text),
        ("scheme", 5, Text),
        ("bearerFormat", 6, Text),
        ("openIdConnectUrl", 8, Text),
    ],
    9,
);

/// The thing itself is field 1, a reference to it field 2.
fn or_reference(value: &Value, thing: &'static Shape) -> Option<(u32, &'static Shape)> {
    Some(match value.get("$ref") {
        Some(_) => (2, const { &REFERENCE_SHAPE }),
        None => (1, thing),
    })
}

fn schema_or_reference(value: &Value) -> Option<(u32, &'static Shape)> {
    or_reference(value, const { &One(&SCHEMA) })
}

fn parameter_or_reference(value: &Value) -> Option<(u32, &'static Shape)> {
    or_reference(value, const { &One(&PARAMETER) })
}

fn header_or_reference(value: &Value) -> Option<(u32, &'static Shape)> {
    or_reference(value, const { &One(&HEADER) })
}

fn request_body_or_reference(value: &Value) -> Option<(u32, &'static Shape)> {
    or_reference(value, const { &One(&REQUEST_BODY) })
}

fn response_or_reference(value: &Value) -> Option<(u32, &'static Shape)> {
    or_reference(value, const { &One(&RESPONSE) })
}

fn example_or_reference(value: &Value) -> Option<(u32, &'static Shape)> {
    or_reference(value, const { &One(&EXAMPLE) })
}

fn security_scheme_or_reference(value: &Value) -> Option<(u32, &'static Shape)> {
    or_reference(value, const { &One(&SECURITY_SCHEME) })
}

fn schema_or_flag(value: &Value) -> Option<(u32, &'static Shape)> {
    Some(if value.is_boolean() {
        (2, &Flag)
    } else {
        (1, const { &SCHEMA_OR_REFERENCE })
    })
}

/// Defaults are numbers, flags or texts; of lists and objects the message only tells that there is one.
fn default(value: &Value) -> Option<(u32, &'static Shape)> {
    match value {
        Value::Number(_) => Some((1, &Double)),
        Value::Bool(_) => Some((2, &Flag)),
        Value::String(_) => Some((3, &Text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::document::{decode, encode};
    use api::Registry;

    /// Takes out what the messages have no place for: of a default that is a list or an object only the fact is kept.
    /// Names of properties and of schemas are no fields.
    fn reduce(value: &mut Value, names: bool) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if key == "default" && !names && (value.is_object() || value.is_array()) {
                        *value = Value::Null;
                    } else {
                        reduce(value, !names && matches!(key.as_str(), "properties" | "schemas"));
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| reduce(item, false)),
            _ => {}
        }
    }

    #[test]
    fn the_document_of_every_group_can_be_read_back_from_its_message() {
        let registry = Registry::built_in();
        for name in api::openapi::v3_names(&registry) {
            let mut document = api::openapi::v3_document(&registry, &name).unwrap();
            let encoded = encode(&DOCUMENT, &document);
            let decoded = decode(&DOCUMENT, &encoded);
            reduce(&mut document, false);
            for part in ["openapi", "info", "paths", "components"] {
                let (found, expected) = (&decoded[part], &document[part]);
                for (key, expected) in expected.as_object().into_iter().flatten() {
                    assert_eq!(&found[key], expected, "{name} {part} {key}");
                }
                assert_eq!(found, expected, "{name} {part}");
            }
        }
    }
}
