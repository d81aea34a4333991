//! What rules may assume of values: types with bounds, from the schema.
use super::schema::{Additional, Kind, ListType, Schema};
use cel::{Decl, ListKind, Object, ObjectField, Shape};
use std::sync::Arc;

/// Largest request, in bytes: nothing in an object is larger.
const MAX_REQUEST: u64 = 3 * 1024 * 1024;
/// Longest written durations and times, with their quotes.
const DURATION_SIZE: u64 = 32;
const DATE_SIZE: u64 = 12;
const DATE_TIME_SIZE: u64 = 22;

/// A declaration and the fewest bytes that such a value takes.
pub(super) struct Declared {
    pub decl: Arc<Decl>,
    pub least: u64,
}

/// What comparing objects counts as, whatever is in them: upstream gives object types no size.
const OBJECT_SIZE: u64 = 0;

fn declared(shape: Shape, max: u64, least: u64) -> Option<Declared> {
    Some(Declared {
        decl: Arc::new(Decl::bounded(shape, max)),
        least,
    })
}

/// The declaration of a schema that has rules, alone; for checks of the definition.
/// With it, the fewest bytes that such a value takes.
pub(crate) fn of_root(schema: &Schema, root: bool) -> Option<(Arc<Decl>, u64)> {
    of(schema, root, "self").map(|declared| (declared.decl, declared.least))
}

/// What is declared about a value; `None` when rules can't name it. `type_name` tells objects apart.
pub(super) fn of(schema: &Schema, root: bool, type_name: &str) -> Option<Declared> {
    if schema.int_or_string {
        return declared(Shape::Dyn, MAX_REQUEST - 2, 1);
    }
    match schema.kind? {
        Kind::Boolean => declared(Shape::Bool, u64::MAX, 4),
        Kind::Integer => declared(Shape::Int, u64::MAX, 1),
        Kind::Number => declared(Shape::Double, u64::MAX, 1),
        Kind::String => text(schema),
        Kind::Array => {
            let items = of(schema.items.as_deref()?, false, &format!("{type_name}.@idx"))?;
            let max = schema.max_items.unwrap_or((MAX_REQUEST - 2) / (items.least + 1));
            let kind = match &schema.list_type {
                ListType::Atomic => ListKind::Atomic,
                ListType::Set => ListKind::Set,
                ListType::Map(keys) => ListKind::Map(keys.clone()),
            };
            declared(Shape::List(items.decl, kind), max, 2)
        }
        Kind::Object => object(schema, root, type_name),
    }
}

fn text(schema: &Schema) -> Option<Declared> {
    let bounded = |default: u64| schema.max_length.map_or(default, |max| max.saturating_mul(4));
    match schema.format.as_str() {
        "byte" => declared(Shape::Bytes, schema.max_length.unwrap_or(MAX_REQUEST - 2), 2),
        "duration" => declared(Shape::Duration, DURATION_SIZE, 4),
        "date" => declared(Shape::Timestamp, DATE_SIZE, 12),
        "date-time" => declared(Shape::Timestamp, DATE_TIME_SIZE, 22),
        _ if !schema.enumeration.is_empty() => {
            let longest = schema
                .enumeration
                .iter()
                .filter_map(|value| value.as_str().map(|text| text.chars().count() as u64))
                .max();
            declared(Shape::String, longest.unwrap_or(0), 2)
        }
        _ => declared(Shape::String, bounded(MAX_REQUEST - 2), 2),
    }
}

fn object(schema: &Schema, root: bool, type_name: &str) -> Option<Declared> {
    if let Additional::Schema(below) = &schema.additional {
        let values = of(below, false, &format!("{type_name}.@prop"))?;
        let max = schema
            .max_properties
            .unwrap_or((MAX_REQUEST - 2) / (values.least + 6));
        return declared(Shape::Map(values.decl), max, 2);
    }
    let mut object = Object {
        name: type_name.to_owned(),
        ..Object::default()
    };
    let mut least = 2;
    let resource = (root || schema.embedded) && !tells_type_and_metadata(schema);
    if resource {
        for name in ["kind", "apiVersion"] {
            insert(
                &mut object,
                name,
                Arc::new(Decl::bounded(Shape::String, MAX_REQUEST - 2)),
            );
        }
        let mut metadata = Object {
            name: format!("{type_name}.metadata"),
            ..Object::default()
        };
        for name in ["name", "generateName"] {
            insert(&mut metadata, name, Arc::new(Decl::bounded(Shape::String, 253)));
        }
        insert(
            &mut object,
            "metadata",
            Arc::new(Decl::bounded(Shape::Object(Arc::new(metadata)), OBJECT_SIZE)),
        );
    }
    for (name, below) in &schema.properties {
        if resource && matches!(name.as_str(), "kind" | "apiVersion" | "metadata") {
            continue;
        }
        let Some(field) = of(below, false, &format!("{type_name}.{name}")) else {
            continue;
        };
        if schema.required.contains(name) && below.default.is_none() {
            least += name.len() as u64 + field.least + 4;
        }
        insert(&mut object, name, field.decl);
    }
    declared(Shape::Object(Arc::new(object)), OBJECT_SIZE, least)
}

/// Whether the schema itself says of a resource all that rules can rely on everywhere. Then they can name what it says beyond
/// that.
fn tells_type_and_metadata(schema: &Schema) -> bool {
    let is_text = |schema: &Schema, name: &str| {
        schema
            .properties
            .get(name)
            .is_some_and(|below| below.kind == Some(Kind::String))
    };
    ["kind", "apiVersion"].iter().all(|name| is_text(schema, name))
        && schema.properties.get("metadata").is_some_and(|metadata| {
            metadata.kind == Some(Kind::Object)
                && ["name", "generateName"]
                    .iter()
                    .all(|name| is_text(metadata, name))
        })
}

fn insert(object: &mut Object, name: &str, decl: Arc<Decl>) {
    if let Some(escaped) = escape(name) {
        object.fields.insert(
            escaped,
            ObjectField {
                json_name: name.to_owned(),
                decl,
                zero_when_absent: false,
                null_is_absent: true,
            },
        );
    }
}

const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The name that expressions use for a property; `None` when it has characters that can't be written.
pub(crate) fn escape(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(valid) {
        return None;
    }
    Some(
        name.replace("__", "__underscores__")
            .replace('.', "__dot__")
            .replace('-', "__dash__")
            .replace('/', "__slash__"),
    )
}
