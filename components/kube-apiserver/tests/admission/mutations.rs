//! What becomes of the mutations of MutatingAdmissionPolicies.

use crate::bench::{Bench, CONFIGURATIONS};
use crate::policies::{answer, maps};
use serde_json::{Value, json};

const MAPS: &str = crate::bench::MAPS;

/// A policy for config maps of the same name.
async fn mutate(bench: &Bench, name: &str, failure: &str, patch_type: &str, expression: &str) {
    let field = if patch_type == "JSONPatch" {
        "jsonPatch"
    } else {
        "applyConfiguration"
    };
    let spec = json!({
        "matchConstraints": maps(),
        "reinvocationPolicy": "Never",
        "failurePolicy": failure,
        "matchConditions": [{"name": "own", "expression": format!("object.metadata.name == '{name}'")}],
        "mutations": [{"patchType": patch_type, field: {"expression": expression}}],
    });
    bench
        .bound("MutatingAdmissionPolicy", name, spec, json!({}))
        .await;
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "b"}})
}

#[tokio::test]
async fn mutations_are_checked_when_they_are_made() {
    let bench = Bench::start(answer).await;
    let denied =
        |name: &str, why: &str| format!("policy '{name}' with binding '{name}' denied request: {why}");
    let internal = |why: &str| format!("Internal error occurred: {why}");
    let misplaced = "type mismatch: unexpected type name \"Object.meta\", expected \"Object.metadata\", which matches field name path from root Object type";
    let cases = [
        (
            "named",
            "Fail",
            "ApplyConfiguration",
            "Object{metadata: Object.meta{labels: {'a': 'b'}}}",
            403,
            "Invalid",
            denied("named", misplaced),
        ),
        (
            "named-in-patch",
            "Fail",
            "JSONPatch",
            "[JSONPatch{op: 'add', path: '/metadata/labels', value: Object{metadata: Object.meta{}}}]",
            403,
            "Invalid",
            denied("named-in-patch", misplaced),
        ),
        (
            "unknown",
            "Ignore",
            "JSONPatch",
            "[JSONPatch{op: 'add', path: '/foo', value: 1}, JSONPatch{op: 'add', path: '/metadata/bar', value: 1}]",
            500,
            "InternalError",
            internal("strict decoding error: unknown field \"foo\", unknown field \"metadata.bar\""),
        ),
        (
            "type",
            "Ignore",
            "JSONPatch",
            "[JSONPatch{op: 'replace', path: '/data', value: 'x'}]",
            500,
            "InternalError",
            internal(
                "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
            ),
        ),
        (
            "secret",
            "Ignore",
            "JSONPatch",
            "[JSONPatch{op: 'replace', path: '/kind', value: 'Secret'}]",
            500,
            "InternalError",
            internal(
                "failed to convert object: converting (v1.Secret) to (core.ConfigMap): unknown conversion",
            ),
        ),
        (
            "runtime",
            "Fail",
            "JSONPatch",
            "[JSONPatch{op: 'add', path: '/data/x', value: object.data.none}]",
            403,
            "Invalid",
            denied(
                "runtime",
                "expression '[JSONPatch{op: 'add', path: '/data/x', value: object.data.none}]' resulted in error: no such key: none",
            ),
        ),
    ];
    for (name, failure, patch_type, expression, ..) in &cases {
        mutate(&bench, name, failure, patch_type, expression).await;
    }
    bench.acts(cases[cases.len() - 1].0).await;
    for (name, _, _, _, code, reason, message) in cases {
        let (found, status, _) = bench.post(MAPS, &map(name)).await;
        assert_eq!(
            (found, &status["reason"], &status["message"]),
            (code, &json!(reason), &json!(message))
        );
    }
}

