use super::rules;
use crate::Resource;
use crate::features::{Feature, Features};
use crate::value::{Object, absent, at, is_zero, items_mut, list, make, map_mut, text, zero};
use apimachinery::decode::{self, DecodeError, Unchanged};
use apimachinery::{Quantity, meta, names};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Changes a new object before it is checked: drops what a client can't set, sets what the server sets.
/// `metadata.uid` must be set already. An error means that what came of it is no object of the kind.
pub fn prepare_create(resource: &Resource, value: &mut Value) -> Result<(), DecodeError> {
    if let Some(definition) = &resource.custom {
        super::custom::prepare_create(definition, value);
        return Ok(());
    }
    let rules = rules(resource);
    let uid = meta::uid(value).to_owned();
    let name = meta::name(value).to_owned();
    if !rules.generation.is_empty() && !rules.generation_as_sent {
        meta::set(value, "generation", 1);
    }
    if let Some(object) = value
        .as_object_mut()
        .filter(|_| rules.status && !rules.status_on_create)
    {
        object.remove("status");
    }
    resource.gates.apply(None, value);
    let Some(object) = value.as_object_mut() else {
        return Ok(());
    };
    match resource.gvk.kind.as_str() {
        "Pod" => pod(object, resource.features),
        "Service" => super::service::prepare_create(object),
        "LimitRange" if name.is_empty() => {
            make(object, "metadata").insert("name".into(), Value::from(uid));
        }
        "Namespace" => {
            object.insert("status".into(), json!({"phase": "Active"}));
            let spec = make(object, "spec");
            let finalizers = spec.entry("finalizers").or_insert_with(|| json!([]));
            if let Some(finalizers) = finalizers
                .as_array_mut()
                .filter(|list| !list.contains(&json!("kubernetes")))
            {
                finalizers.push(json!("kubernetes"));
            }
        }
        "PersistentVolume" => {
            let now = meta_time(object);
            object.insert(
                "status".into(),
                json!({"phase": "Pending", "lastPhaseTransitionTime": now}),
            );
        }
        "PersistentVolumeClaim" => {
            object.insert("status".into(), json!({"phase": "Pending"}));
            data_source(object, None);
        }
        "Job" => {
            // Labels that the template has become the job's own, with those that are added to them.
            let labelled = !is_zero(
                object
                    .get("spec")
                    .map(|spec| at(spec, &["template", "metadata", "labels"])),
            );
            job(object, &name, &uid);
            if labelled {
                crate::defaults::labels_from_template(object);
            }
        }
        "DaemonSet" => {
            make(make(object, "metadata"), "annotations")
                .insert(crate::defaults::apps::TEMPLATE_GENERATION.into(), json!("1"));
        }
        "CustomResourceDefinition" => {
            let stored: Vec<Value> = list(&Value::Object(object.clone()), &["spec", "versions"])
                .iter()
                .filter(|version| version["storage"] == true)
                .map(|version| version["name"].clone())
                .take(1)
                .collect();
            object.insert("status".into(), json!({"storedVersions": stored}));
        }
        "ServiceAccount" => {
            secret_names(object);
        }
        "EndpointSlice" => no_topology(&Value::Null, object),
        "CertificateSigningRequest" => {
            make(object, "status");
        }
        "Node" => {
            forget_configuration(object, "spec", "configSource");
            forget_configuration(object, "status", "config");
        }
        "APIService" if is_zero(object.get("spec").map(|spec| at(spec, &["service"]))) => {
            let since = meta_time(object);
            object.insert("status".into(), local_service(&since));
        }
        _ => {}
    }
    // What is always written comes back where the status was dropped. Of the rest, only these kinds were given what may not
    // be in its form yet.
    let written: &[&str] = match resource.gvk.kind.as_str() {
        "Job" | "Namespace" | "Node" | "PersistentVolumeClaim" => &["metadata", "spec", "status"],
        _ => &["metadata", "status"],
    };
    let fits = Unchanged::all_of(value, |name| !written.contains(&name));
    decode::fit_except(&resource.schemas, resource.schema_id, value, &fits).map(drop)
}

