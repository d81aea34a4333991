//! What kubelets may write, by table.

use super::*;
use serde_json::json;

#[test]
fn tokens_are_for_one_pod() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"});
    let without = |field: &str| {
        let mut pod = pod.clone();
        pod[field] = json!("");
        pod
    };
    let not_bound = Err("node requested token not bound to a pod");
    for (reference, expected) in [
        (pod.clone(), Ok(("p", "u"))),
        (Value::Null, not_bound),
        (without("apiVersion"), not_bound),
        (without("kind"), not_bound),
        (without("name"), not_bound),
        (
            without("uid"),
            Err("node requested token with a pod binding without a uid"),
        ),
    ] {
        let asked = json!({"spec": {"boundObjectRef": reference}});
        assert_eq!(token_reference(&asked), expected, "{asked}");
    }
}

#[test]
fn tokens_are_for_pods_of_the_node() {
    let gone = "the UID in the bound object reference (other) does not match the UID in record. The object might have been deleted and then recreated";
    let elsewhere = "node requested token bound to a pod scheduled on a different node";
    for (uid, node, expected) in [
        ("u", json!("n"), None),
        ("u", json!("m"), Some(elsewhere)),
        ("u", Value::Null, Some(elsewhere)),
        ("other", json!("n"), Some(gone)),
        ("other", json!("m"), Some(gone)),
    ] {
        let pod = json!({"metadata": {"uid": "u"}, "spec": {"nodeName": node}});
        assert_eq!(token_pod("n", uid, &pod).as_deref(), expected, "{uid} {node}");
    }
}

#[test]
fn claims_of_pods_are_not_the_kubelets() {
    let claim = |name: &str, error: &str| json!({"status": {"resourceClaimStatuses": [{"name": "a", "resourceClaimName": name, "error": error}]}});
    let extended = json!({"status": {"extendedResourceClaimStatus": {"resourceClaimName": "x"}}});
    for (old, new, expected) in [
        (json!({}), json!({"status": {"resourceClaimStatuses": []}}), None),
        (claim("x", ""), claim("x", "e"), None),
        (claim("x", ""), claim("y", ""), Some("resource claim statues")),
        (json!({}), extended, Some("extended resource claim status")),
    ] {
        assert_eq!(changed_claims(&old, &new), expected, "{old} {new}");
    }
}

#[test]
fn what_kubelets_report_of_claims() {
    let claim = |status: Value| json!({"metadata": {"resourceVersion": "1"}, "status": status});
    for (status, same) in [
        (json!({"capacity": {"storage": "1Gi"}, "conditions": [{}]}), true),
        (
            json!({"allocatedResources": {"storage": "1Gi"}, "allocatedResourceStatuses": {"storage": "x"}}),
            true,
        ),
        (json!({"phase": "Lost"}), false),
        (json!({"currentVolumeAttributesClassName": "x"}), false),
    ] {
        let found = api::same(
            &unreported(&claim(json!({}))),
            &unreported(&claim(status.clone())),
        );
        assert_eq!(found, same, "{status}");
    }
}

#[test]
fn reserved_label_keys() {
    for (key, expected) in [
        ("app", false),
        ("kubernetes.io/hostname", false),
        ("node.kubernetes.io/anything", false),
        ("kubelet.kubernetes.io/x", false),
        ("node-restriction.kubernetes.io/x", true),
        ("node-role.kubernetes.io/control-plane", true),
        ("kubernetes.io/x", true),
        ("example.com/x", false),
    ] {
        assert_eq!(is_reserved(key), expected, "{key}");
    }
}
