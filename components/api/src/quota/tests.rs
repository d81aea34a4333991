//! What objects count as, by table.

use super::*;
use serde_json::json;

fn surroundings() -> Surroundings<'static> {
    Surroundings {
        now: 1_000_000,
        pod_level: true,
        devices: None,
    }
}

fn counter<'a>(group: &'a str, plural: &'a str) -> Counter<'a> {
    Counter {
        group,
        plural,
        surroundings: surroundings(),
    }
}

fn texts(usage: Usage) -> Value {
    let entries = usage
        .into_iter()
        .map(|(name, amount)| (name, json!(amount.to_string())));
    Value::Object(entries.collect())
}

#[test]
fn pods() {
    let container = |requests: Value, limits: Value| json!({"name": "c", "resources": {"requests": requests, "limits": limits}});
    let one = |requests, limits| json!({"spec": {"containers": [container(requests, limits)]}});
    let only_counted = json!({"count/pods": "1"});
    for (what, pod, expected) in [
        (
            "bare",
            json!({"spec": {"containers": [{"name": "c"}]}}),
            json!({"count/pods": "1", "pods": "1"}),
        ),
        (
            "all kinds of names",
            one(
                json!({"cpu": "250m", "hugepages-2Mi": "4Mi", "example.com/gpu": "2", "storage": "1Gi", "deviceclass.resource.kubernetes.io/d": "3"}),
                json!({"cpu": "1", "ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi", "example.com/gpu": "2"}),
            ),
            json!({"count/pods": "1", "pods": "1", "cpu": "250m", "requests.cpu": "250m", "limits.cpu": "1",
                "limits.ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi",
                "requests.example.com/gpu": "2", "requests.deviceclass.resource.kubernetes.io/d": "3"}),
        ),
        (
            "init containers, sidecars and overhead",
            json!({"spec": {"overhead": {"cpu": "10m", "memory": "1Mi"},
                "containers": [container(json!({"cpu": "1"}), json!({"cpu": "2"}))],
                "initContainers": [
                    {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
                    {"name": "i", "resources": {"requests": {"cpu": "3"}}}]}}),
            json!({"count/pods": "1", "pods": "1", "cpu": "4010m", "requests.cpu": "4010m", "limits.cpu": "2010m",
                "memory": "1Mi", "requests.memory": "1Mi"}),
        ),
        (
            "as a whole",
            json!({"spec": {"resources": {"requests": {"cpu": "5"}}, "containers": [container(json!({"cpu": "1", "memory": "1Gi"}), json!({}))]}}),
            json!({"count/pods": "1", "pods": "1", "cpu": "5", "requests.cpu": "5", "memory": "1Gi", "requests.memory": "1Gi"}),
        ),
        (
            "being resized",
            json!({"spec": {"containers": [container(json!({"cpu": "1"}), json!({}))]},
                "status": {"containerStatuses": [{"name": "c", "allocatedResources": {"cpu": "2"}, "resources": {"requests": {"cpu": "500m"}}}]}}),
            json!({"count/pods": "1", "pods": "1", "cpu": "2", "requests.cpu": "2"}),
        ),
        (
            "can't be resized",
            json!({"spec": {"containers": [container(json!({"cpu": "9"}), json!({}))]},
                "status": {"conditions": [{"type": "PodResizePending", "reason": "Infeasible"}],
                    "containerStatuses": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]}}),
            json!({"count/pods": "1", "pods": "1", "cpu": "500m", "requests.cpu": "500m"}),
        ),
        (
            "ended",
            json!({"status": {"phase": "Failed"}}),
            only_counted.clone(),
        ),
        (
            "gone long since",
            json!({"metadata": {"deletionTimestamp": "1970-01-12T13:46:00Z", "deletionGracePeriodSeconds": 30}}),
            only_counted,
        ),
        (
            "going",
            json!({"metadata": {"deletionTimestamp": "1970-01-12T13:46:20Z", "deletionGracePeriodSeconds": 30}}),
            json!({"count/pods": "1", "pods": "1"}),
        ),
    ] {
        assert_eq!(texts(counter("", "pods").usage(&pod)), expected, "{what}");
    }
}