/// An account names its secrets, which are in its own namespace. Whether more was said of them, which is gone now.
pub(super) fn secret_names(account: &mut Object) -> bool {
    let mut dropped = false;
    for secret in items_mut(account, "secrets") {
        let before = secret.len();
        secret.retain(|field, _| field == "name");
        dropped |= secret.len() != before;
    }
    dropped
}

/// Where v1beta1 had the node of an endpoint.
const HOST_NAME: &str = "kubernetes.io/hostname";

/// Endpoints of v1 say where they are in fields of their own. One that an older version put on a node stays there.
pub(super) fn no_topology(old: &Value, slice: &mut Object) {
    let host = |topology: &Value| topology.get(HOST_NAME)?.as_str().map(str::to_owned);
    let known: HashSet<String> = list(old, &["endpoints"])
        .iter()
        .filter_map(|endpoint| host(at(endpoint, &["deprecatedTopology"])))
        .collect();
    for endpoint in items_mut(slice, "endpoints") {
        let Some(topology) = endpoint.remove("deprecatedTopology") else {
            continue;
        };
        let node =
            host(&topology).filter(|node| known.contains(node) && names::dns1123_subdomain(node).is_empty());
        if let Some(node) = node {
            absent(endpoint, "nodeName", node);
        }
    }
}

/// Of a claim's two fields for where its data comes from, the one that was left out follows the other. The older one stands for a
/// claim or a snapshot only: anything else in it has always been ignored, unless the claim had a source before
/// (pkg/api/persistentvolumeclaim/util.go).
pub(super) fn data_source(claim: &mut Object, old: Option<&Value>) {
    let Some(spec) = claim.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let had_one = old.is_some_and(|old| {
        ["dataSource", "dataSourceRef"]
            .iter()
            .any(|field| at(old, &["spec", field]).is_object())
    });
    let known = spec.get("dataSource").is_none_or(|source| {
        matches!(
            (text(source, &["apiGroup"]), text(source, &["kind"])),
            ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
        )
    });
    if !known && !had_one && !spec.get("dataSourceRef").is_some_and(Value::is_object) {
        spec.remove("dataSource");
    }
    let given = |spec: &Object, field: &str| spec.get(field).filter(|value| value.is_object()).cloned();
    match (given(spec, "dataSource"), given(spec, "dataSourceRef")) {
        (Some(source), None) => {
            spec.insert("dataSourceRef".into(), source);
        }
        (None, Some(mut reference)) if is_zero(reference.get("namespace")) => {
            reference
                .as_object_mut()
                .map(|reference| reference.remove("namespace"));
            spec.insert("dataSource".into(), reference);
        }
        _ => {}
    }
}

/// Kubelets are no longer configured through their nodes: what stays is what a node has already.
pub(super) fn forget_configuration(node: &mut Object, part: &str, field: &str) {
    if let Some(part) = map_mut(node, part) {
        part.remove(field);
    }
}

/// The status of an APIService that this server serves itself, which needs no look.
fn local_service(since: &Value) -> Value {
    json!({"conditions": [{
        "type": "Available", "status": "True", "reason": "Local", "lastTransitionTime": since,
        "message": "Local APIServices are always available"
    }]})
}

fn meta_time(object: &Object) -> Value {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get("creationTimestamp"))
        .cloned()
        .unwrap_or_default()
}

/// Labels whose values are the pod's own become part of the selectors that name them.
fn own_labels(object: &mut Object, features: Features) {
    let labels = object
        .get("metadata")
        .map(|metadata| at(metadata, &["labels"]).clone())
        .unwrap_or_default();
    let Some(spec) = object.get_mut("spec") else {
        return;
    };
    let mut terms: Vec<&mut Value> = Vec::new();
    if let Some(affinity) = spec.get_mut("affinity").and_then(Value::as_object_mut) {
        for (_, rules) in affinity.iter_mut().filter(|(kind, _)| *kind != "nodeAffinity") {
            for (_, items) in rules.as_object_mut().into_iter().flatten() {
                for item in items.as_array_mut().into_iter().flatten() {
                    terms.push(if item.get("podAffinityTerm").is_some() {
                        &mut item["podAffinityTerm"]
                    } else {
                        item
                    });
                }
            }
        }
        terms.into_iter().for_each(|term| select_own(term, &labels));
    }
    if !features.has(Feature::MatchLabelKeysInPodTopologySpreadSelectorMerge) {
        return;
    }
    let constraints = spec
        .get_mut("topologySpreadConstraints")
        .and_then(Value::as_array_mut);
    for constraint in constraints.into_iter().flatten() {
        select_own(constraint, &labels);
    }
}

