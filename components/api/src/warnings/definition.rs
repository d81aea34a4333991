//! Custom resource definitions.
use crate::value::{list, text};
use apimachinery::field::quote;
use serde_json::Value;

/// Formats in a definition's schemas that mean nothing here, each once; of a changed definition those that it didn't have before.
pub(super) fn formats(old: Option<&Value>, new: &Value) -> Vec<String> {
    let unknown = |definition| {
        let mut found = Vec::new();
        for version in list(definition, &["spec", "versions"]) {
            walk(&version["schema"]["openAPIV3Schema"], &mut found);
        }
        found
    };
    let found = unknown(new);
    let known = match old {
        Some(old) if !found.is_empty() => unknown(old),
        _ => Vec::new(),
    };
    let added = found.into_iter().filter(|format| !known.contains(format));
    added
        .map(|format| format!("unrecognized format {}", quote(format)))
        .collect()
}

fn walk<'v>(schema: &'v Value, found: &mut Vec<&'v str>) {
    let format = text(schema, &["format"]);
    if !format.is_empty()
        && !crate::custom::is_known_format(text(schema, &["type"]), format)
        && !found.contains(&format)
    {
        found.push(format);
    }
    for (_, below) in schema["properties"].as_object().into_iter().flatten() {
        walk(below, found);
    }
    for name in ["items", "additionalProperties", "not"] {
        if schema[name].is_object() {
            walk(&schema[name], found);
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for below in list(schema, &[name]) {
            walk(below, found);
        }
    }
}
