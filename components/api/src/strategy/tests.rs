//! What the kinds' rules are, row by row against upstream's strategies.
use super::*;
use crate::Registry;
use crate::features::{Feature, Features};
use apimachinery::managed_fields::OnlyVersion;
use serde_json::json;
use std::sync::Arc;

fn row(group: &str, plural: &str) -> Arc<Resource> {
    of(Features::default(), group, plural)
}

fn of(features: Features, group: &str, plural: &str) -> Arc<Resource> {
    let registry = Registry::with_features(features);
    registry.resource(group, "v1", plural).unwrap().clone()
}

/// An object after a write through an endpoint.
fn written(row: &Resource, subresource: &str, old: &Value, new: &Value) -> Value {
    let mut new = new.clone();
    let unchanged = Unchanged::between(old, &new);
    prepare_update(row, subresource, old, &mut new, unchanged).unwrap();
    new
}

#[test]
fn kinds_say_what_a_put_may_do() {
    let creatable = [
        "ClusterRole",
        "ClusterRoleBinding",
        "Endpoints",
        "Event",
        "Lease",
        "LimitRange",
        "Role",
        "RoleBinding",
        "RuntimeClass",
        "Service",
    ];
    let versioned = [
        "APIService",
        "CSIDriver",
        "CSINode",
        "CSIStorageCapacity",
        "CustomResourceDefinition",
        "Lease",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "PodDisruptionBudget",
        "RuntimeClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    ];
    let registry = Registry::built_in();
    let rows: Vec<_> = registry.iter().collect();
    for kind in creatable.iter().chain(&versioned) {
        assert!(rows.iter().any(|row| row.gvk.kind == *kind), "{kind}");
    }
    for row in rows {
        let (kind, rules) = (&*row.gvk.kind, rules(row));
        assert_eq!(rules.create_on_update, creatable.contains(&kind), "{kind}");
        assert_eq!(rules.unconditional_update, !versioned.contains(&kind), "{kind}");
    }
}

/// Metadata that a status endpoint lets through: labels, annotations, finalizers, owners, and the prefix of a name.
#[test]
fn status_endpoints_keep_the_metadata_that_is_not_theirs() {
    const ALL: [&str; 5] = [
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "generateName",
    ];
    let prefix: &[&str] = &["generateName"];
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}]);
    let metadata = json!({
        "name": "n", "uid": "u", "resourceVersion": "1", "generateName": "a-", "labels": {"a": "b"}, "annotations": {"a": "b"},
        "finalizers": ["example.com/a"], "ownerReferences": owner,
    });
    for (group, plural, through) in [
        ("", "namespaces", &ALL[..]),
        ("", "nodes", &ALL),
        ("", "persistentvolumeclaims", &ALL),
        ("", "persistentvolumes", &ALL),
        (
            "",
            "pods",
            &["labels", "annotations", "finalizers", "generateName"],
        ),
        ("", "replicationcontrollers", &ALL),
        ("", "resourcequotas", &ALL),
        ("", "services", &ALL),
        (
            "admissionregistration.k8s.io",
            "validatingadmissionpolicies",
            prefix,
        ),
        ("apiextensions.k8s.io", "customresourcedefinitions", &ALL),
        ("apiregistration.k8s.io", "apiservices", prefix),
        ("apps", "daemonsets", &ALL),
        (
            "apps",
            "deployments",
            &["annotations", "finalizers", "ownerReferences", "generateName"],
        ),
        ("apps", "replicasets", &ALL),
        ("apps", "statefulsets", &ALL),
        ("autoscaling", "horizontalpodautoscalers", &ALL),
        ("batch", "cronjobs", &ALL),
        ("batch", "jobs", &ALL),
        ("certificates.k8s.io", "certificatesigningrequests", &ALL),
        ("flowcontrol.apiserver.k8s.io", "flowschemas", &[]),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", &[]),
        ("networking.k8s.io", "ingresses", &ALL),
        ("networking.k8s.io", "servicecidrs", prefix),
        ("policy", "poddisruptionbudgets", &ALL),
        ("resource.k8s.io", "resourceclaims", prefix),
        ("storage.k8s.io", "volumeattachments", prefix),
    ] {
        let row = row(group, plural);
        // With other metadata, with none, and from none.
        let mut other = metadata.clone();
        for (field, value) in [
            ("generateName", json!("b-")),
            ("labels", json!({"a": "c"})),
            ("annotations", json!({"a": "c"})),
            ("finalizers", json!(["example.com/b"])),
            ("ownerReferences", json!([])),
        ] {
            other[field] = value;
        }
        let none = json!({"name": "n", "uid": "u", "resourceVersion": "1"});
        for (before, sent) in [(&metadata, &other), (&metadata, &none), (&none, &other)] {
            let after = written(
                &row,
                "status",
                &json!({"metadata": before}),
                &json!({"metadata": sent}),
            );
            for field in ALL {
                let expected = if through.contains(&field) { sent } else { before };
                let empty = |value: &Value| value.as_array().is_none_or(|list| !list.is_empty());
                let of = |metadata: &Value| metadata.get(field).cloned().filter(empty);
                // Daemon sets are given an annotation of their own.
                if (plural, field) == ("daemonsets", "annotations") {
                    assert_eq!(after["metadata"][field]["a"], expected[field]["a"]);
                } else {
                    assert_eq!(of(&after["metadata"]), of(expected), "{plural} {field}");
                }
            }
        }
    }
    let registry = Registry::built_in();
    assert_eq!(
        registry
            .iter()
            .filter(|row| row.subresource("status").is_some())
            .count(),
        27
    );
}

