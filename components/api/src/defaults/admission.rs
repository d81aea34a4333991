use crate::value::{Object, absent, items_mut, make, map_mut};
use serde_json::json;

/// Defaults of webhook configurations and admission policies.
pub(super) fn apply(kind: &str, object: &mut Object) {
    match kind {
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
            for webhook in items_mut(object, "webhooks") {
                absent(webhook, "failurePolicy", "Fail");
                matching(webhook);
                absent(webhook, "timeoutSeconds", 10);
                if kind.starts_with("Mutating") {
                    absent(webhook, "reinvocationPolicy", "Never");
                }
                scopes(webhook, "rules");
                if let Some(service) =
                    map_mut(webhook, "clientConfig").and_then(|client| map_mut(client, "service"))
                {
                    absent(service, "port", 443);
                }
            }
        }
        "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy" => {
            let spec = make(object, "spec");
            absent(spec, "failurePolicy", "Fail");
            if let Some(constraints) = map_mut(spec, "matchConstraints") {
                resources(constraints);
            }
        }
        "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => {
            if let Some(constraints) = map_mut(make(object, "spec"), "matchResources") {
                resources(constraints);
            }
        }
        _ => {}
    }
}

fn matching(map: &mut Object) {
    absent(map, "matchPolicy", "Equivalent");
    absent(map, "namespaceSelector", json!({}));
    absent(map, "objectSelector", json!({}));
}

fn resources(constraints: &mut Object) {
    matching(constraints);
    scopes(constraints, "resourceRules");
    scopes(constraints, "excludeResourceRules");
}

fn scopes(map: &mut Object, rules: &str) {
    items_mut(map, rules).for_each(|rule| absent(rule, "scope", "*"));
}
