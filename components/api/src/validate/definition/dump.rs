//! Upstream prints some offending values in the form of its internal types.
use super::shape::Shape;
use crate::value::text;
use apimachinery::go;
use serde_json::{Value, json};

fn escaped(text: &str) -> String {
    go::json(&Value::from(text))
}

/// A rule.
pub(super) fn rule(rule: &Value) -> String {
    let or_null = |name: &str| match &rule[name] {
        Value::String(text) => escaped(text),
        other => other.to_string(),
    };
    format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        escaped(text(rule, &["rule"])),
        escaped(text(rule, &["message"])),
        escaped(text(rule, &["messageExpression"])),
        or_null("reason"),
        escaped(text(rule, &["fieldPath"])),
        or_null("optionalOldSelf"),
    )
}

fn list(values: &Value, one: impl Fn(&Value) -> String) -> String {
    match values.as_array() {
        None => "null".into(),
        Some(values) => format!("[{}]", values.iter().map(one).collect::<Vec<_>>().join(",")),
    }
}

fn map(values: &Value, one: impl Fn(&Value) -> String) -> String {
    match values.as_object() {
        None => "null".into(),
        Some(values) => {
            let entries: Vec<_> = values
                .iter()
                .map(|(key, value)| format!("{}:{}", escaped(key), one(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
    }
}

/// Fields that are printed as they are, or as null; texts and flags as their zero values.
enum Form {
    Text,
    Flag,
    Plain,
}

/// A schema.
pub(super) fn schema(value: &Value) -> String {
    use Form::{Flag, Plain, Text};
    if !value.is_object() {
        return "null".into();
    }
    let simple = |form: Form, name: &str| match (form, &value[name]) {
        (Text, given) => escaped(given.as_str().unwrap_or("")),
        (Flag, given) => (*given == true).to_string(),
        (Plain, given) => given.to_string(),
    };
    let schemas = |name: &str| list(&value[name], schema);
    let additional = match &value["additionalProperties"] {
        Value::Null => "null".to_owned(),
        Value::Bool(allows) => format!("{{\"Allows\":{allows},\"Schema\":null}}"),
        below => format!("{{\"Allows\":true,\"Schema\":{}}}", schema(below)),
    };
    let items = match &value["items"] {
        Value::Null => "null".to_owned(),
        below => format!("{{\"Schema\":{},\"JSONSchemas\":null}}", schema(below)),
    };
    let parts = [
        ("ID", simple(Text, "id")),
        ("Schema", simple(Text, "$schema")),
        ("Ref", simple(Plain, "$ref")),
        ("Description", simple(Text, "description")),
        ("Type", simple(Text, "type")),
        ("Nullable", simple(Flag, "nullable")),
        ("Format", simple(Text, "format")),
        ("Title", simple(Text, "title")),
        ("Default", simple(Plain, "default")),
        ("Maximum", simple(Plain, "maximum")),
        ("ExclusiveMaximum", simple(Flag, "exclusiveMaximum")),
        ("Minimum", simple(Plain, "minimum")),
        ("ExclusiveMinimum", simple(Flag, "exclusiveMinimum")),
        ("MaxLength", simple(Plain, "maxLength")),
        ("MinLength", simple(Plain, "minLength")),
        ("Pattern", simple(Text, "pattern")),
        ("MaxItems", simple(Plain, "maxItems")),
        ("MinItems", simple(Plain, "minItems")),
        ("UniqueItems", simple(Flag, "uniqueItems")),
        ("MultipleOf", simple(Plain, "multipleOf")),
        ("Enum", simple(Plain, "enum")),
        ("MaxProperties", simple(Plain, "maxProperties")),
        ("MinProperties", simple(Plain, "minProperties")),
        ("Required", simple(Plain, "required")),
        ("Items", items),
        ("AllOf", schemas("allOf")),
        ("OneOf", schemas("oneOf")),
        ("AnyOf", schemas("anyOf")),
        ("Not", schema(&value["not"])),
        ("Properties", map(&value["properties"], schema)),
        ("AdditionalProperties", additional),
        ("PatternProperties", map(&value["patternProperties"], schema)),
        ("Dependencies", "null".into()),
        ("AdditionalItems", "null".into()),
        ("Definitions", map(&value["definitions"], schema)),
        ("ExternalDocs", external(&value["externalDocs"])),
        ("Example", simple(Plain, "example")),
        (
            "XPreserveUnknownFields",
            simple(Plain, "x-kubernetes-preserve-unknown-fields"),
        ),
        (
            "XEmbeddedResource",
            simple(Flag, "x-kubernetes-embedded-resource"),
        ),
        ("XIntOrString", simple(Flag, "x-kubernetes-int-or-string")),
        ("XListMapKeys", simple(Plain, "x-kubernetes-list-map-keys")),
        ("XListType", simple(Plain, "x-kubernetes-list-type")),
        ("XMapType", simple(Plain, "x-kubernetes-map-type")),
        ("XValidations", list(&value["x-kubernetes-validations"], rule)),
    ];
    object(&parts)
}

fn external(value: &Value) -> String {
    if value.is_null() {
        return "null".into();
    }
    object(&[
        ("Description", escaped(text(value, &["description"]))),
        ("URL", escaped(text(value, &["url"]))),
    ])
}

fn object(parts: &[(&str, String)]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", parts.join(","))
}

/// The versions of a definition.
pub(super) fn versions(versions: &[Value], shape: Shape) -> String {
    let all: Vec<_> = versions.iter().map(|given| version(given, shape)).collect();
    format!("[{}]", all.join(","))
}

fn version(version: &Value, shape: Shape) -> String {
    // What stands in the spec itself is not here.
    let part = |stands_above: bool, name: &str| match stands_above {
        true => &Value::Null,
        false => &version[name],
    };
    let flag = |name: &str| (version[name] == true).to_string();
    let scale = |scale: &Value| match scale {
        Value::Null => "null".to_owned(),
        scale => object(&[
            ("SpecReplicasPath", escaped(text(scale, &["specReplicasPath"]))),
            (
                "StatusReplicasPath",
                escaped(text(scale, &["statusReplicasPath"])),
            ),
            ("LabelSelectorPath", scale["labelSelectorPath"].to_string()),
        ]),
    };
    let subresources = match part(shape.subresources, "subresources") {
        Value::Null => "null".to_owned(),
        given => object(&[
            (
                "Status",
                if given["status"].is_null() {
                    "null".into()
                } else {
                    "{}".into()
                },
            ),
            ("Scale", scale(&given["scale"])),
        ]),
    };
    let column = |column: &Value| {
        object(&[
            ("Name", escaped(text(column, &["name"]))),
            ("Type", escaped(text(column, &["type"]))),
            ("Format", escaped(text(column, &["format"]))),
            ("Description", escaped(text(column, &["description"]))),
            (
                "Priority",
                json!(column["priority"].as_i64().unwrap_or(0)).to_string(),
            ),
            ("JSONPath", escaped(text(column, &["jsonPath"]))),
        ])
    };
    let whole = match part(shape.schema, "schema") {
        Value::Null => "null".to_owned(),
        given => object(&[("OpenAPIV3Schema", schema(&given["openAPIV3Schema"]))]),
    };
    object(&[
        ("Name", escaped(text(version, &["name"]))),
        ("Served", flag("served")),
        ("Storage", flag("storage")),
        ("Deprecated", flag("deprecated")),
        ("DeprecationWarning", version["deprecationWarning"].to_string()),
        ("Schema", whole),
        ("Subresources", subresources),
        (
            "AdditionalPrinterColumns",
            list(part(shape.columns, "additionalPrinterColumns"), column),
        ),
        (
            "SelectableFields",
            list(part(shape.selectable, "selectableFields"), |field| {
                object(&[("JSONPath", escaped(text(field, &["jsonPath"])))])
            }),
        ),
    ])
}