#[test]
fn writers_do_not_own_what_an_endpoint_leaves_alone() {
    let spec_only = json!({"f:spec": {}});
    let both = json!({"f:metadata": {}, "f:spec": {}});
    let status = json!({"f:status": {}});
    for (group, plural, subresource, expected) in [
        ("", "configmaps", "", json!({})),
        ("", "pods", "", status.clone()),
        (
            "",
            "pods",
            "status",
            json!({"f:metadata": {"f:deletionTimestamp": {}, "f:ownerReferences": {}}, "f:spec": {}}),
        ),
        ("", "namespaces", "status", spec_only.clone()),
        ("", "namespaces", "finalize", status.clone()),
        (
            "admissionregistration.k8s.io",
            "validatingadmissionpolicies",
            "status",
            both.clone(),
        ),
        (
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "status",
            json!({"f:spec": {}}),
        ),
        ("apiregistration.k8s.io", "apiservices", "status", both.clone()),
        (
            "apps",
            "deployments",
            "status",
            json!({"f:metadata": {"f:labels": {}}, "f:spec": {}}),
        ),
        (
            "certificates.k8s.io",
            "certificatesigningrequests",
            "",
            json!({"f:spec": {}, "f:status": {}}),
        ),
        (
            "certificates.k8s.io",
            "certificatesigningrequests",
            "status",
            json!({"f:spec": {}, "f:status": {"f:conditions": {}}}),
        ),
        (
            "certificates.k8s.io",
            "certificatesigningrequests",
            "approval",
            json!({"f:spec": {}, "f:status": {"f:certificate": {}}}),
        ),
        (
            "flowcontrol.apiserver.k8s.io",
            "flowschemas",
            "status",
            both.clone(),
        ),
        ("networking.k8s.io", "servicecidrs", "", status.clone()),
        ("networking.k8s.io", "servicecidrs", "status", both.clone()),
        ("resource.k8s.io", "resourceclaims", "status", both.clone()),
        ("storage.k8s.io", "volumeattachments", "status", both.clone()),
    ] {
        let fields = reset_fields(&row(group, plural), subresource).to_fields_v1();
        assert_eq!(fields, expected, "{plural} {subresource}");
    }
    let before = Features::default().with(Feature::ServiceCIDRStatusFieldWiping, false);
    let cidrs = of(before, "networking.k8s.io", "servicecidrs");
    assert!(reset_fields(&cidrs, "").is_empty());
    let pods = row("", "pods");
    for (subresource, own) in [
        ("ephemeralcontainers", &["ephemeralContainers"][..]),
        ("resize", &["containers", "initContainers"]),
    ] {
        let fields = reset_fields(&pods, subresource);
        let spec = fields.below("f:spec").unwrap();
        for name in ["metadata", "status"] {
            assert!(fields.has(&format!("f:{name}")), "{subresource} {name}");
        }
        for name in [
            "containers",
            "initContainers",
            "ephemeralContainers",
            "nodeName",
            "resources",
        ] {
            assert_eq!(
                spec.has(&format!("f:{name}")),
                !own.contains(&name),
                "{subresource} {name}"
            );
        }
    }
}

