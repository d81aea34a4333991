//! SelfSubjectRulesReview: everything that one may do in a namespace.

use crate::authorization::rbac::index::aggregate;
use crate::authorization::{Link, Mode};
use crate::request::ApiRequest;
use crate::server::Server;
use apimachinery::ApiError;
use serde_json::{Value, json};

/// A review asks about a namespace.
pub fn check(review: &Value) -> Result<(), ApiError> {
    match review["spec"]["namespace"].as_str() {
        None | Some("") => Err(ApiError::bad_request("no namespace on request")),
        Some(_) => Ok(()),
    }
}

pub fn own(server: &Server, request: &ApiRequest, review: &Value) -> Value {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or("");
    let mut resources = Vec::new();
    let mut paths = Vec::new();
    let mut incomplete = false;
    let mut errors: Vec<String> = Vec::new();
    for member in server.authorizer.chain().iter() {
        let mode = match &member.link {
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
                incomplete = true;
                errors.push("webhook authorizer does not support user rule resolution".to_owned());
                continue;
            }
        };
        match mode {
            // What a node may do depends on its pods; nobody else has rules there.
            Mode::Node if request.user.node_name().is_some() => {
                incomplete = true;
                errors.push("node authorizer does not support user rule resolution".to_owned());
            }
            Mode::Node => {}
            Mode::Rbac => {
                let (rules, missing) = server
                    .authorizer
                    .rbac
                    .current()
                    .rules_of(&request.user, namespace);
                errors.extend(missing);
                for rule in rules {
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
    let mut status =
        json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": incomplete });
    if let Some(error) = aggregate(errors) {
        status["evaluationError"] = json!(error);
    }
    status
}
