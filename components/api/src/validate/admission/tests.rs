use super::*;
use serde_json::json;

fn found(kind: &str, new: &Value) -> Vec<String> {
    check(kind, new)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn hook() -> Value {
    json!({"name": "a.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": {"url": "https://a"}})
}

#[test]
fn webhooks_are_checked_field_by_field() {
    for (field, value, wrong) in [
        ("timeoutSeconds", json!(5), ""),
        (
            "admissionReviewVersions",
            json!(["v1", "v1"]),
            "webhooks[0].admissionReviewVersions[1]: Invalid value: \"v1\": duplicate version",
        ),
        (
            "clientConfig",
            json!({"url": "http://a"}),
            "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
        ),
        (
            "clientConfig",
            json!({"url": "https://"}),
            "webhooks[0].clientConfig.url: Invalid value: \"\": host must be specified; desired format: https://host[/path]",
        ),
        (
            "clientConfig",
            json!({"url": "https://a?b"}),
            "webhooks[0].clientConfig.url: Invalid value: \"b\": query parameters are not permitted in the URL",
        ),
        (
            "clientConfig",
            json!({"service": {"name": "a", "namespace": "b", "path": "/a//b"}}),
            "webhooks[0].clientConfig.service.path: Invalid value: \"/a//b\": segment[1] may not be empty",
        ),
        (
            "matchConditions",
            json!([{"name": "c", "expression": "true"}, {"name": "c", "expression": "true"}]),
            "webhooks[0].matchConditions[1].name: Duplicate value: \"c\"",
        ),
        (
            "matchConditions",
            json!([{"name": "c"}]),
            "webhooks[0].matchConditions[0].expression: Required value",
        ),
        (
            "rules",
            json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["a/*", "a/b"]}]),
            "webhooks[0].rules[0].resources[1]: Invalid value: \"a/b\": if 'a/*' is present, must not specify a/b",
        ),
    ] {
        let mut hook = hook();
        hook[field] = value;
        let wanted: Vec<&str> = Some(wrong)
            .filter(|wrong| !wrong.is_empty())
            .into_iter()
            .collect();
        assert_eq!(
            found("ValidatingWebhookConfiguration", &json!({"webhooks": [hook]})),
            wanted,
            "{field}"
        );
    }
}

#[test]
fn mutating_policies_cannot_ask_about_deletions() {
    let policy = |operation: &str| {
        json!({"spec": {
            "reinvocationPolicy": "Never",
            "matchConstraints": {"matchPolicy": "Exact", "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": [operation], "resources": ["a"]}]},
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}],
        }})
    };
    assert_eq!(
        found("MutatingAdmissionPolicy", &policy("CREATE")),
        Vec::<String>::new()
    );
    let wrong = "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"UPDATE\"";
    assert_eq!(found("MutatingAdmissionPolicy", &policy("DELETE")), [wrong]);
}
