use super::*;
use api::Registry;
use api::features::{Feature, Features};
use apimachinery::Type;
use apimachinery::decode::Unchanged;
use apimachinery::schema::{SchemaId, SchemaSet};
use serde_json::Map;

fn reader(registry: &Registry, group: &str, version: &str, plural: &str) -> StoredKind {
    StoredKind::in_cluster(registry.resource(group, version, plural).unwrap().clone(), "IPv4")
}

fn read(reader: &StoredKind, stored: &Value) -> Option<Value> {
    let decoded = reader.decode(stored.to_string().as_bytes()).unwrap();
    decoded.map(|decoded| serde_json::from_slice(&decoded.json).unwrap())
}

#[test]
fn what_an_older_server_left_out_is_there() {
    let registry = Registry::built_in();
    for (group, version, plural, kind, stored, pointer, wanted) in [
        (
            "batch",
            "v1",
            "jobs",
            "Job",
            json!({"spec": {"template": {"spec": {"containers": []}}}}),
            "/spec/completionMode",
            json!("NonIndexed"),
        ),
        (
            "",
            "v1",
            "persistentvolumeclaims",
            "PersistentVolumeClaim",
            json!({"spec": {"resources": {}}, "status": {"phase": "Bound"}}),
            "/spec/volumeMode",
            json!("Filesystem"),
        ),
        (
            "storage.k8s.io",
            "v1",
            "storageclasses",
            "StorageClass",
            json!({"provisioner": "p"}),
            "/volumeBindingMode",
            json!("Immediate"),
        ),
        (
            "discovery.k8s.io",
            "v1",
            "endpointslices",
            "EndpointSlice",
            json!({"addressType": "IPv4", "endpoints": null, "ports": [{"port": 1}]}),
            "/ports/0/protocol",
            json!("TCP"),
        ),
    ] {
        let reader = reader(&registry, group, version, plural);
        let mut stored = stored;
        stored["kind"] = json!(kind);
        stored["apiVersion"] = json!(reader.row.gvk.api_version());
        stored["metadata"] = json!({"name": "a", "managedFields": [{"fieldsV1": {"f:spec": {}}}]});
        let now = read(&reader, &stored).unwrap();
        assert_eq!(now.pointer(pointer), Some(&wanted), "{kind}");
        assert_eq!(
            now["metadata"]["managedFields"], stored["metadata"]["managedFields"],
            "{kind}"
        );
        assert_eq!(read(&reader, &now), None, "{kind} {now}");
    }
}

#[test]
fn a_default_of_a_feature_that_was_turned_on_is_there() {
    let mut stored = json!({"kind": "StatefulSet", "apiVersion": "apps/v1", "metadata": {"name": "a"}, "spec": {
        "serviceName": "", "selector": {}, "updateStrategy": {"rollingUpdate": {"partition": 1}},
        "template": {"spec": {"containers": []}},
    }});
    let plain = Registry::built_in();
    let earlier = reader(&plain, "apps", "v1", "statefulsets");
    stored = read(&earlier, &stored).unwrap();
    let strategy = |object: &Value| object["spec"]["updateStrategy"]["rollingUpdate"].clone();
    assert_eq!(strategy(&stored), json!({"partition": 1}));

    let registry =
        Registry::with_features(Features::default().with(Feature::MaxUnavailableStatefulSet, true));
    let reader = reader(&registry, "apps", "v1", "statefulsets");
    let now = read(&reader, &stored).unwrap();
    assert_eq!(strategy(&now), json!({"maxUnavailable": 1, "partition": 1}));
}

/// From before services could have two addresses.
#[test]
fn old_services_have_families() {
    let registry = Registry::built_in();
    let row = registry.resource("", "v1", "services").unwrap();
    for (primary, spec, wanted) in [
        (
            "IPv4",
            json!({"clusterIP": "10.0.0.1"}),
            json!([["10.0.0.1"], ["IPv4"], "SingleStack"]),
        ),
        (
            "IPv4",
            json!({"clusterIP": "fd00::1"}),
            json!([["fd00::1"], ["IPv6"], "SingleStack"]),
        ),
        (
            "IPv6",
            json!({"clusterIP": "None", "selector": {"a": "b"}}),
            json!([["None"], ["IPv6"], "SingleStack"]),
        ),
        (
            "IPv6",
            json!({"clusterIP": "None"}),
            json!([["None"], ["IPv6", "IPv4"], "RequireDualStack"]),
        ),
        (
            "IPv6",
            json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "PreferDualStack"}),
            json!([["10.0.0.1"], ["IPv4"], "PreferDualStack"]),
        ),
        (
            "IPv4",
            json!({"type": "ExternalName", "internalTrafficPolicy": "Cluster"}),
            json!([null, null, null]),
        ),
        ("IPv4", json!({}), json!([null, null, null])),
    ] {
        let reader = StoredKind::in_cluster(row.clone(), primary);
        let stored = json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "a"}, "spec": spec});
        let service = read(&reader, &stored).unwrap();
        let spec = &service["spec"];
        assert_eq!(
            json!([spec["clusterIPs"], spec["ipFamilies"], spec["ipFamilyPolicy"]]),
            wanted,
            "{stored}"
        );
        assert_eq!(
            spec["internalTrafficPolicy"].is_null(),
            spec["type"] == "ExternalName",
            "{stored}"
        );
        assert_eq!(read(&reader, &service), None, "{service}");
    }
}

