//! Custom resource definitions.
use crate::value::{list, text};
use serde_json::Value;

/// Formats in a definition's schemas that mean nothing here.
pub(super) fn formats(definition: &Value) -> Vec<String> {
    fn walk(schema: &Value, path: &str, out: &mut Vec<String>) {
        let format = text(schema, &["format"]);
        if !format.is_empty() && !crate::custom::is_known_format(format) {
            out.push(format!("{path}: unrecognized format {format:?}"));
        }
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            walk(below, &format!("{path}.properties[{name}]"), out);
        }
        for name in ["items", "additionalProperties"] {
            if schema[name].is_object() {
                walk(&schema[name], &format!("{path}.{name}"), out);
            }
        }
    }
    let mut out = Vec::new();
    for (index, version) in list(definition, &["spec", "versions"]).iter().enumerate() {
        let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
        walk(&version["schema"]["openAPIV3Schema"], &path, &mut out);
    }
    out
}
