use super::*;
use serde_json::json;

fn found(kind: &str, new: &Value) -> Vec<String> {
    changed(kind, None, new)
}

fn changed(kind: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    check(kind, old, new)
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
            json!({"url": "https://a b"}),
            "webhooks[0].clientConfig.url: Required value: url must be a valid URL: parse \"https://a b\": invalid character \" \" in host name; desired format: https://host[/path]",
        ),
        (
            "clientConfig",
            json!({"url": "https://@a"}),
            "webhooks[0].clientConfig.url: Invalid value: \"\": user information is not permitted in the URL",
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
            "name",
            json!("a.b"),
            "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
        ),
        (
            "sideEffects",
            json!("Some"),
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
        ),
        (
            "rules",
            json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["*", "pods"]}]),
            "webhooks[0].rules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources without subresources",
        ),
        (
            "rules",
            json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods", "*"]}]),
            "",
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
fn names_that_are_too_long_and_odd_are_told_at_once() {
    let name = format!("A{}", "x".repeat(253));
    let mut hook = hook();
    hook["name"] = json!(name);
    let wrong = found("ValidatingWebhookConfiguration", &json!({"webhooks": [hook]}));
    assert_eq!(wrong.len(), 1);
    assert!(
        wrong[0].contains("must be no more than 253 characters,a lowercase RFC 1123 subdomain"),
        "{wrong:?}"
    );
}

/// A webhook of before there was a rule may stay as it is.
#[test]
fn older_webhooks_keep_what_was_let_through() {
    let selector =
        |value: &str| json!({"matchExpressions": [{"key": "a", "operator": "In", "values": [value]}]});
    for (field, kept, other) in [
        ("sideEffects", json!("Some"), json!("Odd")),
        ("admissionReviewVersions", json!(["v7"]), json!([])),
        (
            "namespaceSelector",
            selector("-"),
            json!({"matchLabels": {"a": "-"}}),
        ),
        (
            "matchConditions",
            json!([{"name": "c", "expression": "("}]),
            json!([{"name": "c", "expression": "(("}]),
        ),
    ] {
        let configuration = |value: &Value| {
            let mut hook = hook();
            hook[field] = value.clone();
            json!({"webhooks": [hook]})
        };
        for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
            let (old, wrong) = (configuration(&kept), configuration(&other));
            assert!(!found(kind, &old).is_empty(), "{field}");
            assert!(!changed(kind, Some(&json!({"webhooks": [hook()]})), &old).is_empty());
            assert_eq!(changed(kind, Some(&old), &old), [""; 0], "{field}");
            assert!(!changed(kind, Some(&old), &wrong).is_empty(), "{field}");
        }
    }
    let twice = json!({"webhooks": [hook(), hook()]});
    let kind = "MutatingWebhookConfiguration";
    assert_eq!(
        found(kind, &twice),
        ["webhooks[1].name: Duplicate value: \"a.example.com\""]
    );
    assert_eq!(changed(kind, Some(&twice), &twice), [""; 0]);
    // Another number of webhooks is a change of all their conditions.
    let mut bad = hook();
    bad["matchConditions"] = json!([{"name": "c", "expression": "("}]);
    let (one, two) = (json!({"webhooks": [bad]}), json!({"webhooks": [bad, bad]}));
    assert!(!changed(kind, Some(&two), &one).is_empty());
}

fn matched() -> Value {
    json!({
        "matchPolicy": "Exact", "namespaceSelector": {}, "objectSelector": {},
        "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["a"]}],
    })
}

fn policy() -> Value {
    json!({
        "failurePolicy": "Fail", "matchConstraints": matched(), "validations": [{"expression": "true"}],
    })
}

fn mutating_policy() -> Value {
    json!({
        "failurePolicy": "Fail", "matchConstraints": matched(), "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}],
    })
}

fn rows(kind: &str, spec: impl Fn() -> Value, rows: &[(&str, Value, &str)]) {
    assert_eq!(
        found(kind, &json!({"metadata": {"name": "p"}, "spec": spec()})),
        [""; 0]
    );
    for (field, value, wrong) in rows {
        let mut spec = spec();
        spec[*field] = value.clone();
        let object = json!({"metadata": {"name": "p"}, "spec": spec});
        let wanted: Vec<&str> = wrong.split('¦').filter(|wrong| !wrong.is_empty()).collect();
        assert_eq!(found(kind, &object), wanted, "{field} {value}");
    }
}

