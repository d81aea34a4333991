//! SelfSubjectRulesReview: everything that one may do in a namespace.

use crate::authorization::{Link, Mode};
use crate::request::ApiRequest;
use crate::server::Server;
use apimachinery::ApiError;
use serde_json::{Value, json};

const NODES: &str = "system:nodes";

pub fn own(server: &Server, request: &ApiRequest, review: &Value) -> Result<Value, ApiError> {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or("");
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let mut resources = Vec::new();
    let mut paths = Vec::new();
    let mut incomplete = Vec::new();
    for link in server.authorizer.chain().iter() {
        let mode = match link {
            Link::Mode(mode) => mode,
            Link::Abac(policies) => {
                for policy in policies.of(&request.user, namespace) {
                    if !policy.resource.is_empty() {
                        resources.push(json!({ "verbs": policy.verbs(), "apiGroups": [policy.api_group], "resources": [policy.resource] }));
                    }
                    if !policy.non_resource_path.is_empty() {
                        paths.push(
                            json!({ "verbs": policy.verbs(), "nonResourceURLs": [policy.non_resource_path] }),
                        );
                    }
                }
                continue;
            }
            Link::Webhook(_) => {
                incomplete.push("webhook authorizer does not support user rule resolution");
                continue;
            }
        };
        match mode {
            // What a node may do depends on its pods; nobody else has rules there.
            Mode::Node if request.user.in_group(NODES) => {
                incomplete.push("node authorizer does not support user rule resolution");
            }
            Mode::Node => {}
            Mode::Rbac => {
                for rule in server
                    .authorizer
                    .rbac
                    .current()
                    .rules_of(&request.user, namespace)
                {
                    if !rule.resources.is_empty() {
                        let mut value = json!({ "verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources });
                        if !rule.resource_names.is_empty() {
                            value["resourceNames"] = json!(rule.resource_names);
                        }
                        resources.push(value);
                    }
                    if !rule.non_resource_urls.is_empty() {
                        paths.push(json!({ "verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls }));
                    }
                }
            }
            Mode::AlwaysAllow => {
                resources.push(json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }));
                paths.push(json!({ "verbs": ["*"], "nonResourceURLs": ["*"] }));
            }
            Mode::AlwaysDeny => {}
        }
    }
    let mut status = json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": !incomplete.is_empty() });
    if !incomplete.is_empty() {
        status["evaluationError"] = json!(incomplete.join(", "));
    }
    Ok(status)
}
