use super::rules;
use crate::Resource;
use crate::defaults::apps::TEMPLATE_GENERATION;
use crate::value::{at, int, is_zero, list, make, same, text};
use apimachinery::decode::{self, DecodeError, Unchanged};
use apimachinery::meta;
use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

/// Changes the wanted object before it is checked: an endpoint changes only its own part of an object. `known` is what is
/// known to be as before, if anything; gives what then is. An error means that what came of it is no object of the kind,
/// which what is stored may be to blame for.
pub fn prepare_update(
    resource: &Resource,
    subresource: &str,
    old: &Value,
    new: &mut Value,
    known: Unchanged,
) -> Result<Unchanged, DecodeError> {
    if let Some(definition) = &resource.custom {
        super::custom::prepare_update(definition, subresource, old, new);
        return Ok(Unchanged::default());
    }
    let rules = rules(resource);
    // Forgotten by whatever may change a member without looking at what it was.
    let mut known = Some(known).filter(|known| !known.is_empty());
    let mut keep = |new: &mut Value, path: &[&str]| keep(old, new, path, &mut known);
    match subresource {
        "" => {
            if rules.status {
                keep(new, &["status"]);
            }
            rules.main_keeps.iter().for_each(|field| keep(new, &[field]));
        }
        "status" => {
            for path in rules.status_keeps {
                let parts: Vec<&str> = path.split('.').collect();
                if *path == "metadata" {
                    keep_metadata(old, new);
                } else {
                    keep(new, &parts);
                }
            }
            // Whatever else is at the top belongs to the main endpoint.
            let others: Vec<String> = new
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| key.clone())
                .filter(|key| {
                    !matches!(
                        key.as_str(),
                        "apiVersion" | "kind" | "metadata" | "spec" | "status"
                    )
                })
                .collect();
            for key in others {
                keep(new, &[&key]);
            }
        }
        "approval" => {
            let conditions = at(new, &["status", "conditions"]).clone();
            keep(new, &["spec"]);
            keep(new, &["status"]);
            put(new, &["status", "conditions"], conditions);
        }
        "finalize" => {
            let finalizers = at(new, &["spec", "finalizers"]).clone();
            keep(new, &["status"]);
            keep(new, &["spec"]);
            put(new, &["spec", "finalizers"], finalizers);
        }
        "ephemeralcontainers" => {
            let containers = at(new, &["spec", "ephemeralContainers"]).clone();
            only_what_identifies(old, new);
            put(new, &["spec", "ephemeralContainers"], containers);
        }
        "resize" => {
            let wanted = new.clone();
            only_what_identifies(old, new);
            resize(&wanted, new);
        }
        _ => keep(new, &["status"]),
    }
    if resource.gvk.kind == "Namespace" && subresource.is_empty() {
        keep(new, &["spec", "finalizers"]);
    }
    let counted = rules.generation_before_gates && differs(rules.generation, old, new, &Unchanged::default());
    if resource.gates.apply(Some(old), new) || rewrites(&resource.gvk.kind, subresource) {
        known = None;
    }
    if let ("ResourceClaim", "status") = (resource.gvk.kind.as_str(), subresource)
        && super::devices::forget_freed(old, new, resource.features)
    {
        known = None;
    }
    if let ("CertificateSigningRequest", "status" | "approval") = (resource.gvk.kind.as_str(), subresource) {
        if subresource == "status" {
            super::signing::keep_decisions(old, new);
        }
        super::signing::fill_times(old, new);
    }
    if let ("CustomResourceDefinition", "") = (resource.gvk.kind.as_str(), subresource) {
        storage_version(new);
    }
    if let ("Service", "") = (resource.gvk.kind.as_str(), subresource) {
        super::service::prepare_update(old, new);
    }
    if let ("Node", Some(node)) = (resource.gvk.kind.as_str(), new.as_object_mut()) {
        let (part, field) = if subresource == "status" {
            ("status", "config")
        } else {
            ("spec", "configSource")
        };
        if at(old, &[part, field]).is_null() {
            super::create::forget_configuration(node, part, field);
        }
    }
    if let ("PersistentVolumeClaim", "", Some(claim)) =
        (resource.gvk.kind.as_str(), subresource, new.as_object_mut())
    {
        super::create::data_source(claim, Some(old));
    }
    if let ("ServiceAccount", Some(account)) = (resource.gvk.kind.as_str(), new.as_object_mut())
        && super::create::secret_names(account)
    {
        known = None;
    }
    if resource.gvk.kind == "EndpointSlice"
        && at(old, &["endpoints"]) != at(new, &["endpoints"])
        && let Some(slice) = new.as_object_mut()
    {
        super::create::no_topology(old, slice);
    }
    if let ("Job", Some(job)) = (resource.gvk.kind.as_str(), new.as_object_mut()) {
        crate::defaults::labels_from_template(job);
    }
    if resource.gvk.kind == "DaemonSet" {
        let before: i64 = meta::annotation(old, TEMPLATE_GENERATION)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let changed =
            subresource.is_empty() && !same(at(old, &["spec", "template"]), at(new, &["spec", "template"]));
        meta::set_annotation(
            new,
            TEMPLATE_GENERATION,
            &(before + i64::from(changed)).to_string(),
        );
    }
    if resource.gvk.kind == "Secret" && is_zero(new.get("type")) {
        put(new, &["type"], old.get("type").cloned().unwrap_or_default());
    }
    match (resource.gvk.kind.as_str(), subresource) {
        ("Pod", "status") => pod_status(old, new),
        ("PersistentVolume", "status") => volume_status(old, new),
        _ => {}
    }
    let mut unchanged = known.unwrap_or_else(|| Unchanged::between(old, new));
    decode::fit_except(&resource.schemas, resource.schema_id, new, &unchanged)?;
    unchanged.forget("metadata");
    let changed = counted || differs(rules.generation, old, new, &unchanged);
    generation(changed && subresource != "status", old, new);
    Ok(unchanged)
}

