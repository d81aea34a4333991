use super::*;
use crate::Registry;
use crate::defaults;
use apimachinery::decode;

mod definition;

/// The object as the server has it: in the form and with the defaults of now.
fn read(kind: &GroupVersionKind, mut stored: Value) -> Value {
    let registry = Registry::built_in();
    let row = registry.kind(kind).unwrap();
    let version = stored["apiVersion"].as_str().unwrap().to_owned();
    find(kind, &version)
        .unwrap()
        .upgrade(&row.storage_version, &mut stored);
    let unknown = decode::fit(&row.schemas, row.schema_id, &mut stored).unwrap();
    assert!(unknown.is_empty(), "{unknown:?}");
    defaults::apply(row, &mut stored);
    stored
}

#[test]
fn each_row_is_of_a_kind_that_is_stored() {
    let registry = Registry::built_in();
    for former in FORMER {
        for kind in former.kinds {
            let row = registry
                .stored()
                .find(|row| row.gvk.group == former.group && row.gvk.kind == *kind)
                .unwrap();
            for version in former.versions {
                let parsed = GroupVersion::parse(version).unwrap();
                assert_ne!(parsed, row.storage_version);
                assert!(
                    parsed.group == former.group || parsed.group == "extensions",
                    "{version}"
                );
                assert!(std::ptr::eq(find(&row.gvk, version).unwrap(), former));
            }
        }
    }
    let pod = registry.resource("", "v1", "pods").unwrap();
    assert!(find(&pod.gvk, "v1beta1").is_none());
}

#[test]
fn what_is_written_in_an_older_version_is_read_from_it() {
    let registry = Registry::built_in();
    let older: Vec<_> = registry
        .stored()
        .filter(|row| row.written_version() != row.storage_version)
        .collect();
    assert_eq!(older.len(), 3);
    for row in older {
        assert!(find(&row.gvk, &row.written_version().to_string()).is_some());
    }
}

#[test]
fn what_an_older_server_has_to_read_is_written_for_it() {
    let all = Registry::built_in();
    for (least, slices, classes) in [(33, "v1beta2", "v1beta1"), (34, "v1", "v1"), (35, "v1", "v1")] {
        let registry = all.readable_by(least);
        assert_eq!(registry.iter().count(), all.iter().count());
        let written = |group: &str, plural: &str| {
            let row = registry.resource(group, "v1", plural).unwrap();
            let version = row.written_version();
            assert!(version == row.storage_version || find(&row.gvk, &version.to_string()).is_some());
            version.version
        };
        for plural in [
            "resourceslices",
            "resourceclaims",
            "resourceclaimtemplates",
            "deviceclasses",
        ] {
            assert_eq!(written(RESOURCE, plural), slices, "{plural}");
        }
        assert_eq!(written(STORAGE, "volumeattributesclasses"), classes);
        assert_eq!(written("apps", "deployments"), "v1");
        // What is always written in an older version is in that.
        assert_eq!(written(ADMISSION, "mutatingadmissionpolicies"), "v1beta1");
    }
}

fn template() -> Value {
    json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } })
}