#[test]
fn validating_policies_are_checked_field_by_field() {
    let mut named = matched();
    named["resourceRules"][0]["resourceNames"] = json!(["a", "a", "b/c"]);
    let mut unruled = matched();
    unruled["resourceRules"] = json!([]);
    rows(
        "ValidatingAdmissionPolicy",
        policy,
        &[
            (
                "failurePolicy",
                json!("Maybe"),
                "spec.failurePolicy: Unsupported value: \"Maybe\": supported values: \"Fail\", \"Ignore\"",
            ),
            (
                "paramKind",
                json!({"apiVersion": "example.com/v1", "kind": "Limit"}),
                "",
            ),
            (
                "paramKind",
                json!({}),
                "spec.paramKind.apiVersion: Required value¦spec.paramKind.kind: Required value",
            ),
            (
                "paramKind",
                json!({"apiVersion": "a/b/c", "kind": "K"}),
                "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            ),
            (
                "paramKind",
                json!({"apiVersion": "a/", "kind": "K"}),
                "spec.paramKind.apiVersion: Invalid value: \"a/\": version must be specified",
            ),
            (
                "paramKind",
                json!({"apiVersion": "A/1", "kind": "1"}),
                "spec.paramKind.apiVersion: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')¦spec.paramKind.apiVersion: Invalid value: \"1\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')¦spec.paramKind.kind: Invalid value: \"1\": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ),
            (
                "matchConstraints",
                named,
                "spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: \"a\"¦spec.matchConstraints.resourceRules[0].resourceNames[2]: Invalid value: \"b/c\": may not contain '/'",
            ),
            (
                "matchConstraints",
                unruled,
                "spec.matchConstraints.resourceRules: Required value",
            ),
            (
                "matchConditions",
                json!([{"name": "c", "expression": " ( "}]),
                "spec.matchConditions[0].expression: Invalid value: \"(\": compilation failed: ERROR: <input>:1:2: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | (\n | .^",
            ),
            (
                "validations",
                json!([{"expression": "true", "message": " \n "}]),
                "spec.validations[0].message: Invalid value: \" \\n \": must be non-empty if specified",
            ),
            (
                "validations",
                json!([{"expression": "true", "message": "a\rb"}]),
                "spec.validations[0].message: Invalid value: \"a\\rb\": must not contain line breaks",
            ),
            (
                "validations",
                json!([{"expression": "true", "message": "a\n"}]),
                "",
            ),
            (
                "auditAnnotations",
                json!([{"key": "k", "valueExpression": format!("{}'a'", " ".repeat(6000))}]),
                "",
            ),
            (
                "auditAnnotations",
                json!([{"key": "k", "valueExpression": format!("'{}'", "a".repeat(5119))}]),
                "spec.auditAnnotations[0].valueExpression: Required value: must not exceed 5120 bytes in length",
            ),
            (
                "auditAnnotations",
                json!([{"key": "k", "valueExpression": " 1 "}]),
                "spec.auditAnnotations[0].valueExpression: Invalid value: \" 1 \": must evaluate to one of [string null_type] but got int",
            ),
        ],
    );
}

#[test]
fn mutating_policies_are_checked_field_by_field() {
    let mutation = |mutation: Value| json!([mutation]);
    let mut deleting = matched();
    deleting["resourceRules"][0]["operations"] = json!(["DELETE"]);
    let object = json!({"expression": "Object{}"});
    rows(
        "MutatingAdmissionPolicy",
        mutating_policy,
        &[
            (
                "matchConstraints",
                deleting,
                "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"UPDATE\"",
            ),
            (
                "mutations",
                json!([]),
                "spec.mutations: Required value: mutations must contain at least one item",
            ),
            (
                "mutations",
                mutation(json!({"patchType": "ApplyConfiguration", "applyConfiguration": object})),
                "",
            ),
            (
                "mutations",
                mutation(json!({"patchType": "ApplyConfiguration"})),
                "spec.mutations[0].applyConfiguration: Required value: must be specified when patchType is ApplyConfiguration",
            ),
            (
                "mutations",
                mutation(
                    json!({"patchType": "ApplyConfiguration", "applyConfiguration": object, "jsonPatch": {}}),
                ),
                "spec.mutations[0].jsonPatch: Invalid value: \"{jsonPatch}\": must not be specified when patchType is ApplyConfiguration",
            ),
            (
                "mutations",
                mutation(
                    json!({"patchType": "JSONPatch", "applyConfiguration": object, "jsonPatch": {"expression": "[]"}}),
                ),
                "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified when patchType is JSONPatch",
            ),
            (
                "mutations",
                mutation(json!({"patchType": "JSONPatch", "jsonPatch": {"expression": " variables.a "}})),
                "spec.mutations[0].jsonPatch.expression: Invalid value: \"variables.a\": compilation failed: ERROR: <input>:1:10: undefined field 'a'\n | variables.a\n | .........^",
            ),
            (
                "reinvocationPolicy",
                json!(""),
                "spec.reinvocationPolicy: Required value",
            ),
        ],
    );
    // Only mutations construct what is patched.
    let mut spec = mutating_policy();
    spec["variables"] = json!([{"name": "v", "expression": "JSONPatch{op: 'test', path: '/a'}"}]);
    let wrong = found("MutatingAdmissionPolicy", &json!({"spec": spec}));
    assert!(
        wrong[0].starts_with("spec.variables[0].expression: Invalid value"),
        "{wrong:?}"
    );
}

#[test]
fn bindings_say_what_parameters_are() {
    let (name, selector) = (json!("a"), json!({"matchLabels": {"a": "b"}}));
    let parameters = |fields: &[(&str, Value)]| {
        let fields = fields
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        Value::Object(
            fields
                .chain([("parameterNotFoundAction".to_owned(), json!("Deny"))])
                .collect(),
        )
    };
    let rules = &[
        ("policyName", json!(""), "spec.policyName: Required value"),
        ("paramRef", parameters(&[("name", name.clone())]), ""),
        ("paramRef", parameters(&[("selector", selector.clone())]), ""),
        (
            "paramRef",
            parameters(&[]),
            "spec.paramRef: Required value: one of name or selector must be specified",
        ),
        (
            "paramRef",
            parameters(&[("name", name.clone()), ("selector", selector)]),
            "spec.paramRef.name: Forbidden: name and selector are mutually exclusive¦spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
        ),
        (
            "paramRef",
            parameters(&[("name", json!("a%"))]),
            "spec.paramRef.name: Invalid value: \"a%\": may not contain '%'",
        ),
        (
            "paramRef",
            parameters(&[(
                "selector",
                json!({"matchExpressions": [{"key": "a", "operator": "Is"}]}),
            )]),
            "spec.paramRef.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
        ),
        (
            "paramRef",
            json!({"name": "a"}),
            "spec.paramRef.parameterNotFoundAction: Required value",
        ),
        (
            "paramRef",
            json!({"name": "a", "parameterNotFoundAction": ""}),
            "spec.paramRef.parameterNotFoundAction: Required value",
        ),
        (
            "paramRef",
            json!({"name": "a", "parameterNotFoundAction": "Ask"}),
            "spec.paramRef.parameterNotFoundAction: Unsupported value: \"Ask\": supported values: \"Deny\", \"Allow\"",
        ),
    ];
    let binding = || json!({"policyName": "p", "validationActions": ["Deny"]});
    rows("ValidatingAdmissionPolicyBinding", binding, rules);
    rows(
        "MutatingAdmissionPolicyBinding",
        || json!({"policyName": "p"}),
        rules,
    );
    let mut deleting = matched();
    deleting["resourceRules"][0]["operations"] = json!(["DELETE"]);
    rows(
        "ValidatingAdmissionPolicyBinding",
        binding,
        &[
            ("matchResources", deleting.clone(), ""),
            (
                "validationActions",
                json!([]),
                "spec.validationActions: Required value: at least one validation action is required",
            ),
            (
                "validationActions",
                json!(["Audit", "Audit"]),
                "spec.validationActions[1]: Duplicate value: \"Audit\"",
            ),
            (
                "validationActions",
                json!(["Warn", "Deny"]),
                "spec.validationActions: Invalid value: [\"Warn\",\"Deny\"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
            ),
        ],
    );
    rows(
        "MutatingAdmissionPolicyBinding",
        || json!({"policyName": "p"}),
        &[(
            "matchResources",
            deleting,
            "spec.matchResources.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"UPDATE\"",
        )],
    );
}

#[test]
fn match_conditions_of_policies_stay_while_nothing_they_name_changes() {
    for (kind, spec) in [
        ("ValidatingAdmissionPolicy", policy()),
        ("MutatingAdmissionPolicy", mutating_policy()),
    ] {
        let with = |expression: &str, params: bool| {
            let mut spec = spec.clone();
            spec["matchConditions"] = json!([{"name": "c", "expression": expression}]);
            if params {
                spec["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
            }
            json!({"metadata": {"name": "p"}, "spec": spec})
        };
        let old = with("params.a", false);
        assert_eq!(changed(kind, Some(&old), &old), [""; 0]);
        assert_eq!(changed(kind, Some(&old), &with("params.b", false)).len(), 1);
        let bad = with("params.", true);
        assert_eq!(changed(kind, Some(&bad), &with("params.", false)).len(), 1);
    }
}

#[test]
fn warnings_in_a_status_say_what_and_where() {
    let status = |warning: &str, field: &str| {
        let warnings = json!([{"warning": warning, "fieldRef": field}]);
        json!({"status": {"typeChecking": {"expressionWarnings": warnings}}})
    };
    for (warning, field, wrong) in [
        ("w", "spec.validations[0].expression", vec![]),
        (
            "",
            " ",
            vec![
                "status.typeChecking.expressionWarnings[0].warning: Required value",
                "status.typeChecking.expressionWarnings[0].fieldRef: Required value",
            ],
        ),
        (
            "w",
            " spec[x] ",
            vec![
                "status.typeChecking.expressionWarnings[0].fieldRef: Invalid value: \"spec[x]\": invalid JSONPath: invalid array index x",
            ],
        ),
    ] {
        let errors = type_checking(&status(warning, field), &Path::new("status"));
        let found: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(found, wrong, "{warning} {field}");
    }
}