#[test]
fn a_resize_owns_only_what_it_can_change_of_containers() {
    let pods = row("", "pods");
    let container = |name: &str| json!({"name": name, "image": "i", "resources": {"limits": {"cpu": "1"}}});
    let mut sent = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"nodeName": "n", "containers": [container("c")], "initContainers": [container("i")]},
    });
    let writer = apimachinery::managed_fields::Writer {
        manager: "resizer",
        subresource: "resize",
        now: "2026-01-01T00:00:00Z",
    };
    let owned = |name: &str| json!({format!("k:{{\"name\":\"{name}\"}}"): {".": {}, "f:resources": {"f:limits": {"f:cpu": {}}}}});
    let expected = json!({"f:spec": {"f:containers": owned("c"), "f:initContainers": owned("i")}});
    let (applied, _) = crate::managed::apply(&pods, None, &sent, writer, false, &OnlyVersion).unwrap();
    assert_eq!(
        applied.into_whole()["metadata"]["managedFields"][0]["fieldsV1"],
        expected
    );
    let before = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "managedFields": [{
        "manager": "other", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:nodeName": {}}},
    }]}, "spec": {"nodeName": "m"}});
    crate::managed::track_whole(&pods, Some(&before), &mut sent, writer);
    let fields = |at: usize| &sent["metadata"]["managedFields"][at]["fieldsV1"];
    // Nobody loses what a resize does not change.
    assert_eq!(fields(0), &json!({"f:spec": {"f:nodeName": {}}}));
    let owned = |name: &str| json!({".": {}, format!("k:{{\"name\":\"{name}\"}}"): {".": {}, "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}}}}});
    assert_eq!(
        fields(1),
        &json!({"f:spec": {"f:containers": owned("c"), "f:initContainers": owned("i")}})
    );
}

#[test]
fn an_apply_to_what_the_endpoint_never_changes_is_no_conflict() {
    let deployments = row("apps", "deployments");
    let writer = |manager, subresource| apimachinery::managed_fields::Writer {
        manager,
        subresource,
        now: "2026-01-01T00:00:00Z",
    };
    let object = |replicas: u32| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "status": {"replicas": replicas}});
    let (live, _) = crate::managed::apply(
        &deployments,
        None,
        &object(1),
        writer("a", "status"),
        false,
        &OnlyVersion,
    )
    .unwrap();
    crate::managed::apply(
        &deployments,
        Some(&live),
        &object(2),
        writer("b", ""),
        false,
        &OnlyVersion,
    )
    .unwrap();
    crate::managed::apply(
        &deployments,
        Some(&live),
        &object(2),
        writer("b", "status"),
        false,
        &OnlyVersion,
    )
    .unwrap_err();
}

#[test]
fn generations_of_new_objects_are_one_or_what_was_sent() {
    for (group, plural, sent, expected) in [
        ("apps", "deployments", json!(7), json!(1)),
        ("apps", "deployments", Value::Null, json!(1)),
        ("flowcontrol.apiserver.k8s.io", "flowschemas", json!(7), json!(1)),
        ("", "configmaps", json!(7), json!(7)),
        ("", "configmaps", Value::Null, Value::Null),
        ("storage.k8s.io", "csidrivers", json!(7), json!(7)),
        ("autoscaling", "horizontalpodautoscalers", json!(7), json!(7)),
    ] {
        let mut object = json!({"metadata": {"name": "n", "uid": "u"}});
        if !sent.is_null() {
            object["metadata"]["generation"] = sent.clone();
        }
        prepare_create(&row(group, plural), &mut object).unwrap();
        assert_eq!(object["metadata"]["generation"], expected, "{plural} {sent}");
    }
}

