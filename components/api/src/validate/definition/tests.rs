mod expressions;
mod schemas;
mod whole;

use super::*;
use serde_json::json;

/// A definition whose versions have these fields, the first of which is stored.
fn definition(versions: &[Value]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(index, fields)| {
            let mut version =
                json!({"name": format!("v{}", index + 1), "served": true, "storage": index == 0});
            for (name, value) in fields.as_object().cloned().into_iter().flatten() {
                version[name] = value;
            }
            version
        })
        .collect();
    json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": versions, "conversion": {"strategy": "None"},
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        },
        "status": {"storedVersions": ["v1"]},
    })
}

/// A version with this schema.
fn with_schema(schema: Value) -> Value {
    json!({"schema": {"openAPIV3Schema": schema}})
}

/// A version whose objects have these properties.
fn with_properties(properties: Value) -> Value {
    with_schema(json!({"type": "object", "properties": properties}))
}

fn told(old: Option<&Value>, new: &Value) -> Vec<String> {
    check(old, new).iter().map(ToString::to_string).collect()
}

/// What is told of the schema of the only version, without the place that they all have.
fn of_schema(schema: Value) -> Vec<String> {
    const PLACE: &str = "spec.validation.openAPIV3Schema";
    let told = told(None, &definition(&[with_schema(schema)]));
    told.iter()
        .map(|error| error.strip_prefix(PLACE).unwrap_or(error))
        .map(|error| error.strip_prefix('.').unwrap_or(error).to_owned())
        .collect()
}

/// The same of properties.
fn of_properties(properties: Value) -> Vec<String> {
    of_schema(json!({"type": "object", "properties": properties}))
}