/// Keeps what is at a path as it was.
fn keep(old: &Value, new: &mut Value, path: &[&str], known: &mut Option<Unchanged>) {
    let before = at(old, path);
    match (path, known) {
        ([name], Some(known)) if known.has(name) => {}
        ([name], known) => {
            if at(new, path) != before {
                put(new, path, before.clone());
            }
            if let Some(known) = known {
                known.note(name, before);
            }
        }
        _ if at(new, path) != before => put(new, path, before.clone()),
        _ => {}
    }
}

/// Whether the server itself writes into members of such an object that stand at the top, apart from metadata.
fn rewrites(kind: &str, subresource: &str) -> bool {
    match subresource {
        "approval" | "finalize" | "ephemeralcontainers" | "resize" => true,
        "status" => matches!(
            kind,
            "Pod" | "Job" | "CertificateSigningRequest" | "PersistentVolume"
        ),
        _ => matches!(
            kind,
            "CustomResourceDefinition" | "Service" | "PersistentVolumeClaim" | "Job"
        ),
    }
}

/// A part of a pod is changed; of the rest, the client only says which pod it means.
fn only_what_identifies(old: &Value, new: &mut Value) {
    let version = meta::get(new, "resourceVersion").cloned().unwrap_or_default();
    keep_metadata(old, new);
    put(new, &["metadata", "resourceVersion"], version);
    put(new, &["spec"], at(old, &["spec"]).clone());
    put(new, &["status"], at(old, &["status"]).clone());
}

/// What containers are to have, and whether they must be started anew for it. Other containers than there are, or in
/// another order, are left to be refused.
fn resize(wanted: &Value, pod: &mut Value) {
    for kind in ["containers", "initContainers"] {
        let asked = list(wanted, &["spec", kind]);
        let names = |containers: &[Value]| -> Vec<Value> {
            containers
                .iter()
                .map(|container| container["name"].clone())
                .collect()
        };
        if names(asked) != names(list(pod, &["spec", kind])) {
            put(pod, &["spec", kind], at(wanted, &["spec", kind]).clone());
            continue;
        }
        let containers = pod
            .pointer_mut(&format!("/spec/{kind}"))
            .and_then(Value::as_array_mut);
        for (container, asked) in containers.into_iter().flatten().zip(asked) {
            for field in ["resources", "resizePolicy"] {
                put(container, &[field], at(asked, &[field]).clone());
            }
        }
    }
    put(
        pod,
        &["spec", "resources"],
        at(wanted, &["spec", "resources"]).clone(),
    );
}