#[test]
fn generations_count_what_is_wanted() {
    let object = |labels: Value, annotations: Value| json!({"metadata": {"name": "n", "uid": "u", "generation": 3, "labels": labels, "annotations": annotations}});
    let some = || json!({"a": "b"});
    for (group, plural, subresource, old, new, counted) in [
        (
            "apps",
            "deployments",
            "",
            object(some(), some()),
            object(some(), json!({"a": "c"})),
            true,
        ),
        (
            "apps",
            "deployments",
            "",
            object(some(), some()),
            object(some(), Value::Null),
            true,
        ),
        (
            "apps",
            "deployments",
            "",
            object(some(), json!({})),
            object(some(), Value::Null),
            false,
        ),
        (
            "apps",
            "deployments",
            "",
            object(some(), some()),
            object(json!({}), some()),
            false,
        ),
        (
            "apps",
            "deployments",
            "status",
            object(some(), some()),
            object(some(), json!({})),
            false,
        ),
        (
            "apps",
            "replicasets",
            "",
            object(some(), some()),
            object(some(), json!({})),
            false,
        ),
        (
            "discovery.k8s.io",
            "endpointslices",
            "",
            object(some(), some()),
            object(json!({}), some()),
            true,
        ),
        (
            "discovery.k8s.io",
            "endpointslices",
            "",
            object(some(), some()),
            object(some(), json!({})),
            false,
        ),
        (
            "",
            "configmaps",
            "",
            object(some(), some()),
            object(json!({}), json!({})),
            false,
        ),
    ] {
        let row = row(group, plural);
        let fitted = |mut object: Value| {
            decode::fit(&row.schemas, row.schema_id, &mut object).unwrap();
            object
        };
        let after = written(&row, subresource, &fitted(old), &fitted(new.clone()));
        assert_eq!(
            after["metadata"]["generation"],
            3 + i64::from(counted),
            "{plural} {new}"
        );
    }
}

#[test]
fn local_services_are_available_at_once() {
    let services = row("apiregistration.k8s.io", "apiservices");
    for (spec, local) in [
        (json!({"group": "a.example.com", "version": "v1"}), true),
        (json!({"service": {"name": "s", "namespace": "n"}}), false),
    ] {
        let metadata = json!({"name": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"});
        let mut object =
            json!({"metadata": metadata, "spec": spec, "status": {"conditions": [{"type": "Odd"}]}});
        prepare_create(&services, &mut object).unwrap();
        let reason = &object["status"]["conditions"][0]["reason"];
        assert_eq!(*reason, if local { json!("Local") } else { Value::Null });
    }
}

#[test]
fn nodes_keep_the_configuration_that_they_have() {
    let nodes = row("", "nodes");
    let source = json!({"configMap": {"name": "m", "namespace": "n", "kubeletConfigKey": "k"}});
    let node = |spec: bool, status: bool| {
        let mut node = json!({"metadata": {"name": "n", "uid": "u"}, "spec": {}, "status": {}});
        if spec {
            node["spec"]["configSource"] = source.clone();
        }
        if status {
            node["status"]["config"] = json!({"active": source});
        }
        node
    };
    let has = |node: &Value| {
        (
            !node["spec"]["configSource"].is_null(),
            !node["status"]["config"].is_null(),
        )
    };
    let mut made = node(true, true);
    prepare_create(&nodes, &mut made).unwrap();
    assert_eq!(has(&made), (false, false));
    for (subresource, old, expected) in [
        ("", (false, false), (false, false)),
        ("", (true, false), (true, false)),
        ("status", (false, false), (false, false)),
        ("status", (false, true), (false, true)),
    ] {
        let after = written(&nodes, subresource, &node(old.0, old.1), &node(true, true));
        assert_eq!(has(&after), expected, "{subresource} {old:?}");
    }
}
