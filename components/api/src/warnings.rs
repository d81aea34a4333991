//! Warnings that go with an accepted write, as texts without the `299 - ` of the header.
mod addresses;
mod containers;
mod custom;
mod definition;
mod labels;
mod network;
mod plugins;
mod pod;
mod secret;
mod storage;
mod volumes;

use crate::Resource;
use crate::value::{at, int, list, text};
use apimachinery::{meta, names};
use serde_json::Value;

const MOUNTABLE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";

/// The warning that every request for a deprecated kind gets.
pub fn deprecation(resource: &Resource) -> Option<String> {
    let core = resource.gvk.group.is_empty();
    (core && resource.gvk.kind == "Endpoints")
        .then(|| "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into())
}

/// Warnings about what is in a new object as it was sent, and will be changed before it is stored.
pub fn sent(resource: &Resource, object: &Value) -> Vec<String> {
    if resource.custom.is_none() && resource.gvk.kind == "Pod" {
        crate::strategy::app_armor::warnings(object)
    } else {
        Vec::new()
    }
}

/// Warnings about what a new object says.
pub fn create(resource: &Resource, object: &Value) -> Vec<String> {
    if resource.custom.is_some() {
        return custom::finalizers(None, object);
    }
    let kind = resource.gvk.kind.as_str();
    let mut warnings: Vec<String> = unfit_name(kind, meta::name(object)).into_iter().collect();
    match kind {
        "Pod" => warnings.extend(pod::pod(object)),
        "EndpointSlice" => warnings.extend(network::slice(object, true)),
        "Ingress" => warnings.extend(network::ingress(object)),
        _ if has_template(kind) => warnings.extend(workload(kind, object)),
        _ => warnings.extend(either(kind, None, object)),
    }
    warnings.extend(history(kind, object));
    warnings
}

/// Warnings about what an object says that was changed at an endpoint.
pub fn update(resource: &Resource, subresource: &str, old: &Value, new: &Value) -> Vec<String> {
    if resource.custom.is_some() {
        return match subresource {
            "status" => Vec::new(),
            _ => custom::finalizers(Some(old), new),
        };
    }
    let kind = resource.gvk.kind.as_str();
    match (kind, subresource) {
        ("Pod", "status") => pod_addresses(new),
        ("Service" | "Ingress", "status") => network::balancer_status(new),
        // Those who change pods are programs, and do it often.
        ("Pod", _) | (_, "status") => Vec::new(),
        ("EndpointSlice", _) => network::slice(new, false),
        _ => {
            let mut warnings = if !has_template(kind) {
                either(kind, Some(old), new)
            } else if generation(old) == generation(new) {
                // Said once: what stays as it was needs no repeating.
                Vec::new()
            } else {
                workload(kind, new)
            };
            warnings.extend(schedule(kind, new));
            warnings.extend(history(kind, new));
            warnings
        }
    }
}

fn generation(object: &Value) -> i64 {
    int(object, &["metadata", "generation"]).unwrap_or(0)
}

/// Objects that pods are named after; a pod's name becomes its host's.
fn unfit_name(kind: &str, name: &str) -> Option<String> {
    let used = match kind {
        "Pod" => "this is used in the Pod's hostname",
        "ReplicaSet" | "Deployment" | "Job" | "CronJob" | "ReplicationController" => {
            "this is used in Pod names and hostnames"
        }
        _ => return None,
    };
    let wrong = names::dns1123_label(name);
    (!wrong.is_empty()).then(|| {
        format!(
            "metadata.name: {used}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            wrong.join(" ")
        )
    })
}

/// Kinds that make pods, or are made to.
fn has_template(kind: &str) -> bool {
    matches!(
        kind,
        "PodTemplate"
            | "Deployment"
            | "ReplicaSet"
            | "DaemonSet"
            | "ReplicationController"
            | "StatefulSet"
            | "Job"
            | "CronJob"
    )
}

/// About such a kind.
fn workload(kind: &str, object: &Value) -> Vec<String> {
    match kind {
        "PodTemplate" => pod::template(at(object, &["template"]), "template"),
        "Deployment" | "ReplicaSet" | "DaemonSet" | "ReplicationController" => {
            pod::template(at(object, &["spec", "template"]), "spec.template")
        }
        "StatefulSet" => {
            let mut warnings = pod::template(at(object, &["spec", "template"]), "spec.template");
            for (index, claim) in list(object, &["spec", "volumeClaimTemplates"]).iter().enumerate() {
                let path = || format!("spec.volumeClaimTemplates[{index}]");
                storage::claim_spec(at(claim, &["spec"]), path, &mut warnings);
            }
            warnings
        }
        "Job" => job(at(object, &["spec"]), "spec"),
        "CronJob" => job(
            at(object, &["spec", "jobTemplate", "spec"]),
            "spec.jobTemplate.spec",
        ),
        _ => Vec::new(),
    }
}

fn job(spec: &Value, path: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    let number = |field| int(spec, &[field]).unwrap_or(0);
    if text(spec, &["completionMode"]) == "Indexed"
        && number("completions") > 100_000
        && number("parallelism") > 10_000
    {
        warnings.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    warnings.extend(pod::template(
        at(spec, &["template"]),
        &format!("{path}.template"),
    ));
    warnings
}

/// Time zones in a schedule, which only older objects have.
fn schedule(kind: &str, object: &Value) -> Option<String> {
    (kind == "CronJob" && text(object, &["spec", "schedule"]).contains("TZ")).then(|| {
        // The path is upstream's.
        "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details".into()
    })
}

fn history(kind: &str, object: &Value) -> Option<String> {
    let limit = int(object, &["spec", "revisionHistoryLimit"]);
    (kind == "StatefulSet" && limit.is_some_and(|limit| limit < 0)).then(|| {
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended".into()
    })
}

/// About kinds that are told the same when they are made and when they are changed.
fn either(kind: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    match kind {
        "Service" => network::service(new),
        "Endpoints" => network::endpoints(new),
        "NetworkPolicy" => network::policy(new),
        "Node" => network::node(new),
        "PersistentVolume" => storage::volume(new),
        "PersistentVolumeClaim" => storage::claim(new),
        "StorageClass" => storage::class(new),
        "CSIStorageCapacity" => {
            let mut warnings = Vec::new();
            labels::selector(at(new, &["nodeTopology"]), "nodeTopology", &mut warnings);
            warnings
        }
        "RuntimeClass" => labels::keys(new, &["scheduling", "nodeSelector"])
            .map(|(_, message)| format!("scheduling.nodeSelector: {message}"))
            .collect(),
        "ServiceAccount" => mountable_secrets(old, new).into_iter().collect(),
        "CustomResourceDefinition" => definition::formats(old, new),
        "Secret" if text(new, &["type"]) == "kubernetes.io/tls" => secret::pair(new).into_iter().collect(),
        "CSIDriver" => driver(old, new).into_iter().collect(),
        "MutatingWebhookConfiguration"
        | "ValidatingWebhookConfiguration"
        | "MutatingAdmissionPolicy"
        | "MutatingAdmissionPolicyBinding"
        | "ValidatingAdmissionPolicy"
        | "ValidatingAdmissionPolicyBinding" => reserved_name(new).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Names that will be those of admission configured by files, which is off as yet.
fn reserved_name(object: &Value) -> Option<String> {
    const SUFFIX: &str = ".static.k8s.io";
    meta::name(object).ends_with(SUFFIX).then(|| {
        format!(
            "metadata.name: names ending with {SUFFIX:?} will be reserved for static manifest-based configurations when the ManifestBasedAdmissionControlConfig feature gate is enabled"
        )
    })
}

fn pod_addresses(pod: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for field in ["podIPs", "hostIPs"] {
        for (index, given) in list(pod, &["status", field]).iter().enumerate() {
            let path = || format!("status.{field}[{index}].ip");
            warnings.extend(addresses::ip(path, text(given, &["ip"])));
        }
    }
    warnings
}

fn mountable_secrets(old: Option<&Value>, new: &Value) -> Option<String> {
    let has = |object| meta::annotation(object, MOUNTABLE_SECRETS).is_some();
    (has(new) && !old.is_some_and(has)).then(|| {
        format!(
            "metadata.annotations[{MOUNTABLE_SECRETS}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        )
    })
}

fn driver(old: Option<&Value>, new: &Value) -> Option<String> {
    let requests = |driver| list(driver, &["spec", "tokenRequests"]);
    let known = old.is_some_and(|old| requests(old) == requests(new));
    let said = !at(new, &["spec", "serviceAccountTokenInSecrets"]).is_null();
    (!requests(new).is_empty() && !said && !known).then(|| {
        "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes".into()
    })
}

#[cfg(test)]
mod tests;
