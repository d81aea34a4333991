//! Documents of discovery with their fields in upstream's order, as people see them who ask for the raw text.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Fields in the order of upstream's types, which don't contradict each other but for the kind of a whole document.
const FIELDS: [&str; 30] = [
    "apiVersion",
    "metadata",
    "name",
    "singularName",
    "namespaced",
    "group",
    "groupVersion",
    "version",
    "kind",
    "resource",
    "subresource",
    "responseKind",
    "scope",
    "singularResource",
    "verbs",
    "shortNames",
    "categories",
    "storageVersionHash",
    "subresources",
    "resources",
    "freshness",
    "versions",
    "preferredVersion",
    "serverAddressByClientCIDRs",
    "clientCIDR",
    "serverAddress",
    "groups",
    "items",
    "continue",
    "resourceVersion",
];

/// A whole document.
pub struct Document<'v>(pub &'v Value);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => object(fields, fields.get_key_value("kind"), serializer),
            other => Part(other).serialize(serializer),
        }
    }
}

/// What is within one.
struct Part<'v>(&'v Value);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => object(fields, None, serializer),
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Part(item))?;
                }
                list.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

fn object<S: Serializer>(
    fields: &Map<String, Value>,
    first: Option<(&String, &Value)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let is_first = |name: &str| first.is_some_and(|(first, _)| first == name);
    let known = FIELDS.iter().filter_map(|name| fields.get_key_value(*name));
    let others = fields.iter().filter(|(name, _)| !FIELDS.contains(&name.as_str()));
    let mut map = serializer.serialize_map(Some(fields.len()))?;
    for (name, value) in first
        .into_iter()
        .chain(known.filter(|(name, _)| !is_first(name)))
        .chain(others)
    {
        map.serialize_entry(name, &Part(value))?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_stand_in_upstreams_order() {
        for (document, expected) in [
            (
                json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": [
                    {"name": "a/scale", "singularName": "", "namespaced": true, "group": "autoscaling", "version": "v1",
                        "kind": "Scale", "verbs": ["get"], "storageVersionHash": "h"}]}),
                r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"apps/v1","resources":[{"name":"a/scale","singularName":"","namespaced":true,"group":"autoscaling","version":"v1","kind":"Scale","verbs":["get"],"storageVersionHash":"h"}]}"#,
            ),
            (
                json!({"kind": "APIGroup", "apiVersion": "v1", "name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
                    "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}}),
                r#"{"kind":"APIGroup","apiVersion":"v1","name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}],"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}}"#,
            ),
            (
                json!({"kind": "A", "items": [{"metadata": {"name": "apps"}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
                    {"resource": "a", "responseKind": {"group": "", "version": "", "kind": "A"}, "scope": "Cluster", "new": 1}]}]}]}),
                r#"{"kind":"A","items":[{"metadata":{"name":"apps"},"versions":[{"version":"v1","resources":[{"resource":"a","responseKind":{"group":"","version":"","kind":"A"},"scope":"Cluster","new":1}],"freshness":"Current"}]}]}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&Document(&document)).unwrap(), expected);
        }
    }
}