#[test]
fn services_and_claims() {
    let ports = json!([{"port": 1}, {"port": 2, "nodePort": 30000}]);
    let service = |kind: &str, allocate: Value| json!({"spec": {"type": kind, "ports": ports, "allocateLoadBalancerNodePorts": allocate}});
    for (object, ports, balancers) in [
        (service("ClusterIP", Value::Null), "0", "0"),
        (service("NodePort", Value::Null), "2", "0"),
        (service("LoadBalancer", json!(true)), "2", "1"),
        (service("LoadBalancer", json!(false)), "1", "1"),
    ] {
        let expected = json!({"count/services": "1", "services": "1", "services.nodeports": ports, "services.loadbalancers": balancers});
        assert_eq!(
            texts(counter("", "services").usage(&object)),
            expected,
            "{object}"
        );
    }
    let storage = |amount: &str| json!({"resources": {"requests": {"storage": amount}}});
    let of_class = |name: &str| format!("{name}.storageclass.storage.k8s.io/requests.storage");
    for (claim, name, expected) in [
        (
            json!({"spec": storage("1Gi")}),
            "requests.storage".to_owned(),
            Some("1Gi"),
        ),
        (
            json!({"spec": storage("1500m")}),
            "requests.storage".to_owned(),
            Some("2"),
        ),
        (
            json!({"spec": storage("1Gi"), "status": {"allocatedResources": {"storage": "3Gi"}}}),
            "requests.storage".to_owned(),
            Some("3Gi"),
        ),
        (
            json!({"spec": storage("4Gi"), "status": {"allocatedResources": {"storage": "3Gi"}}}),
            "requests.storage".to_owned(),
            Some("4Gi"),
        ),
        (json!({"spec": {"storageClassName": "s"}}), of_class("s"), None),
        (
            json!({"spec": {"storageClassName": "s", "resources": {"requests": {"storage": "1"}}}}),
            of_class("s"),
            Some("1"),
        ),
        (
            json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "b"}}, "spec": storage("1")}),
            of_class("b"),
            Some("1"),
        ),
        (
            json!({"spec": {"storageClassName": "s"}}),
            "s.storageclass.storage.k8s.io/persistentvolumeclaims".to_owned(),
            Some("1"),
        ),
    ] {
        let usage = counter("", "persistentvolumeclaims").usage(&claim);
        let found = usage.get(&name).map(ToString::to_string);
        assert_eq!(found.as_deref(), expected, "{name} {claim}");
    }
}

#[test]
fn other_objects() {
    for (group, plural, expected) in [
        (
            "",
            "configmaps",
            json!({"configmaps": "1", "count/configmaps": "1"}),
        ),
        ("", "serviceaccounts", json!({"count/serviceaccounts": "1"})),
        ("apps", "deployments", json!({"count/deployments.apps": "1"})),
        (
            "example.com",
            "secrets",
            json!({"count/secrets.example.com": "1"}),
        ),
    ] {
        assert_eq!(texts(counter(group, plural).usage(&json!({}))), expected);
    }
}

#[test]
fn names_and_whom_they_are_about() {
    for (name, group, plural, expected) in [
        ("pods", "", "pods", true),
        ("cpu", "", "pods", true),
        ("limits.ephemeral-storage", "", "pods", true),
        ("limits.hugepages-2Mi", "", "pods", false),
        ("hugepages-2Mi", "", "pods", true),
        ("requests.example.com/gpu", "", "pods", true),
        ("example.com/gpu", "", "pods", false),
        ("requests.kubernetes.io/x", "", "pods", false),
        ("requests.deviceclass.resource.kubernetes.io/x", "", "pods", true),
        ("requests.storage", "", "pods", false),
        ("requests.storage", "", "persistentvolumeclaims", true),
        (
            "s.storageclass.storage.k8s.io/requests.storage",
            "",
            "persistentvolumeclaims",
            true,
        ),
        (
            "s.storageclass.storage.k8s.io/other",
            "",
            "persistentvolumeclaims",
            false,
        ),
        ("count/pods", "", "pods", true),
        ("count/pods", "", "services", false),
        ("count/deployments.apps", "apps", "deployments", true),
        ("count/deployments.apps", "extensions", "deployments", false),
        ("services.nodeports", "", "services", true),
        ("secrets", "", "secrets", true),
        ("secrets", "example.com", "secrets", false),
        (
            "c.deviceclass.resource.k8s.io/devices",
            "resource.k8s.io",
            "resourceclaims",
            true,
        ),
        (
            "requests.example.com/gpu",
            "resource.k8s.io",
            "resourceclaims",
            false,
        ),
    ] {
        assert_eq!(
            counter(group, plural).covers(name),
            expected,
            "{name} {plural}.{group}"
        );
    }
}