/// Group, version, kind, what is stored, and what is there then; null is nothing.
#[test]
fn older_forms_become_those_of_now() {
    let none_of = json!({ "matchExpressions": [{ "key": "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", "operator": "Exists" }] });
    let all_of = json!({ "matchExpressions": [{ "key": "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", "operator": "DoesNotExist" }] });
    let cases = [
        (
            ("apps", "v1", "Deployment"),
            json!({ "apiVersion": "extensions/v1beta1", "spec": { "template": template(), "rollbackTo": { "revision": 3 } } }),
            json!({
                "/metadata/labels/a": "b",
                "/metadata/annotations/deprecated.deployment.rollback.revision": "3",
                "/spec/selector/matchLabels/a": "b",
                "/spec/strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 1 } },
                "/spec/revisionHistoryLimit": i32::MAX,
                "/spec/progressDeadlineSeconds": i32::MAX,
                "/spec/replicas": 1,
            }),
        ),
        (
            ("apps", "v1", "Deployment"),
            json!({ "apiVersion": "apps/v1beta1", "metadata": { "labels": { "own": "1" } }, "spec": { "template": template() } }),
            json!({
                "/metadata/labels": { "own": "1" },
                "/spec/strategy/rollingUpdate/maxSurge": "25%",
                "/spec/revisionHistoryLimit": 2,
                "/spec/progressDeadlineSeconds": 600,
            }),
        ),
        (
            ("apps", "v1", "DaemonSet"),
            json!({ "apiVersion": "extensions/v1beta1", "spec": { "template": template(), "templateGeneration": 7 } }),
            json!({
                "/metadata/annotations/deprecated.daemonset.template.generation": "7",
                "/spec/updateStrategy": { "type": "OnDelete" },
                "/spec/selector/matchLabels/a": "b",
            }),
        ),
        (
            ("apps", "v1", "StatefulSet"),
            json!({ "apiVersion": "apps/v1beta1", "spec": { "template": template() } }),
            json!({
                "/spec/updateStrategy": { "type": "OnDelete" },
                "/spec/selector/matchLabels/a": "b",
                "/spec/podManagementPolicy": "OrderedReady",
            }),
        ),
        (
            ("apps", "v1", "StatefulSet"),
            json!({ "apiVersion": "apps/v1beta2", "spec": { "template": template() } }),
            json!({ "/spec/updateStrategy/type": "RollingUpdate" }),
        ),
        (
            ("autoscaling", "v2", "HorizontalPodAutoscaler"),
            json!({ "apiVersion": "autoscaling/v1", "spec": {
                "maxReplicas": 3, "scaleTargetRef": { "kind": "Deployment", "name": "d" }, "targetCPUUtilizationPercentage": 40,
            } }),
            json!({
                "/spec/minReplicas": 1,
                "/spec/metrics/0/resource/target/averageUtilization": 40,
                "/spec/targetCPUUtilizationPercentage": null,
            }),
        ),
        (
            ("discovery.k8s.io", "v1", "EndpointSlice"),
            json!({ "apiVersion": "discovery.k8s.io/v1beta1", "addressType": "IPv4", "endpoints": [
                { "addresses": ["1.2.3.4"], "topology": { "topology.kubernetes.io/zone": "z", "kubernetes.io/hostname": "n", "own": "1" } },
                { "addresses": ["1.2.3.5"], "nodeName": "m", "topology": { "kubernetes.io/hostname": "n" } },
                { "addresses": ["1.2.3.6"], "nodeName": "n", "topology": { "kubernetes.io/hostname": "n" } },
            ] }),
            json!({
                "/endpoints/0/zone": "z", "/endpoints/0/nodeName": "n", "/endpoints/0/deprecatedTopology": { "own": "1" },
                "/endpoints/1/nodeName": "m", "/endpoints/1/deprecatedTopology": { "kubernetes.io/hostname": "n" },
                "/endpoints/2/nodeName": "n", "/endpoints/2/deprecatedTopology": null,
            }),
        ),
        (
            ("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration"),
            json!({ "apiVersion": "flowcontrol.apiserver.k8s.io/v1beta2", "spec": { "type": "Limited", "limited": { "assuredConcurrencyShares": 5 } } }),
            json!({ "/spec/limited/nominalConcurrencyShares": 5 }),
        ),
        (
            ("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration"),
            json!({
                "apiVersion": "flowcontrol.apiserver.k8s.io/v1beta3",
                "metadata": { "annotations": { "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares": "", "own": "1" } },
                "spec": { "type": "Limited", "limited": {} },
            }),
            json!({ "/spec/limited/nominalConcurrencyShares": 0, "/metadata/annotations": { "own": "1" } }),
        ),
        (
            ("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration"),
            json!({ "apiVersion": "flowcontrol.apiserver.k8s.io/v1beta3", "spec": { "type": "Limited", "limited": { "nominalConcurrencyShares": 0 } } }),
            json!({ "/spec/limited/nominalConcurrencyShares": 30 }),
        ),
        (
            ("networking.k8s.io", "v1", "Ingress"),
            json!({ "apiVersion": "extensions/v1beta1", "spec": {
                "backend": { "serviceName": "s", "servicePort": "http" },
                "rules": [{ "host": "h", "http": { "paths": [
                    { "path": "/a", "backend": { "serviceName": "t", "servicePort": 80 } },
                    { "path": "/b", "pathType": "Exact", "backend": {
                        "serviceName": "", "servicePort": 0, "resource": { "apiGroup": null, "kind": "K", "name": "r" },
                    } },
                ] } }],
            } }),
            json!({
                "/spec/backend": null,
                "/spec/defaultBackend": { "service": { "name": "s", "port": { "name": "http" } } },
                "/spec/rules/0/http/paths/0": {
                    "path": "/a", "pathType": "ImplementationSpecific",
                    "backend": { "service": { "name": "t", "port": { "number": 80 } } },
                },
                "/spec/rules/0/http/paths/1": {
                    "path": "/b", "pathType": "Exact", "backend": { "resource": { "apiGroup": null, "kind": "K", "name": "r" } },
                },
            }),
        ),
        (
            ("node.k8s.io", "v1", "RuntimeClass"),
            json!({ "apiVersion": "node.k8s.io/v1alpha1", "spec": { "runtimeHandler": "runc", "overhead": { "podFixed": { "cpu": "1" } } } }),
            json!({ "/handler": "runc", "/overhead/podFixed/cpu": "1", "/spec": null }),
        ),
        (
            ("policy", "v1", "PodDisruptionBudget"),
            json!({ "apiVersion": "policy/v1beta1", "spec": { "selector": {} } }),
            json!({ "/spec/selector": none_of }),
        ),
        (
            ("policy", "v1", "PodDisruptionBudget"),
            json!({ "apiVersion": "policy/v1beta1", "spec": { "selector": all_of } }),
            json!({ "/spec/selector": {} }),
        ),
        (
            ("policy", "v1", "PodDisruptionBudget"),
            json!({ "apiVersion": "policy/v1beta1", "spec": { "minAvailable": 1 } }),
            json!({ "/spec/selector": null }),
        ),
        (
            ("policy", "v1", "PodDisruptionBudget"),
            json!({ "apiVersion": "policy/v1beta1", "spec": { "selector": { "matchLabels": { "a": "b" } } } }),
            json!({ "/spec/selector": { "matchLabels": { "a": "b" } } }),
        ),
        (
            ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1alpha1", "roleRef": { "kind": "ClusterRole", "name": "r" }, "subjects": [
                { "kind": "User", "apiVersion": "rbac.authorization.k8s.io/v1alpha1", "name": "*" },
                { "kind": "User", "name": "u" },
                { "kind": "ServiceAccount", "apiVersion": "v1", "name": "s", "namespace": "n" },
                { "kind": "Other", "apiVersion": "g/v9", "name": "o" },
            ] }),
            json!({
                "/roleRef/apiGroup": "rbac.authorization.k8s.io",
                "/subjects": [
                    { "kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated" },
                    { "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "u" },
                    { "kind": "ServiceAccount", "name": "s", "namespace": "n" },
                    { "kind": "Other", "apiGroup": "g", "name": "o" },
                ],
            }),
        ),
        (
            ("resource.k8s.io", "v1", "ResourceClaimTemplate"),
            json!({ "apiVersion": "resource.k8s.io/v1beta1", "spec": { "spec": { "devices": { "requests": [
                { "name": "one", "deviceClassName": "c", "adminAccess": false, "selectors": [{ "cel": { "expression": "true" } }] },
                { "name": "any", "firstAvailable": [{ "name": "s", "deviceClassName": "d" }] },
            ] } } } }),
            json!({
                "/spec/spec/devices/requests/0": { "name": "one", "exactly": {
                    "deviceClassName": "c", "adminAccess": false, "selectors": [{ "cel": { "expression": "true" } }],
                    "allocationMode": "ExactCount", "count": 1,
                } },
                "/spec/spec/devices/requests/1": { "name": "any", "firstAvailable": [
                    { "name": "s", "deviceClassName": "d", "allocationMode": "ExactCount", "count": 1 },
                ] },
            }),
        ),
        (
            ("resource.k8s.io", "v1", "ResourceSlice"),
            json!({ "apiVersion": "resource.k8s.io/v1beta1", "spec": { "driver": "d", "devices": [
                { "name": "gpu", "basic": { "attributes": { "a": { "int": 1 } }, "capacity": { "m": { "value": "1Gi" } } } },
            ] } }),
            json!({
                "/spec/devices/0": { "name": "gpu", "attributes": { "a": { "int": 1 } }, "capacity": { "m": { "value": "1Gi" } } },
            }),
        ),
        (
            (
                "admissionregistration.k8s.io",
                "v1",
                "MutatingWebhookConfiguration",
            ),
            json!({ "apiVersion": "admissionregistration.k8s.io/v1beta1", "webhooks": [{ "name": "w", "clientConfig": { "url": "https://u" } }] }),
            json!({
                "/webhooks/0/failurePolicy": "Ignore", "/webhooks/0/matchPolicy": "Exact", "/webhooks/0/sideEffects": "Unknown",
                "/webhooks/0/timeoutSeconds": 30, "/webhooks/0/admissionReviewVersions": ["v1beta1"],
                "/webhooks/0/reinvocationPolicy": "Never",
            }),
        ),
        (
            ("certificates.k8s.io", "v1", "CertificateSigningRequest"),
            json!({ "apiVersion": "certificates.k8s.io/v1beta1", "spec": { "request": "" }, "status": { "conditions": [{ "type": "Approved" }] } }),
            json!({
                "/spec/signerName": "kubernetes.io/legacy-unknown", "/spec/usages": ["digital signature", "key encipherment"],
                "/status/conditions/0/status": "True",
            }),
        ),
    ];
    for ((group, version, kind), mut stored, wanted) in cases {
        stored["kind"] = json!(kind);
        let from = stored["apiVersion"].as_str().unwrap().to_owned();
        let now = read(&GroupVersionKind::new(group, version, kind), stored);
        assert_eq!(now["apiVersion"], format!("{group}/{version}"));
        for (pointer, wanted) in wanted.as_object().unwrap() {
            // Names of annotations have slashes.
            let found = match pointer.split_once("annotations/") {
                Some((before, key)) => &now.pointer(&format!("{before}annotations")).unwrap()[key],
                None => now.pointer(pointer).unwrap_or(&Value::Null),
            };
            assert_eq!(found, wanted, "{from} {kind} {pointer}: {now}");
        }
    }
}
