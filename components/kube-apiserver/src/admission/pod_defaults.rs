//! Small plugins that complete pods and nodes: Priority, DefaultTolerationSeconds, TaintNodesByCondition, RuntimeClass.

use super::{Attributes, Operation};
use crate::server::Server;
use api::quota::amounts;
use apimachinery::{ApiError, meta};
use serde_json::{Value, json};
use std::sync::Arc;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Priorities of classes that exist without being stored yet.
const SYSTEM_CLASSES: [(&str, i64); 2] = [
    ("system-cluster-critical", 2_000_000_000),
    ("system-node-critical", 2_000_001_000),
];

fn new_pod(attributes: &Attributes<'_>) -> bool {
    attributes.is("", "pods")
        && attributes.subresource.is_empty()
        && attributes.operation == Operation::Create
}

/// Priority: the number behind the class. Says whether the pod was changed.
pub async fn priority(
    server: &Server,
    attributes: &Attributes<'_>,
    pod: &mut Value,
    old: Option<&Value>,
) -> Result<bool, ApiError> {
    if let Some(old) = old.filter(|_| attributes.is("", "pods") && attributes.subresource.is_empty()) {
        return Ok(keep_priority(pod, old));
    }
    if !new_pod(attributes) {
        return Ok(false);
    }
    let mut class = pod["spec"]["priorityClassName"].as_str().unwrap_or("").to_owned();
    let (value, policy) = if class.is_empty() {
        match global_default(server).await {
            Some(found) => {
                class = meta::name(&found).to_owned();
                (
                    found["value"].as_i64().unwrap_or(0),
                    found["preemptionPolicy"].as_str().map(str::to_owned),
                )
            }
            None => (0, None),
        }
    } else {
        match class_named(server, "scheduling.k8s.io", "priorityclasses", &class).await? {
            Some(found) => (
                found["value"].as_i64().unwrap_or(0),
                found["preemptionPolicy"].as_str().map(str::to_owned),
            ),
            None => match SYSTEM_CLASSES.iter().find(|(name, _)| *name == class) {
                Some((_, value)) => (*value, None),
                None => {
                    return Err(
                        attributes.forbidden(&format!("no PriorityClass with name {class} was found"))
                    );
                }
            },
        }
    };
    if let Some(given) = pod["spec"]["priority"].as_i64().filter(|given| *given != value) {
        return Err(attributes.forbidden(&format!("the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name")));
    }
    let policy = policy.unwrap_or_else(|| "PreemptLowerPriority".to_owned());
    if let Some(given) = pod["spec"]["preemptionPolicy"]
        .as_str()
        .filter(|given| *given != policy)
    {
        return Err(attributes.forbidden(&format!("the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name")));
    }
    if !class.is_empty() {
        pod["spec"]["priorityClassName"] = json!(class);
    }
    pod["spec"]["priority"] = json!(value);
    pod["spec"]["preemptionPolicy"] = json!(policy);
    Ok(true)
}

/// The class of that name; one that was just made is not in the cache yet.
async fn class_named(
    server: &Server,
    group: &str,
    plural: &str,
    name: &str,
) -> Result<Option<Arc<Value>>, ApiError> {
    let found = server.stores.read(group, plural, "", name).await;
    found.map_err(ApiError::internal)
}

/// A change that leaves out what was computed keeps it. Says whether it did.
fn keep_priority(pod: &mut Value, old: &Value) -> bool {
    let mut changed = false;
    for field in ["priority", "preemptionPolicy"] {
        if pod["spec"][field].is_null() && !old["spec"][field].is_null() {
            pod["spec"][field] = old["spec"][field].clone();
            changed = true;
        }
    }
    changed
}

/// The class for pods that name none; of several the lowest.
async fn global_default(server: &Server) -> Option<Arc<Value>> {
    let classes = server
        .stores
        .known_list("scheduling.k8s.io", "priorityclasses", None)
        .await;
    classes
        .into_iter()
        .filter(|class| class["globalDefault"] == true)
        .min_by_key(|class| class["value"].as_i64().unwrap_or(0))
}