/// Objects may be stored in the version that is the storage version now.
fn storage_version(definition: &mut Value) {
    let storage = crate::value::list(definition, &["spec", "versions"])
        .iter()
        .find(|version| version["storage"] == true)
        .map(|version| version["name"].clone());
    let Some(storage) = storage else {
        return;
    };
    let mut stored = crate::value::list(definition, &["status", "storedVersions"]).to_vec();
    if !stored.contains(&storage) {
        stored.push(storage);
        put(definition, &["status", "storedVersions"], Value::Array(stored));
    }
}

/// Sets or, with null, removes what is at a path.
pub(super) fn put(value: &mut Value, path: &[&str], wanted: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let Some(mut map) = value.as_object_mut() else {
        return;
    };
    for parent in parents {
        map = make(map, parent);
    }
    if wanted.is_null() {
        map.remove(*last);
    } else {
        map.insert((*last).to_owned(), wanted);
    }
}

fn keep_metadata(old: &Value, new: &mut Value) {
    let managed = meta::get(new, "managedFields").cloned();
    put(new, &["metadata"], at(old, &["metadata"]).clone());
    put(new, &["metadata", "managedFields"], managed.unwrap_or_default());
}

/// Old and new fields for a pod's addresses follow each other; the class is the server's own.
fn pod_status(old: &Value, new: &mut Value) {
    if is_zero(Some(at(new, &["status", "qosClass"]))) {
        put(
            new,
            &["status", "qosClass"],
            at(old, &["status", "qosClass"]).clone(),
        );
    }
    keep_observed_generations(old, new);
    let first = list(new, &["status", "podIPs"])
        .first()
        .map(|first| at(first, &["ip"]).clone());
    let own = at(new, &["status", "podIP"]).clone();
    if !is_zero(Some(&own)) && first.as_ref() != Some(&own) {
        put(new, &["status", "podIPs"], json!([{ "ip": own }]));
    } else if let Some(first) = first {
        put(new, &["status", "podIP"], first);
    }
}

/// When a volume came into its phase: now, unless the client says when or the phase is as before
/// (pkg/registry/core/persistentvolume/strategy.go).
fn volume_status(old: &Value, new: &mut Value) {
    const SINCE: &[&str] = &["status", "lastPhaseTransitionTime"];
    let (before, given) = (at(old, SINCE), at(new, SINCE));
    let wanted = if text(old, &["status", "phase"]) == text(new, &["status", "phase"]) {
        given.is_null().then(|| before.clone())
    } else {
        let now = || Value::from(apimachinery::time::format_time(jiff::Timestamp::now()));
        (given.is_null() || given == before).then(now)
    };
    if let Some(wanted) = wanted
        && wanted != *at(new, SINCE)
    {
        put(new, SINCE, wanted);
    }
}

/// Kubelets that know nothing of observed generations leave those that others told.
fn keep_observed_generations(old: &Value, new: &mut Value) {
    let observed = |value: &Value| int(value, &["observedGeneration"]).filter(|generation| *generation != 0);
    let before = at(old, &["status"]);
    if let (None, Some(generation)) = (observed(at(new, &["status"])), observed(before)) {
        put(new, &["status", "observedGeneration"], generation.into());
    }
    // There may be several conditions of a type: the first follows the first, and so on.
    let mut known: HashMap<&str, VecDeque<Option<i64>>> = HashMap::new();
    for condition in list(before, &["conditions"]) {
        let of_type = known.entry(text(condition, &["type"])).or_default();
        of_type.push_back(observed(condition));
    }
    if !known.values().flatten().any(Option::is_some) {
        return;
    }
    let conditions = new
        .get_mut("status")
        .and_then(|status| status.get_mut("conditions")?.as_array_mut());
    for condition in conditions.into_iter().flatten() {
        let of_type = known.get_mut(text(condition, &["type"]));
        let generation = of_type.and_then(VecDeque::pop_front).flatten();
        if let (None, Some(generation), Some(condition)) =
            (observed(condition), generation, condition.as_object_mut())
        {
            condition.insert("observedGeneration".into(), generation.into());
        }
    }
}

