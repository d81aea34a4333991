//! Paths whose connections go on to a kubelet, a pod or a service.
use super::operations::{capital, group_of_ids, in_path, parameters, tag};
use crate::Resource;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Options by name and type.
type Options = &'static [(&'static str, &'static str)];

const STREAM: Options = &[
    ("container", "string"),
    ("stderr", "boolean"),
    ("stdin", "boolean"),
    ("stdout", "boolean"),
    ("tty", "boolean"),
];
const EXEC: Options = &[
    ("command", "string"),
    ("container", "string"),
    ("stderr", "boolean"),
    ("stdin", "boolean"),
    ("stdout", "boolean"),
    ("tty", "boolean"),
];
const PORTS: Options = &[("ports", "integer")];
const PROXY: Options = &[("path", "string")];

const OPENING: &[&str] = &["get", "post"];
const ALL: &[&str] = &["delete", "get", "head", "options", "patch", "post", "put"];

/// Adds the subresources of a kind that connect, below the `place` of its objects.
pub(super) fn paths(row: &Resource, place: &str, out: &mut BTreeMap<String, Value>) {
    let has = |name: &str| {
        row.subresources
            .iter()
            .any(|subresource| subresource.name == name)
    };
    let kind = &row.gvk.kind;
    for (name, options, query, methods) in [
        ("attach", "Attach", STREAM, OPENING),
        ("exec", "Exec", EXEC, OPENING),
        ("portforward", "PortForward", PORTS, OPENING),
        ("proxy", "Proxy", PROXY, ALL),
    ] {
        if !has(name) {
            continue;
        }
        let options = format!("{kind}{options}Options");
        let path = format!("{place}/{{name}}/{name}");
        out.insert(path.clone(), item(row, name, &options, query, methods, ""));
        if name == "proxy" {
            let mut below = item(row, name, &options, query, methods, "WithPath");
            if let Some(list) = below["parameters"].as_array_mut() {
                list.insert(list.len() - 1, in_path("path"));
            }
            out.insert(format!("{path}/{{path}}"), below);
        }
    }
}

fn item(row: &Resource, name: &str, options: &str, query: Options, methods: &[&str], suffix: &str) -> Value {
    let version = row.gvk.group_version();
    let (group, scope) = (
        group_of_ids(&version),
        if row.namespaced { "Namespaced" } else { "" },
    );
    let mut item = Map::new();
    for method in methods {
        let id = format!(
            "connect{group}{}{scope}{}{}{suffix}",
            capital(method),
            row.gvk.kind,
            capital(name)
        );
        let operation = json!({
            "tags": [tag(&version)],
            "operationId": id,
            "responses": {
                "200": {"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}},
                "401": {"description": "Unauthorized"},
            },
            "x-kubernetes-action": "connect",
            "x-kubernetes-group-version-kind": {"group": version.group, "version": version.version, "kind": options},
        });
        item.insert((*method).to_owned(), operation);
    }
    let mut shared = match parameters(query) {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    shared.push(in_path("name"));
    if row.namespaced {
        shared.push(in_path("namespace"));
    }
    shared.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    item.insert("parameters".to_owned(), Value::Array(shared));
    Value::Object(item)
}