/// DefaultTolerationSeconds: pods stay a while on nodes that stopped answering. Says whether the pod was changed.
pub fn tolerations(server: &Server, attributes: &Attributes<'_>, pod: &mut Value) -> bool {
    let applies = attributes.is("", "pods")
        && attributes.subresource.is_empty()
        && matches!(attributes.operation, Operation::Create | Operation::Update);
    if !applies {
        return false;
    }
    let tolerations = pod["spec"]["tolerations"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let mut missing = Vec::new();
    for (key, seconds) in [
        (NOT_READY, server.flags.default_not_ready_toleration_seconds),
        (UNREACHABLE, server.flags.default_unreachable_toleration_seconds),
    ] {
        let covered = tolerations.iter().any(|toleration| {
            let of = toleration["key"].as_str().unwrap_or("");
            (of.is_empty() || of == key)
                && matches!(toleration["effect"].as_str().unwrap_or(""), "" | "NoExecute")
        });
        if !covered {
            missing.push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds }));
        }
    }
    let changed = !missing.is_empty();
    if changed {
        pod["spec"]["tolerations"] = Value::Array([tolerations, &missing].concat());
    }
    changed
}

/// TaintNodesByCondition: a new node takes no pods before it has reported itself ready.
pub fn new_node(attributes: &Attributes<'_>, node: &mut Value) {
    if !attributes.is("", "nodes")
        || !attributes.subresource.is_empty()
        || attributes.operation != Operation::Create
    {
        return;
    }
    let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let tainted = taints
        .iter()
        .any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule");
    if !tainted {
        taints.push(json!({ "key": NOT_READY, "effect": "NoSchedule" }));
        node["spec"]["taints"] = Value::Array(taints);
    }
}

/// RuntimeClass: overhead and scheduling of the class.
pub async fn runtime_class(
    server: &Server,
    attributes: &Attributes<'_>,
    pod: &mut Value,
) -> Result<(), ApiError> {
    if !new_pod(attributes) {
        return Ok(());
    }
    let Some(name) = pod["spec"]["runtimeClassName"]
        .as_str()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
    else {
        return Ok(());
    };
    let Some(class) = class_named(server, "node.k8s.io", "runtimeclasses", &name).await? else {
        return Err(attributes.forbidden(&format!("pod rejected: RuntimeClass {name:?} not found")));
    };
    if let Some(overhead) = class["overhead"].get("podFixed") {
        match pod["spec"].get("overhead") {
            Some(given) if !given.is_null() && amounts(given) != amounts(overhead) => {
                return Err(attributes.forbidden(
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
                ));
            }
            _ => pod["spec"]["overhead"] = overhead.clone(),
        }
    }
    for (key, value) in class["scheduling"]["nodeSelector"]
        .as_object()
        .into_iter()
        .flatten()
    {
        if !pod["spec"]["nodeSelector"].is_object() {
            pod["spec"]["nodeSelector"] = json!({});
        }
        let given = pod["spec"]["nodeSelector"].get(key);
        if let Some(given) = given.filter(|given| *given != value) {
            let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                text(value),
                text(given)
            );
            return Err(attributes.forbidden(&why));
        }
        pod["spec"]["nodeSelector"][key] = value.clone();
    }
    let of = |holder: &Value| holder["tolerations"].as_array().cloned().unwrap_or_default();
    if class["scheduling"].is_object() {
        let merged = merged_tolerations([of(&pod["spec"]), of(&class["scheduling"])].concat());
        if !merged.is_empty() {
            pod["spec"]["tolerations"] = Value::Array(merged);
        }
    }
    Ok(())
}

/// The tolerations without those that another of them includes; of equal ones the first stays.
fn merged_tolerations(all: Vec<Value>) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::with_capacity(all.len());
    for (index, toleration) in all.iter().enumerate() {
        let later = &all[index + 1..];
        let redundant = merged.iter().any(|other| tolerates_all_of(other, toleration))
            || later
                .iter()
                .any(|other| other != toleration && tolerates_all_of(other, toleration));
        if !redundant {
            merged.push(toleration.clone());
        }
    }
    merged
}

/// Whether one toleration tolerates everything that another does.
fn tolerates_all_of(wide: &Value, narrow: &Value) -> bool {
    if wide == narrow {
        return true;
    }
    let text = |toleration: &Value, field: &str| toleration[field].as_str().unwrap_or("").to_owned();
    let (key, effect) = (text(wide, "key"), text(wide, "effect"));
    let exists = text(wide, "operator") == "Exists";
    if key != text(narrow, "key") && !(key.is_empty() && exists) {
        return false;
    }
    if !effect.is_empty() && effect != text(narrow, "effect") {
        return false;
    }
    let seconds = |toleration: &Value| toleration["tolerationSeconds"].as_i64();
    if let Some(most) = seconds(wide).filter(|_| effect == "NoExecute")
        && seconds(narrow).is_none_or(|narrow| narrow > most)
    {
        return false;
    }
    match text(wide, "operator").as_str() {
        "Exists" => true,
        "" | "Equal" => text(narrow, "operator") == "Equal" && text(narrow, "value") == text(wide, "value"),
        _ => false,
    }
}