fn select_own(term: &mut Value, labels: &Value) {
    let Some(term) = term
        .as_object_mut()
        .filter(|term| term.get("labelSelector").is_some_and(Value::is_object))
    else {
        return;
    };
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let keys = term
            .get(field)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        for key in keys.iter().filter_map(Value::as_str) {
            let Some(value) = labels.get(key) else { continue };
            let selector = make(term, "labelSelector");
            let expressions = selector.entry("matchExpressions").or_insert_with(|| json!([]));
            if let Some(expressions) = expressions.as_array_mut() {
                expressions.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
}

fn pod(object: &mut Object, features: Features) {
    own_labels(object, features);
    super::app_armor::follow(object);
    let class = qos_class(object.get("spec").unwrap_or(&Value::Null));
    let mut status = json!({"phase": "Pending", "qosClass": class});
    let gated = object
        .get("spec")
        .is_some_and(|spec| !list(spec, &["schedulingGates"]).is_empty());
    if gated {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "lastTransitionTime": meta_time(object),
            "message": "Scheduling is blocked due to non-empty scheduling gates"
        }]);
    }
    object.insert("status".into(), status);
}

/// Guaranteed when every container limits cpu and memory to what it requests, best effort when none asks for any.
pub fn qos_class(spec: &Value) -> &'static str {
    let amount = |value: &Value| Quantity::from_json(value).ok().filter(|amount| !amount.is_zero());
    let mut any = false;
    let mut guaranteed = true;
    let mut containers: Vec<&Value> = list(spec, &["containers"])
        .iter()
        .chain(list(spec, &["initContainers"]))
        .collect();
    let whole = !is_zero(Some(at(spec, &["resources", "requests"])))
        || !is_zero(Some(at(spec, &["resources", "limits"])));
    if whole {
        containers = vec![spec];
    }
    for container in containers {
        for name in ["cpu", "memory"] {
            let request = amount(at(container, &["resources", "requests", name]));
            let limit = amount(at(container, &["resources", "limits", name]));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// A job selects its pods by its own uid, unless it was told to select by hand.
fn job(object: &mut Object, name: &str, uid: &str) {
    let spec = make(object, "spec");
    if spec.get("manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let labels = make(make(make(spec, "template"), "metadata"), "labels");
    for (key, value) in [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ] {
        // What the client set by hand is left for validation to tell.
        labels.entry(key).or_insert_with(|| Value::from(value));
    }
    absent(spec, "selector", json!({}));
    zero(
        make(make(spec, "selector"), "matchLabels"),
        "batch.kubernetes.io/controller-uid",
        uid,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a part of what is made is fitted again; the rest must need none.
    #[test]
    fn what_a_create_makes_is_in_its_form() {
        let registry = crate::Registry::built_in();
        let selector = json!({"matchLabels": {"a": "b"}});
        let term = json!({"topologyKey": "k", "labelSelector": selector, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["c"]});
        let spread = json!({"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector, "matchLabelKeys": ["a"]});
        let containers =
            json!([{"name": "c", "image": "i", "resources": {"limits": {"cpu": "100m", "memory": "1Gi"}}}]);
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers, "restartPolicy": "Never"}});
        for (group, version, plural, spec) in [
            (
                "",
                "v1",
                "pods",
                json!({
                    "containers": containers,
                    "schedulingGates": [{"name": "g"}],
                    "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
                    "topologySpreadConstraints": [spread],
                }),
            ),
            ("", "v1", "namespaces", json!({})),
            (
                "",
                "v1",
                "persistentvolumes",
                json!({"capacity": {"storage": "1Gi"}}),
            ),
            (
                "",
                "v1",
                "persistentvolumeclaims",
                json!({"dataSourceRef": {"kind": "K", "name": "n"}, "resources": {"requests": {"storage": "1Gi"}}}),
            ),
            (
                "apps",
                "v1",
                "deployments",
                json!({"selector": selector, "template": template}),
            ),
            (
                "apps",
                "v1",
                "daemonsets",
                json!({"selector": selector, "template": template}),
            ),
            ("batch", "v1", "jobs", json!({"template": template})),
            (
                "apiextensions.k8s.io",
                "v1",
                "customresourcedefinitions",
                json!({"group": "g", "versions": [{"name": "v1", "served": true, "storage": true}]}),
            ),
        ] {
            let row = registry.resource(group, version, plural).unwrap();
            let metadata = json!({"name": "n", "uid": "u", "labels": {"a": "b", "c": "d"}, "creationTimestamp": "2026-01-01T00:00:00Z"});
            let mut object = json!({"metadata": metadata, "spec": spec, "status": {"phase": "Odd"}});
            decode::fit(&row.schemas, row.schema_id, &mut object).unwrap();
            crate::defaults::apply(row, &mut object);
            prepare_create(row, &mut object).unwrap();
            let mut again = object.clone();
            decode::fit(&row.schemas, row.schema_id, &mut again).unwrap();
            assert_eq!(object, again, "{plural}");
        }
    }

    #[test]
    fn accounts_keep_names_of_secrets_and_slices_no_topology() {
        let mut account = json!({"secrets": [{"name": "a", "namespace": "b", "kind": "Secret"}, {}]});
        assert!(secret_names(account.as_object_mut().unwrap()));
        assert!(!secret_names(account.as_object_mut().unwrap()));
        assert_eq!(account, json!({"secrets": [{"name": "a"}, {}]}));
        let mut slice = json!({"endpoints": [{"addresses": ["a"], "deprecatedTopology": {"zone": "z"}}]});
        no_topology(&Value::Null, slice.as_object_mut().unwrap());
        assert_eq!(slice, json!({"endpoints": [{"addresses": ["a"]}]}));
        let on = |node: &str| json!({"addresses": ["a"], "deprecatedTopology": {HOST_NAME: node}});
        let old = json!({"endpoints": [on("n"), on("N")]});
        let mut named = on("n");
        named["nodeName"] = json!("m");
        let mut slice = json!({"endpoints": [on("n"), on("o"), on("N"), named]});
        no_topology(&old, slice.as_object_mut().unwrap());
        let nodes: Vec<&Value> = list(&slice, &["endpoints"])
            .iter()
            .map(|endpoint| at(endpoint, &["nodeName"]))
            .collect();
        assert_eq!(nodes, [&json!("n"), &Value::Null, &Value::Null, &json!("m")]);
    }

    #[test]
    fn a_source_that_is_no_claim_or_snapshot_is_named_by_reference() {
        let source = |group: &str, kind: &str| json!({"apiGroup": group, "kind": kind, "name": "a"});
        let snapshot = source("snapshot.storage.k8s.io", "VolumeSnapshot");
        let other = source("example.com", "Image");
        let claim = |spec: &Value| json!({"spec": spec});
        for (old, spec, expected) in [
            (
                None,
                json!({"dataSource": snapshot}),
                json!({"dataSource": snapshot, "dataSourceRef": snapshot}),
            ),
            (None, json!({"dataSource": other}), json!({})),
            (
                None,
                json!({"dataSourceRef": other}),
                json!({"dataSource": other, "dataSourceRef": other}),
            ),
            (
                Some(json!({"dataSource": other})),
                json!({"dataSource": other}),
                json!({"dataSource": other, "dataSourceRef": other}),
            ),
            (Some(json!({})), json!({"dataSource": other}), json!({})),
        ] {
            let mut made = claim(&spec);
            let old = old.as_ref().map(claim);
            data_source(made.as_object_mut().unwrap(), old.as_ref());
            assert_eq!(made, claim(&expected), "{spec}");
        }
    }
}