#[test]
fn scopes_by_operator() {
    let quota = |scope: &str, operator: &str, values: Value| json!({"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": scope, "operator": operator, "values": values}]}}});
    let plain = |scope: &str| json!({"spec": {"scopes": [scope]}});
    let class = |name: &str| json!({"spec": {"priorityClassName": name}});
    let affinity = |term: Value| json!({"spec": {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": term}]}}}});
    let claim = |spec: &str, current: &str| json!({"spec": {"volumeAttributesClassName": spec}, "status": {"currentVolumeAttributesClassName": current}});
    let (pods, claims) = ("pods", "persistentvolumeclaims");
    for (quota, plural, object, expected) in [
        (
            plain("BestEffort"),
            pods,
            json!({"spec": {"containers": [{}]}}),
            true,
        ),
        (
            plain("BestEffort"),
            pods,
            json!({"status": {"qosClass": "Burstable"}}),
            false,
        ),
        (
            plain("NotBestEffort"),
            pods,
            json!({"status": {"qosClass": "Burstable"}}),
            true,
        ),
        (
            plain("Terminating"),
            pods,
            json!({"spec": {"activeDeadlineSeconds": 0}}),
            true,
        ),
        (plain("Terminating"), pods, json!({"spec": {}}), false),
        (plain("NotTerminating"), pods, json!({"spec": {}}), true),
        (
            plain("Terminating"),
            "services",
            json!({"spec": {"activeDeadlineSeconds": 0}}),
            false,
        ),
        (json!({}), "services", json!({}), true),
        (quota("PriorityClass", "In", json!(["a"])), pods, class("a"), true),
        (
            quota("PriorityClass", "In", json!(["a"])),
            pods,
            class("b"),
            false,
        ),
        (
            quota("PriorityClass", "NotIn", json!(["a"])),
            pods,
            class("b"),
            true,
        ),
        (
            quota("PriorityClass", "NotIn", json!(["a"])),
            pods,
            class(""),
            true,
        ),
        (
            quota("PriorityClass", "Exists", json!([])),
            pods,
            class("a"),
            true,
        ),
        (
            quota("PriorityClass", "Exists", json!([])),
            pods,
            class(""),
            false,
        ),
        (
            quota("PriorityClass", "DoesNotExist", json!([])),
            pods,
            class(""),
            true,
        ),
        (
            plain("CrossNamespacePodAffinity"),
            pods,
            affinity(json!({"namespaces": ["n"]})),
            true,
        ),
        (
            plain("CrossNamespacePodAffinity"),
            pods,
            affinity(json!({"namespaceSelector": {}})),
            true,
        ),
        (
            plain("CrossNamespacePodAffinity"),
            pods,
            affinity(json!({"topologyKey": "k"})),
            false,
        ),
        (plain("VolumeAttributesClass"), pods, json!({}), false),
        (plain("VolumeAttributesClass"), claims, claim("", ""), false),
        (plain("VolumeAttributesClass"), claims, claim("gold", ""), true),
        (
            quota("VolumeAttributesClass", "In", json!(["gold"])),
            claims,
            claim("iron", "gold"),
            true,
        ),
        (
            quota("VolumeAttributesClass", "NotIn", json!(["gold"])),
            claims,
            claim("gold", "gold"),
            false,
        ),
        (
            quota("VolumeAttributesClass", "DoesNotExist", json!([])),
            claims,
            claim("", ""),
            true,
        ),
        (plain("BestEffort"), claims, claim("", ""), false),
    ] {
        assert_eq!(
            counter("", plural).in_scope(&quota, &object),
            expected,
            "{quota} {object}"
        );
    }
}

#[test]
fn what_pods_must_say() {
    let hard = [
        "pods",
        "limits.cpu",
        "requests.memory",
        "cpu",
        "requests.storage",
        "ephemeral-storage",
    ];
    for (pod, expected) in [
        (
            json!({"containers": [{"name": "b"}, {"name": "a", "resources": {"requests": {"cpu": "1", "memory": "1"}}}]}),
            Some("must specify cpu for: b; limits.cpu for: a,b; requests.memory for: b"),
        ),
        (
            json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "0", "memory": "1"}, "limits": {"cpu": "1"}}}],
                "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "0", "memory": "1"}}}]}),
            Some("must specify limits.cpu for: i"),
        ),
        (
            json!({"resources": {"limits": {"memory": "1"}}, "containers": [{"name": "a"}]}),
            None,
        ),
    ] {
        let pod = json!({"spec": pod});
        let found = counter("", "pods").unsaid(hard.into_iter(), &pod);
        assert_eq!(found.as_deref(), expected, "{pod}");
    }
    assert_eq!(counter("", "services").unsaid(hard.into_iter(), &json!({})), None);
}