/// Priority: of priority classes only one is the default.
pub async fn single_default(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(class) = object.filter(|class| class["globalDefault"] == true) else {
        return Ok(());
    };
    match global_default(server).await {
        Some(other)
            if attributes.operation == Operation::Create || meta::name(&other) != meta::name(class) =>
        {
            Err(attributes.forbidden(&format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                meta::name(&other)
            )))
        }
        _ => Ok(()),
    }
}

/// RuntimeClass: a pod's overhead is what its class says, and nothing without one that says something.
pub async fn overhead(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(pod) = object.filter(|_| attributes.subresource.is_empty()) else {
        return Ok(());
    };
    let given = pod["spec"].get("overhead").filter(|overhead| !overhead.is_null());
    let class = match pod["spec"]["runtimeClassName"].as_str() {
        Some(name) => class_named(server, "node.k8s.io", "runtimeclasses", name).await?,
        None => None,
    };
    match wrong_overhead(given, class.as_deref()) {
        Some(why) => Err(attributes.forbidden(why)),
        None => Ok(()),
    }
}

fn wrong_overhead(given: Option<&Value>, class: Option<&Value>) -> Option<&'static str> {
    match class
        .map(|class| &class["overhead"])
        .filter(|overhead| overhead.is_object())
    {
        Some(overhead) => (amounts(&overhead["podFixed"]) != given.map(amounts).unwrap_or_default())
            .then_some("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
        None => given
            .is_some()
            .then_some("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"),
    }
}

/// StorageObjectInUseProtection: claims and volumes stay while they are used.
pub fn storage_protection(attributes: &Attributes<'_>, object: &mut Value) {
    if attributes.operation != Operation::Create || !attributes.subresource.is_empty() {
        return;
    }
    let finalizer = if attributes.is("", "persistentvolumeclaims") {
        "kubernetes.io/pvc-protection"
    } else if attributes.is("", "persistentvolumes") {
        "kubernetes.io/pv-protection"
    } else if attributes.is("storage.k8s.io", "volumeattributesclasses") {
        "kubernetes.io/vac-protection"
    } else {
        return;
    };
    let mut finalizers: Vec<String> = meta::finalizers(object).map(str::to_owned).collect();
    if !finalizers.iter().any(|own| own == finalizer) {
        finalizers.push(finalizer.to_owned());
        meta::set(object, "finalizers", json!(finalizers));
    }
}

/// DefaultStorageClass and DefaultIngressClass: the class marked as default, the newest of several.
pub async fn default_class(server: &Server, attributes: &Attributes<'_>, object: &mut Value) {
    if attributes.operation != Operation::Create || !attributes.subresource.is_empty() {
        return;
    }
    let (group, plural, annotations, field, legacy) = if attributes.is("", "persistentvolumeclaims") {
        (
            "storage.k8s.io",
            "storageclasses",
            &[
                "storageclass.kubernetes.io/is-default-class",
                "storageclass.beta.kubernetes.io/is-default-class",
            ][..],
            "storageClassName",
            "volume.beta.kubernetes.io/storage-class",
        )
    } else if attributes.is("networking.k8s.io", "ingresses") {
        (
            "networking.k8s.io",
            "ingressclasses",
            &["ingressclass.kubernetes.io/is-default-class"][..],
            "ingressClassName",
            "kubernetes.io/ingress.class",
        )
    } else {
        return;
    };
    let chosen = object["spec"].get(field).is_some_and(|class| !class.is_null());
    if chosen || meta::annotation(object, legacy).is_some() {
        return;
    }
    let classes = server.stores.known_list(group, plural, None).await;
    let newest = classes
        .into_iter()
        .filter(|class| {
            annotations
                .iter()
                .any(|annotation| meta::annotation(class, annotation) == Some("true"))
        })
        .max_by(|a, b| {
            (meta::creation_timestamp(a), meta::name(b)).cmp(&(meta::creation_timestamp(b), meta::name(a)))
        });
    if let Some(class) = newest {
        object["spec"][field] = json!(meta::name(&class));
    }
}

#[cfg(test)]
mod tests;
