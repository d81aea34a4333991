//! Metadata of custom objects and of resources embedded in them.
use super::schema::{Additional, Schema};
use crate::schema::{OBJECT_META, built_in};
use apimachinery::decode;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::{Map, Value};

/// Fits `metadata` to ObjectMeta; gives the paths of unknown fields. Wrong types are errors. Upstream writes it anew from its own
/// type, which leaves out what is empty: whoever takes the last finalizer away leaves none of the list.
pub(super) fn coerce(value: &mut Value) -> Result<Vec<String>, String> {
    let Some(object) = value.as_object_mut() else {
        return Ok(Vec::new());
    };
    let Some(metadata) = object.get_mut("metadata") else {
        return Ok(Vec::new());
    };
    if metadata.is_null() {
        object.remove("metadata");
        return Ok(Vec::new());
    }
    let schemas = built_in();
    let Some(id) = schemas.id(OBJECT_META) else {
        return Ok(Vec::new());
    };
    let unknown = decode::fit(&schemas, id, metadata).map_err(|error| error.to_string())?;
    decode::settle(&schemas, id, metadata);
    Ok(unknown
        .into_iter()
        .map(|path| format!("metadata.{path}"))
        .collect())
}

/// The same for stored objects: fields with wrong types are dropped one by one.
pub(super) fn repair(value: &mut Value) {
    if coerce(value).is_ok() {
        return;
    }
    let Some(metadata) = value.get_mut("metadata") else {
        return;
    };
    let Some(fields) = metadata.as_object() else {
        *metadata = Value::Object(Map::new());
        return;
    };
    let kept = fields.iter().filter(|(name, field)| {
        let mut alone = serde_json::json!({"metadata": {(*name).clone(): (*field).clone()}});
        coerce(&mut alone).is_ok()
    });
    let kept: Map<String, Value> = kept.map(|(name, field)| (name.clone(), field.clone())).collect();
    *metadata = Value::Object(kept);
    // What is left fits field by field.
    let _ = coerce(value);
}

/// The same for resources that are embedded in an object.
pub(super) fn coerce_embedded(schema: &Schema, value: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    let mut failed = None;
    each_embedded(schema, value, "", &mut |resource, path| {
        // Errors show it as it was sent.
        let sent = resource.get("metadata").cloned().unwrap_or_default();
        match coerce(resource) {
            Ok(fields) => unknown.extend(fields.into_iter().map(|field| format!("{path}.{field}"))),
            Err(error) => {
                failed.get_or_insert(format!("{path}.metadata: Invalid value: {sent}: {error}"));
            }
        }
    });
    failed.map_or(Ok(unknown), Err)
}

/// The same for stored objects.
pub(super) fn repair_embedded(schema: &Schema, value: &mut Value) {
    each_embedded(schema, value, "", &mut |resource, _| repair(resource));
}

/// Calls `visit` with every resource that is embedded below, and its path.
fn each_embedded(schema: &Schema, value: &mut Value, path: &str, visit: &mut dyn FnMut(&mut Value, &str)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let Some(below) = schema.below(key) else {
                    continue;
                };
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                if below.embedded && value.is_object() {
                    visit(value, &path);
                }
                each_embedded(below, value, &path, visit);
            }
        }
        Value::Array(items) => {
            let Some(below) = &schema.items else {
                return;
            };
            for (index, item) in items.iter_mut().enumerate() {
                let path = format!("{path}[{index}]");
                if below.embedded && item.is_object() {
                    visit(item, &path);
                }
                each_embedded(below, item, &path, visit);
            }
        }
        _ => {}
    }
}

/// The first of what keeps a value's resources from being read as such: it is told alone.
pub(super) fn unreadable(schema: &Schema, value: &Value, path: &Path) -> Option<Error> {
    match value {
        Value::Object(map) => map.iter().find_map(|(key, value)| {
            let wrong = if schema.embedded {
                unreadable_field(key, value)
            } else {
                None
            };
            if let Some(why) = wrong {
                return Some(Error::invalid(&path.child(key), value, why));
            }
            match (schema.properties.get(key), &schema.additional) {
                (Some(below), _) => unreadable(below, value, &path.child(key)),
                (None, Additional::Schema(below)) => unreadable(below, value, &path.key(key)),
                _ => None,
            }
        }),
        Value::Array(items) => {
            let below = schema.items.as_deref()?;
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| unreadable(below, item, &path.index(index)))
        }
        _ => None,
    }
}

fn unreadable_field(key: &str, value: &Value) -> Option<String> {
    match key {
        "apiVersion" | "kind" => (!value.is_string()).then(|| "must be a string".to_owned()),
        "metadata" => coerce(&mut serde_json::json!({"metadata": value.clone()})).err(),
        _ => None,
    }
}

