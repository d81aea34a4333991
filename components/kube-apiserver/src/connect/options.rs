//! The options of a connection as an object, for admission.

use crate::request::ApiRequest;
use crate::verbs::target::Target;
use serde_json::{Value, json};

/// PodExecOptions and its like, from the query.
pub fn of(request: &ApiRequest, target: &Target) -> Value {
    let kind = target
        .row
        .subresource(&target.subresource)
        .map_or("", |subresource| subresource.gvk.kind.as_str());
    let mut options = json!({ "kind": kind, "apiVersion": "v1" });
    let query = &request.query;
    match target.subresource.as_str() {
        "exec" | "attach" => {
            for flag in ["stdin", "stdout", "stderr", "tty"] {
                if query.is_true(flag) {
                    options[flag] = json!(true);
                }
            }
            if let Some(container) = query.get("container").filter(|name| !name.is_empty()) {
                options["container"] = json!(container);
            }
            if target.subresource == "exec" {
                options["command"] = json!(query.all("command").collect::<Vec<_>>());
            }
        }
        "portforward" => {
            let ports: Vec<i64> = query
                .all("ports")
                .flat_map(|ports| ports.split(','))
                .filter_map(|port| port.parse().ok())
                .collect();
            if !ports.is_empty() {
                options["ports"] = json!(ports);
            }
        }
        _ => {
            let path = request.info.rest.join("/");
            if !path.is_empty() {
                options["path"] = json!(path);
            }
        }
    }
    options
}