#[tokio::test]
async fn what_a_configuration_says_of_its_type_does_not_matter() {
    let bench = Bench::start(answer).await;
    mutate(
        &bench,
        "typed",
        "Fail",
        "ApplyConfiguration",
        "Object{kind: 'Foo', apiVersion: 'x/v7', data: {'made': 'yes'}}",
    )
    .await;
    let spec = json!({
        "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE"]}]},
        "reinvocationPolicy": "Never",
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.spec{replicas: 2.0}}"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/spec/minReadySeconds', value: 3.0}]"}},
        ],
    });
    bench
        .bound("MutatingAdmissionPolicy", "numbers", spec, json!({}))
        .await;
    bench.acts("numbers").await;
    let (code, made, _) = bench.post(MAPS, &map("typed")).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        (&made["kind"], &made["data"]["made"]),
        (&json!("ConfigMap"), &json!("yes"))
    );
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let (code, made, _) = bench
        .post("/apis/apps/v1/namespaces/default/deployments", &deployment)
        .await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        (&made["spec"]["replicas"], &made["spec"]["minReadySeconds"]),
        (&json!(2), &json!(3))
    );
}

#[tokio::test]
async fn configurations_that_cannot_be_used() {
    let bench = Bench::start(answer).await;
    let condition =
        |name: &str| json!([{"name": "own", "expression": format!("object.metadata.name == '{name}'")}]);
    let mutations = json!([{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}]);
    let spec = json!({
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"], "operations": ["CREATE"]}]},
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "reinvocationPolicy": "Never",
        "matchConditions": condition("s"),
        "mutations": mutations,
    });
    let binding =
        json!({"paramRef": {"name": "none", "namespace": "default", "parameterNotFoundAction": "Deny"}});
    bench
        .bound("MutatingAdmissionPolicy", "unbound", spec, binding)
        .await;
    bench.acts("unbound").await;
    let secret = json!({"metadata": {"name": "s"}});
    let (code, status, _) = bench.post("/api/v1/namespaces/default/secrets", &secret).await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        status["message"],
        "policy 'unbound' with binding 'unbound' denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    );
}

#[tokio::test]
async fn the_type_of_a_patch_is_checked_when_it_is_stored() {
    let bench = Bench::start(answer).await;
    for (expression, why) in [
        (
            "[JSONPatch{op: 'add', path: 1}]",
            "ERROR: <input>:1:27: expected type of field 'path' is 'string' but provided type is 'int'",
        ),
        (
            "[JSONPatch{op: 'add', where: 1}]",
            "ERROR: <input>:1:28: undefined field 'where'",
        ),
    ] {
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": "p"},
            "spec": {"matchConstraints": maps(), "reinvocationPolicy": "Never",
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]},
        });
        let path = format!("{CONFIGURATIONS}/mutatingadmissionpolicies");
        let (code, status, _) = bench.post(&path, &policy).await;
        assert_eq!(code, 422, "{status}");
        assert!(status["message"].as_str().unwrap().contains(why), "{status}");
    }
}

#[tokio::test]
async fn annotations_and_messages_cannot_ask_for_rights() {
    let bench = Bench::start(answer).await;
    let allowed = "authorizer.requestResource.check('create').allowed()";
    for (name, spec) in [
        (
            "annotated",
            json!({"matchConstraints": maps(), "matchConditions": [{"name": "own", "expression": "object.metadata.name == 'annotated'"}],
                "validations": [{"expression": allowed}],
                "auditAnnotations": [{"key": "k", "valueExpression": format!("{allowed} ? 'y' : 'n'")}]}),
        ),
        (
            "messaged",
            json!({"matchConstraints": maps(), "matchConditions": [{"name": "own", "expression": "object.metadata.name == 'messaged'"}],
                "variables": [{"name": "may", "expression": allowed}],
                "validations": [{"expression": "!variables.may", "message": "plainly", "messageExpression": "string(variables.may)"}]}),
        ),
    ] {
        let binding = json!({"validationActions": ["Deny"]});
        bench
            .bound("ValidatingAdmissionPolicy", name, spec, binding)
            .await;
    }
    bench.acts("messaged").await;
    for (name, why) in [
        (
            "annotated",
            "expression 'authorizer.requestResource.check('create').allowed() ? 'y' : 'n'' resulted in error: no such attribute(s): authorizer.requestResource",
        ),
        ("messaged", "plainly"),
    ] {
        let (code, status, _) = bench.post(MAPS, &map(name)).await;
        assert_eq!(code, 422, "{status}");
        assert!(status["message"].as_str().unwrap().ends_with(why), "{status}");
    }
}