/// Resources embedded in an object need a kind, a version and sound metadata.
pub(super) fn check_embedded(schema: &Schema, value: &Value, path: &Path, root: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    if schema.embedded && !root {
        errors.extend(check_resource(value, path));
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let below = match (schema.properties.get(key), &schema.additional) {
                    (Some(below), _) => Some((below, path.child(key))),
                    (None, Additional::Schema(below)) => Some((&**below, path.key(key))),
                    _ => None,
                };
                if let Some((below, path)) = below {
                    errors.extend(check_embedded(below, value, &path, false));
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    errors.extend(check_embedded(below, item, &path.index(index), false));
                }
            }
        }
        _ => {}
    }
    errors
}

fn check_resource(value: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(map) = value.as_object() else {
        return errors;
    };
    const EMPTY: &str = "must not be empty";
    for field in ["apiVersion", "kind"] {
        if !map.contains_key(field) {
            errors.push(Error::required(&path.child(field), ""));
        }
    }
    for (field, value) in map {
        let wrong = match (field.as_str(), value) {
            ("apiVersion" | "kind", Value::String(text)) if text.is_empty() => EMPTY.to_owned(),
            ("apiVersion", Value::String(version)) if version.matches('/').count() > 1 => {
                format!("unexpected GroupVersion string: {version}")
            }
            ("kind", Value::String(kind)) => {
                let wrong = apimachinery::names::dns1035_label(&kind.to_lowercase());
                if wrong.is_empty() {
                    continue;
                }
                format!(
                    "may have mixed case, but should otherwise match: {}",
                    wrong.join(",")
                )
            }
            ("apiVersion", Value::String(_)) => continue,
            ("apiVersion" | "kind", _) => "must be a string".to_owned(),
            _ => continue,
        };
        errors.push(Error::invalid(&path.child(field), value, wrong));
    }
    let mut alone = serde_json::json!({"metadata": map.get("metadata").cloned().unwrap_or_default()});
    if let Err(error) = coerce(&mut alone) {
        errors.push(Error::invalid(
            &path.child("metadata"),
            map.get("metadata").cloned().unwrap_or_default(),
            error,
        ));
        return errors;
    }
    errors.extend(crate::validate::embedded_metadata(
        &alone,
        &path.child("metadata"),
    ));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn embedded_resources_name_their_kind() {
        let schema = Schema::parse(
            &json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}),
        );
        for (value, wrong) in [
            (
                json!({"apiVersion": "v1", "kind": "A", "metadata": {"name": "b"}}),
                &[][..],
            ),
            (
                json!({}),
                &["e.apiVersion: Required value", "e.kind: Required value"],
            ),
            (
                json!({"apiVersion": "", "kind": 1}),
                &[
                    "e.apiVersion: Invalid value: \"\": must not be empty",
                    "e.kind: Invalid value: 1: must be a string",
                ],
            ),
            (
                json!({"apiVersion": "a/b/c", "kind": "A", "metadata": {"name": "a/b", "generateName": ".."}}),
                &[
                    "e.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                    "e.metadata.name: Invalid value: \"a/b\": may not contain '/'",
                ],
            ),
            (
                json!({"apiVersion": "v1", "kind": "A", "metadata": {"namespace": "b"}}),
                &[],
            ),
            (
                json!({"apiVersion": "v1", "kind": "A", "metadata": {"namespace": "B"}}),
                &[
                    "e.metadata.namespace: Invalid value: \"B\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                ],
            ),
        ] {
            let errors = check_embedded(&schema, &value, &Path::new("e"), false);
            assert_eq!(
                errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
                wrong,
                "{value}"
            );
        }
    }

    #[test]
    fn metadata_is_fitted_wherever_it_stands() {
        let schema = Schema::parse(
            &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
            }}}}),
        );
        let mut value = json!({"metadata": {"name": "a", "odd": 1, "finalizers": [], "labels": {}}, "spec": {"template": {"kind": "A", "apiVersion": "v1", "metadata": {"name": "b", "odd": 1}}}});
        assert_eq!(coerce(&mut value).unwrap(), ["metadata.odd"]);
        assert_eq!(
            coerce_embedded(&schema, &mut value).unwrap(),
            ["spec.template.metadata.odd"]
        );
        assert_eq!(value["metadata"], json!({"name": "a"}));
        assert_eq!(value["spec"]["template"]["metadata"], json!({"name": "b"}));
        value["spec"]["template"]["metadata"]["labels"] = json!(5);
        assert_eq!(
            coerce_embedded(&schema, &mut value).unwrap_err(),
            "spec.template.metadata: Invalid value: {\"labels\":5,\"name\":\"b\"}: json: cannot unmarshal number into Go struct field ObjectMeta.labels of type map[string]string"
        );
        repair_embedded(&schema, &mut value);
        assert_eq!(value["spec"]["template"]["metadata"], json!({"name": "b"}));
    }
}
