//! Paths whose connections go on to a kubelet, a pod or a service.
use super::items::{Shared, item};
use super::operations::{capital, group_of_ids, tag};
use super::options::{NONE, Options, parameters};
use super::phrases;
use crate::Resource;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const ATTACH: Options = Options {
    kinds: &["PodAttachOptions"],
    fields: &[
        ("container", "string"),
        ("stderr", "boolean"),
        ("stdin", "boolean"),
        ("stdout", "boolean"),
        ("tty", "boolean"),
    ],
};
const EXEC: Options = Options {
    kinds: &["PodExecOptions"],
    fields: &[
        ("command", "string"),
        ("container", "string"),
        ("stderr", "boolean"),
        ("stdin", "boolean"),
        ("stdout", "boolean"),
        ("tty", "boolean"),
    ],
};
const PORTS: Options = Options {
    kinds: &["PodPortForwardOptions"],
    fields: &[("ports", "integer")],
};

const OPENING: &[&str] = &["get", "post"];
const ALL: &[&str] = &["delete", "get", "head", "options", "patch", "post", "put"];

/// Options of the proxy of a kind.
fn proxy(kind: &str) -> Options {
    Options {
        kinds: match kind {
            "Pod" => &["PodProxyOptions"],
            "Service" => &["ServiceProxyOptions"],
            "Node" => &["NodeProxyOptions"],
            _ => NONE.kinds,
        },
        fields: &[("path", "string")],
    }
}

/// Adds the subresources of a kind that connect, below the `place` of its objects.
pub(super) fn paths(row: &Resource, place: &str, out: &mut BTreeMap<String, Value>) {
    let has = |name: &str| {
        row.subresources
            .iter()
            .any(|subresource| subresource.name == name)
    };
    let kind = &row.gvk.kind;
    for (name, options, query, methods) in [
        ("attach", "Attach", ATTACH, OPENING),
        ("exec", "Exec", EXEC, OPENING),
        ("portforward", "PortForward", PORTS, OPENING),
        ("proxy", "Proxy", proxy(kind), ALL),
    ] {
        if !has(name) {
            continue;
        }
        let options = format!("{kind}{options}Options");
        let path = format!("{place}/{{name}}/{name}");
        out.insert(
            path.clone(),
            connecting(row, name, &options, query, methods, false),
        );
        if name == "proxy" {
            let below = connecting(row, name, &options, query, methods, true);
            out.insert(format!("{path}/{{path}}"), below);
        }
    }
}

fn connecting(
    row: &Resource,
    name: &str,
    options: &str,
    query: Options,
    methods: &[&str],
    below: bool,
) -> Value {
    let version = row.gvk.group_version();
    let (group, scope) = (
        group_of_ids(&version),
        if row.namespaced { "Namespaced" } else { "" },
    );
    let suffix = if below { "WithPath" } else { "" };
    let operation = |method: &str| {
        let id = format!(
            "connect{group}{}{scope}{}{}{suffix}",
            capital(method),
            row.gvk.kind,
            capital(name)
        );
        json!({
            "tags": [tag(&version)],
            "description": phrases::connection(method, options, name),
            "operationId": id,
            "parameters": parameters(query),
            "responses": {
                "200": {"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}},
                "401": {"description": "Unauthorized"},
            },
            "x-kubernetes-action": "connect",
            "x-kubernetes-group-version-kind": {"group": version.group, "version": version.version, "kind": options},
        })
    };
    let operations: Map<String, Value> = methods
        .iter()
        .map(|method| ((*method).to_owned(), operation(method)))
        .collect();
    let shared = Shared {
        named: Some(options),
        namespaced: row.namespaced,
        below,
        pretty: false,
    };
    item(operations, shared)
}