#[test]
fn which_updates_count() {
    let deadline = json!({"spec": {"activeDeadlineSeconds": 5}});
    let allocated = json!({"status": {"allocatedResources": {"storage": "1Gi"}}});
    let gold = json!({"status": {"currentVolumeAttributesClassName": "gold"}});
    for (group, plural, subresource, old, new, expected) in [
        ("", "pods", "", json!({}), deadline.clone(), true),
        ("", "pods", "", deadline.clone(), deadline, false),
        ("", "pods", "resize", json!({}), json!({}), true),
        ("", "pods", "status", json!({}), json!({}), false),
        ("", "services", "", json!({}), json!({}), true),
        ("", "services", "status", json!({}), json!({}), false),
        (
            "",
            "persistentvolumeclaims",
            "status",
            json!({}),
            json!({}),
            false,
        ),
        ("", "persistentvolumeclaims", "status", json!({}), allocated, true),
        ("", "persistentvolumeclaims", "status", json!({}), gold, true),
        (
            "resource.k8s.io",
            "resourceclaims",
            "",
            json!({}),
            json!({}),
            true,
        ),
        ("apps", "deployments", "", json!({}), json!({}), false),
    ] {
        let found = counter(group, plural).may_differ(subresource, &old, &new);
        assert_eq!(found, expected, "{plural}/{subresource} {old} {new}");
    }
}

struct Known;

impl Devices for Known {
    fn extended_resource(&self, class: &str) -> Option<String> {
        (class == "gpu").then(|| "example.com/gpu".to_owned())
    }

    fn has_class_for(&self, resource: &str) -> bool {
        matches!(
            resource,
            "example.com/gpu" | "deviceclass.resource.kubernetes.io/gpu"
        )
    }

    fn pod(&self, _: &str, name: &str) -> Option<Value> {
        let request = json!({"example.com/gpu": "2"});
        let status = if name == "knows" {
            json!({"extendedResourceClaimStatus": {"resourceClaimName": "c"}})
        } else {
            json!({})
        };
        Some(json!({"metadata": {"name": name, "uid": "u"}, "status": status,
            "spec": {"containers": [{"name": "x", "resources": {"requests": request}}]}}))
    }

    fn claims_of(&self, _: &str, _: &str) -> Vec<(String, String)> {
        vec![("2020-01-01T00:00:00Z".to_owned(), "b".to_owned())]
    }
}

#[test]
fn devices() {
    let spec = json!({"devices": {"requests": [
        {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 3}},
        {"name": "b", "firstAvailable": [
            {"deviceClassName": "nic", "allocationMode": "ExactCount", "count": 1},
            {"deviceClassName": "nic", "allocationMode": "ExactCount", "count": 4}]},
        {"name": "c", "exactly": {"deviceClassName": "nic", "allocationMode": "All"}},
        {"name": "d", "exactly": {"deviceClassName": "fpga", "allocationMode": "Later"}}]}});
    let plain = counter("resource.k8s.io", "resourceclaims");
    assert_eq!(
        texts(plain.usage(&json!({"spec": spec}))),
        json!({"count/resourceclaims.resource.k8s.io": "1", "gpu.deviceclass.resource.k8s.io/devices": "3",
            "nic.deviceclass.resource.k8s.io/devices": "36", "fpga.deviceclass.resource.k8s.io/devices": "0"})
    );
    let extended = Counter {
        surroundings: Surroundings {
            devices: Some(&Known),
            ..surroundings()
        },
        ..plain
    };
    assert!(extended.covers("requests.example.com/gpu"));
    assert!(!extended.covers("requests.example.com/other"));
    let owned = |owner: &str, name: &str, created: &str| {
        json!({"metadata": {"name": name, "namespace": "n", "creationTimestamp": created,
                "annotations": {"resource.kubernetes.io/extended-resource-claim": "true"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": "u", "controller": true}]},
            "spec": {"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 3}}]}}})
    };
    for (claim, of_resource, of_class) in [
        // The pod is counted for two already.
        (owned("knows", "c", "2021-01-01T00:00:00Z"), "1", "3"),
        (owned("knows", "d", "2021-01-01T00:00:00Z"), "3", "3"),
        (owned("doesn't", "b", "2020-01-01T00:00:00Z"), "1", "3"),
        (owned("doesn't", "c", "2020-01-01T00:00:00Z"), "3", "3"),
        (owned("doesn't", "a", "2021-01-01T00:00:00Z"), "3", "3"),
    ] {
        let usage = extended.usage(&claim);
        let found = |name: &str| usage.get(name).map(ToString::to_string);
        assert_eq!(
            found("requests.example.com/gpu").as_deref(),
            Some(of_resource),
            "{claim}"
        );
        assert_eq!(
            found("requests.deviceclass.resource.kubernetes.io/gpu").as_deref(),
            Some(of_class),
            "{claim}"
        );
    }
}
