//! Expressions in objects that are written: what the oldest server of the cluster doesn't know may stay, but does not come.
use crate::server::Server;
use api::Resource;
use cel::compatibility::{NEWEST, storing};
use serde_json::Value;
use std::collections::HashSet;

/// Groups with kinds whose objects have expressions.
const GROUPS: [&str; 3] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "resource.k8s.io",
];

/// Runs the check of an object that is made, or that takes the place of `old`.
pub fn checked<T>(server: &Server, row: &Resource, old: Option<&Value>, check: impl FnOnce() -> T) -> T {
    let minor = server.flags.version.min_compatibility.minor;
    if minor >= NEWEST || !GROUPS.contains(&row.gvk.group.as_str()) {
        return check();
    }
    let mut known = HashSet::new();
    if let Some(old) = old {
        texts(old, &mut known);
    }
    storing(minor, known, check)
}

/// All texts in a value: whatever is an expression is among them.
fn texts(value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::String(text) => {
            found.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
