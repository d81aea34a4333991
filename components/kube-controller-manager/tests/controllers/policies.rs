//! What the status of an admission policy says of its expressions.

use serde_json::{Value, json};

use crate::cluster::Cluster;

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn policy(name: &str, group: &str, resource: &str, expression: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource],
            }]},
            "validations": [{"expression": expression}],
        },
    })
}

fn looked_at(policy: Option<&Value>, generation: i64) -> bool {
    policy.is_some_and(|policy| policy["status"]["observedGeneration"] == generation)
}

fn warnings(policy: &Value) -> Vec<String> {
    let warnings = policy["status"]["typeChecking"]["expressionWarnings"].as_array();
    warnings
        .into_iter()
        .flatten()
        .map(|warning| {
            format!(
                "{}: {}",
                warning["fieldRef"].as_str().unwrap(),
                warning["warning"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test]
async fn expressions_that_do_not_fit_their_kind_are_told_in_the_status() {
    let cluster = Cluster::start("validatingadmissionpolicy-status").await;
    cluster
        .create(
            POLICIES,
            &policy("built-in", "apps", "deployments", "object.spec.replicas > '1'"),
        )
        .await;
    let path = format!("{POLICIES}/built-in");
    let seen = cluster
        .until(&path, "is looked at", |policy| looked_at(policy, 1))
        .await
        .unwrap();
    let told = warnings(&seen);
    assert_eq!(told.len(), 1, "{seen}");
    assert!(
        told[0].starts_with("spec.validations[0].expression: apps/v1, Kind=Deployment: ERROR: "),
        "{told:?}"
    );
    // A right one has none.
    let right = json!({"spec": {"validations": [{"expression": "object.spec.replicas > 1"}]}});
    cluster.patch(&path, &right).await;
    let seen = cluster
        .until(&path, "is looked at again", |policy| looked_at(policy, 2))
        .await
        .unwrap();
    assert_eq!(warnings(&seen), [""; 0], "{seen}");
    assert!(seen["status"]["typeChecking"].is_object(), "{seen}");
}

#[tokio::test]
async fn expressions_about_custom_resources_are_held_against_their_schema() {
    let cluster = Cluster::start("validatingadmissionpolicy-status").await;
    cluster
        .create(
            DEFINITIONS,
            &json!({
                "metadata": {"name": "boats.example.org"},
                "spec": {
                    "group": "example.org", "scope": "Namespaced",
                    "names": {"kind": "Boat", "plural": "boats"},
                    "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"masts": {"type": "integer"}}}},
                    }}}],
                },
            }),
        )
        .await;
    cluster
        .until(
            &format!("{DEFINITIONS}/boats.example.org"),
            "is established",
            |definition| {
                let conditions =
                    definition.and_then(|definition| definition["status"]["conditions"].as_array());
                conditions
                    .into_iter()
                    .flatten()
                    .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
            },
        )
        .await;
    for (name, expression, want) in [
        ("right", "object.spec.masts < 4", 0),
        ("wrong-type", "object.spec.masts.startsWith('x')", 1),
        ("no-such-field", "object.spec.sails < 4", 1),
    ] {
        cluster
            .create(POLICIES, &policy(name, "example.org", "boats", expression))
            .await;
        let path = format!("{POLICIES}/{name}");
        let seen = cluster
            .until(&path, "is looked at", |policy| looked_at(policy, 1))
            .await
            .unwrap();
        assert_eq!(warnings(&seen).len(), want, "{seen}");
    }
}