#[test]
fn kinds_without_defaults_are_not_even_parsed() {
    let registry = Registry::built_in();
    for (group, version, plural, has) in [
        ("", "v1", "configmaps", false),
        ("", "v1", "events", false),
        ("coordination.k8s.io", "v1", "leases", false),
        ("", "v1", "pods", true),
        ("", "v1", "services", true),
        ("apiextensions.k8s.io", "v1", "customresourcedefinitions", true),
    ] {
        assert_eq!(
            reader(&registry, group, version, plural).has_defaults,
            has,
            "{plural}"
        );
    }
}

/// A value with every field of a type, as deep as `depth`.
fn full(set: &SchemaSet, ty: &Type, depth: usize) -> Value {
    match ty {
        Type::String => json!("a"),
        Type::Bool => json!(true),
        Type::Int32 | Type::Int64 | Type::IntOrString => json!(1),
        Type::Double => json!(1.5),
        Type::Bytes => json!("YQ=="),
        Type::Time => json!("2024-01-01T00:00:00Z"),
        Type::MicroTime => json!("2024-01-01T00:00:00.000000Z"),
        Type::Duration => json!("1s"),
        Type::Quantity => json!("1"),
        Type::Any | Type::Deduced => json!({}),
        Type::Struct(id) => fields(set, *id, depth),
        Type::List(inner, _) => json!([full(set, inner, depth)]),
        Type::Map(inner, _) => json!({"a": full(set, inner, depth)}),
    }
}

fn fields(set: &SchemaSet, id: SchemaId, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else {
        return json!({});
    };
    let fields = set.get(id).fields.iter();
    let all: Map<String, Value> = fields
        .map(|field| (field.name.clone(), full(set, &field.ty, depth)))
        .collect();
    all.into()
}

/// Else each read would cost a copy, and each write that changes nothing would be stored.
#[test]
fn what_this_server_stores_is_read_as_it_is() {
    let registry = Registry::built_in();
    for row in registry.stored() {
        let reader = StoredKind::in_cluster(row.clone(), "IPv4");
        let id = row.schema_id;
        for depth in 0..8 {
            let mut object = fields(&row.schemas, id, depth);
            object["metadata"] = json!({"name": "a", "uid": "u"});
            kinds::set_type(row, &mut object);
            kinds::fit(row, &row.gvk, &mut object).unwrap();
            api::defaults::apply(row, &mut object);
            api::strategy::settle(row, &mut object, &Unchanged::default());
            let stored = reader.encode(object.to_string().into_bytes()).unwrap();
            let read = reader.decode(&stored).unwrap();
            if !reader.is_written_older {
                assert_eq!(read, None, "{} {object}", row.gvk);
                continue;
            }
            let read = read.unwrap();
            let json: Value = serde_json::from_slice(&read.json).unwrap();
            // Definitions without a scope or with an empty webhook are not valid, and no such thing in v1beta1.
            if row.gvk.kind != "CustomResourceDefinition" || depth > 4 {
                assert_eq!(json, object, "{}", row.gvk);
            }
            assert!(!read.is_outdated, "{}", row.gvk);
        }
    }
}

fn object(api_version: &str, kind: &str, spec: Value) -> Value {
    json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "a" }, "spec": spec })
}

#[test]
fn what_is_written_in_an_older_version_is_read_as_it_was() {
    let registry = Registry::built_in();
    let reader = reader(
        &registry,
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
    );
    let schema = json!({ "openAPIV3Schema": { "type": "object", "properties": { "a": { "enum": ["x", null], "default": "x" } } } });
    let mut definition = object(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        json!({
            "group": "x", "scope": "Cluster", "names": { "plural": "as", "kind": "A" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }],
        }),
    );
    definition["status"] = json!({ "storedVersions": ["v1"] });
    definition["metadata"]["managedFields"] = json!([{ "fieldsV1": { "f:spec": {} } }]);
    let now = read(&reader, &definition).unwrap();
    let written = reader.encode(now.to_string().into_bytes()).unwrap();
    let stored: Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(stored["apiVersion"], "apiextensions.k8s.io/v1beta1");
    assert_eq!(stored["spec"]["validation"], schema);
    let decoded = reader.decode(&written).unwrap().unwrap();
    assert!(!decoded.is_outdated);
    assert_eq!(serde_json::from_slice::<Value>(&decoded.json).unwrap(), now);
    // What was stored in the version of now is to be written anew.
    let decoded = reader.decode(now.to_string().as_bytes()).unwrap().unwrap();
    assert!(decoded.is_outdated);
    assert_eq!(serde_json::from_slice::<Value>(&decoded.json).unwrap(), now);
}

