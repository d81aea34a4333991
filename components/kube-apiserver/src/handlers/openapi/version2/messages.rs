//! The messages of gnostic's `openapi.v2`: which JSON field has which number.

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
    SchemaOrFlag,
    Parameter,
    ResponseValue,
    SecurityScheme,
}

use Shape::{Any, Double, Flag, Integer, Many, One, Text, Wrapped};

type Fields = &'static [(&'static str, u32, Shape)];

/// A message.
pub struct Message {
    pub fields: Fields,
    /// Keys that are names and not fields, as in maps: each is a message of name and value.
    pub rest: Option<(u32, Shape)>,
    /// Where keys that begin with `x-` go.
    pub extensions: Option<u32>,
}

const fn fields(fields: Fields, extensions: u32) -> Message {
    Message {
        fields,
        rest: None,
        extensions: Some(extensions),
    }
}

const fn map(number: u32, of: Shape) -> Message {
    Message {
        fields: &[],
        rest: Some((number, of)),
        extensions: None,
    }
}

const TEXTS: Shape = Many(&Text);

pub static DOCUMENT: Message = fields(
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

static INFO: Message = fields(
    &[
        ("title", 1, Text),
        ("version", 2, Text),
        ("description", 3, Text),
        ("termsOfService", 4, Text),
    ],
    7,
);

static TAG: Message = fields(&[("name", 1, Text), ("description", 2, Text)], 4);
static EXTERNAL_DOCS: Message = fields(&[("description", 1, Text), ("url", 2, Text)], 3);

static PATHS: Message = Message {
    fields: &[],
    rest: Some((2, One(&PATH_ITEM))),
    extensions: Some(1),
};

static PATH_ITEM: Message = fields(
    &[
        ("$ref", 1, Text),
        ("get", 2, One(&OPERATION)),
        ("put", 3, One(&OPERATION)),
        ("post", 4, One(&OPERATION)),
        ("delete", 5, One(&OPERATION)),
        ("options", 6, One(&OPERATION)),
        ("head", 7, One(&OPERATION)),
        ("patch", 8, One(&OPERATION)),
        ("parameters", 9, Many(&Shape::Parameter)),
    ],
    10,
);

static OPERATION: Message = fields(
    &[
        ("tags", 1, TEXTS),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("externalDocs", 4, One(&EXTERNAL_DOCS)),
        ("operationId", 5, Text),
        ("produces", 6, TEXTS),
        ("consumes", 7, TEXTS),
        ("parameters", 8, Many(&Shape::Parameter)),
        ("responses", 9, One(&RESPONSES)),
        ("schemes", 10, TEXTS),
        ("deprecated", 11, Flag),
        ("security", 12, Many(&One(&SECURITY_REQUIREMENT))),
    ],
    13,
);

pub static REFERENCE: Message = Message {
    fields: &[("$ref", 1, Text), ("description", 2, Text)],
    rest: None,
    extensions: None,
};

pub static BODY: Message = fields(
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
pub static PARAMETER: Message = fields(
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
pub static PARAMETER_WITH_EMPTY: Message = fields(
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
    rest: Some((1, Shape::ResponseValue)),
    extensions: Some(2),
};

pub static RESPONSE: Message = fields(
    &[
        ("description", 1, Text),
        ("schema", 2, Wrapped(&One(&SCHEMA))),
        ("examples", 4, One(&EXAMPLES)),
    ],
    5,
);

static EXAMPLES: Message = map(1, Any);
static SCHEMAS: Message = map(1, One(&SCHEMA));

pub static SCHEMA: Message = fields(
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
        ("additionalProperties", 21, Shape::SchemaOrFlag),
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
static SECURITY_DEFINITIONS: Message = map(1, Shape::SecurityScheme);

pub static BASIC: Message = fields(&[("type", 1, Text), ("description", 2, Text)], 3);

pub static API_KEY: Message = fields(
    &[
        ("type", 1, Text),
        ("name", 2, Text),
        ("in", 3, Text),
        ("description", 4, Text),
    ],
    5,
);