/// The generation counts changes of what is wanted, and the start of a deletion.
fn generation(changed: bool, old: &Value, new: &mut Value) {
    let generation = meta::generation(old) + i64::from(changed);
    if generation == 0 {
        meta::remove(new, "generation");
    } else {
        meta::set(new, "generation", json!(generation));
    }
}

/// Whether one of the parts is another one than before.
fn differs(parts: &[&str], old: &Value, new: &Value, unchanged: &Unchanged) -> bool {
    parts.iter().any(|part| {
        if let Some(field) = part.strip_prefix("metadata.") {
            let of = |object| meta::get(object, field).unwrap_or(&Value::Null);
            return !same_labels(of(old), of(new));
        }
        !unchanged.has(part) && !same(at(old, &[part]), at(new, &[part]))
    })
}

/// Whether these are the same labels or annotations, none being as good as an empty map.
fn same_labels(old: &Value, new: &Value) -> bool {
    old == new || is_zero(Some(old)) && is_zero(Some(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_tell_when_they_came_into_their_phase() {
        let early = json!("2020-01-01T00:00:00Z");
        let volume = |phase: &str, since: &Value| {
            let mut status = json!({"phase": phase});
            if !since.is_null() {
                status["lastPhaseTransitionTime"] = since.clone();
            }
            json!({ "status": status })
        };
        let later = json!("2021-01-01T00:00:00Z");
        for (before, given, wanted) in [
            (
                volume("Bound", &early),
                volume("Bound", &Value::Null),
                Some(&early),
            ),
            (volume("Bound", &early), volume("Bound", &later), Some(&later)),
            (
                volume("Bound", &Value::Null),
                volume("Bound", &Value::Null),
                Some(&Value::Null),
            ),
            (volume("Bound", &early), volume("Released", &later), Some(&later)),
            (volume("Bound", &early), volume("Released", &early), None),
            (volume("Bound", &early), volume("Released", &Value::Null), None),
        ] {
            let mut new = given.clone();
            volume_status(&before, &mut new);
            let since = at(&new, &["status", "lastPhaseTransitionTime"]);
            match wanted {
                Some(wanted) => assert_eq!(since, wanted, "{before} {given}"),
                None => assert!(since.as_str().is_some_and(|since| since > "2022"), "{since}"),
            }
        }
    }

    #[test]
    fn observed_generations_of_pods_stay_when_they_are_left_out() {
        let condition =
            |kind: &str, generation: Value| json!({"type": kind, "observedGeneration": generation});
        let old = json!({"status": {"observedGeneration": 3, "conditions": [
            condition("A", json!(1)), condition("B", json!(2)), condition("A", json!(3)), condition("C", Value::Null),
        ]}});
        let mut new = json!({"status": {"conditions": [
            {"type": "A"}, {"type": "A"}, {"type": "A"}, condition("B", json!(4)), {"type": "C"}, {"type": "D"},
        ]}});
        keep_observed_generations(&old, &mut new);
        assert_eq!(
            new["status"],
            json!({"observedGeneration": 3, "conditions": [
                condition("A", json!(1)), condition("A", json!(3)), {"type": "A"}, condition("B", json!(4)),
                {"type": "C"}, {"type": "D"},
            ]})
        );
        let mut told = json!({"status": {"observedGeneration": 4}});
        keep_observed_generations(&old, &mut told);
        assert_eq!(told, json!({"status": {"observedGeneration": 4}}));
    }
}