#[test]
fn what_no_version_of_the_kind_is_is_refused() {
    let registry = Registry::built_in();
    let reader = reader(&registry, "node.k8s.io", "v1", "runtimeclasses");
    for (api_version, kind) in [
        ("node.k8s.io/v9", "RuntimeClass"),
        ("policy/v1beta1", "RuntimeClass"),
        ("node.k8s.io/v1beta1", "Other"),
    ] {
        let wanted = format!(
            "stored as {api_version} {kind}, which is not read; expected node.k8s.io/v1 RuntimeClass"
        );
        let json = object(api_version, kind, Value::Null).to_string();
        assert_eq!(reader.decode(json.as_bytes()).unwrap_err(), wanted);
        let protobuf = protobuf::envelope::wrap(api_version, kind, &[]);
        assert_eq!(reader.decode(&protobuf).unwrap_err(), wanted);
    }
}

#[test]
fn both_encodings_of_an_older_version_are_read_alike() {
    let registry = Registry::built_in();
    for (group, plural, kind, older, schema, spec) in [
        (
            "flowcontrol.apiserver.k8s.io",
            "flowschemas",
            "FlowSchema",
            "flowcontrol.apiserver.k8s.io/v1beta3",
            "io.k8s.api.flowcontrol.v1.FlowSchema",
            json!({ "priorityLevelConfiguration": { "name": "p" }, "distinguisherMethod": { "type": "ByUser" } }),
        ),
        (
            "policy",
            "poddisruptionbudgets",
            "PodDisruptionBudget",
            "policy/v1beta1",
            "io.k8s.api.policy.v1.PodDisruptionBudget",
            json!({ "minAvailable": "50%", "selector": {} }),
        ),
        (
            "admissionregistration.k8s.io",
            "mutatingadmissionpolicybindings",
            "MutatingAdmissionPolicyBinding",
            "admissionregistration.k8s.io/v1beta1",
            "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
            json!({ "policyName": "p", "paramRef": { "name": "n", "parameterNotFoundAction": "Deny" } }),
        ),
    ] {
        let reader = reader(&registry, group, "v1", plural);
        let stored = object(older, kind, spec);
        let message =
            protobuf::encode::message(&reader.row.schemas, schema, stored.to_string().as_bytes()).unwrap();
        let message = protobuf::envelope::wrap(older, kind, &message);
        let decoded = reader.decode(&message).unwrap().unwrap();
        let of_protobuf: Value = serde_json::from_slice(&decoded.json).unwrap();
        assert!(decoded.is_outdated);
        assert_eq!(of_protobuf, read(&reader, &stored).unwrap(), "{kind}");
        assert_eq!(of_protobuf["apiVersion"], format!("{group}/v1"));
    }
    let reader = reader(&registry, "autoscaling", "v2", "horizontalpodautoscalers");
    let spec = json!({ "maxReplicas": 3, "scaleTargetRef": { "kind": "D", "name": "d" }, "targetCPUUtilizationPercentage": 40 });
    let stored = object("autoscaling/v1", "HorizontalPodAutoscaler", spec);
    let schema = "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler";
    let message =
        protobuf::encode::message(&reader.row.schemas, schema, stored.to_string().as_bytes()).unwrap();
    let message = protobuf::envelope::wrap("autoscaling/v1", "HorizontalPodAutoscaler", &message);
    let decoded = reader.decode(&message).unwrap().unwrap();
    let of_protobuf: Value = serde_json::from_slice(&decoded.json).unwrap();
    assert_eq!(of_protobuf, read(&reader, &stored).unwrap());
    assert_eq!(
        of_protobuf["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"],
        40
    );
}

#[test]
fn what_servers_of_the_same_build_wrote_is_not_looked_at() {
    let of = |build| reader(&Registry::built_in(), "", "v1", "pods").written_by(build);
    let json = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}});
    let lacking = json.to_string().into_bytes();
    let stamped = of(Some("build")).encode(lacking.clone()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&stamped).unwrap(), json);
    assert_eq!(of(Some("build")).decode(&stamped), Ok(None));
    for other in [of(Some("another")), of(None)] {
        assert!(
            other
                .decode(&stamped)
                .unwrap()
                .is_some_and(|decoded| decoded.is_outdated)
        );
    }
    // Of what build this is can't be told: nothing is claimed.
    assert_eq!(of(None).encode(lacking.clone()), Ok(lacking));
}
