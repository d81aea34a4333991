use super::Defaulting;
use crate::value::{Object, absent, items_mut, make, map_mut};
use serde_json::json;

/// Defaults of webhook configurations and admission policies.
pub(super) fn of(kind: &str) -> Option<Defaulting> {
    Some(match kind {
        "ValidatingWebhookConfiguration" => |object, _| items_mut(object, "webhooks").for_each(webhook),
        "MutatingWebhookConfiguration" => |object, _| {
            for hook in items_mut(object, "webhooks") {
                webhook(hook);
                absent(hook, "reinvocationPolicy", "Never");
            }
        },
        "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy" => |object, _| {
            let spec = make(object, "spec");
            absent(spec, "failurePolicy", "Fail");
            if let Some(constraints) = map_mut(spec, "matchConstraints") {
                resources(constraints);
            }
        },
        "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => |object, _| {
            if let Some(constraints) = map_mut(make(object, "spec"), "matchResources") {
                resources(constraints);
            }
        },
        _ => return None,
    })
}

fn webhook(webhook: &mut Object) {
    absent(webhook, "failurePolicy", "Fail");
    matching(webhook);
    absent(webhook, "timeoutSeconds", 10);
    scopes(webhook, "rules");
    if let Some(service) = map_mut(webhook, "clientConfig").and_then(|client| map_mut(client, "service")) {
        absent(service, "port", 443);
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
