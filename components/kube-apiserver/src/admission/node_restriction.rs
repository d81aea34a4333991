//! NodeRestriction: a kubelet writes only its own node, its own pods and what belongs to them.

mod audience;
mod pod_certificates;
pub(super) mod references;

use super::{Attributes, Operation};
use crate::server::Server;
use apimachinery::{ApiError, GroupResource, meta};
use serde_json::Value;

/// Labels that kubelets may set in the reserved name spaces.
const KUBELET_LABELS: &[&str] = &[
    "kubernetes.io/hostname",
    "kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.kubernetes.io/zone",
    "failure-domain.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
];
const KUBELET_LABEL_DOMAINS: &[&str] = &["kubelet.kubernetes.io", "node.kubernetes.io"];

fn enabled(server: &Server) -> bool {
    server.admission.has(super::plugins::Plugin::NodeRestriction)
}

/// Checks a write by a kubelet.
pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let is_node = attributes.user.in_group(crate::identity::NODES_GROUP)
        && attributes.user.name.starts_with(crate::identity::NODE_PREFIX);
    if !enabled(server) || !is_node {
        return Ok(());
    }
    let Some(node) = attributes.user.node_name() else {
        return Err(attributes.forbidden(&format!(
            "could not determine node from user {:?}",
            attributes.user.name
        )));
    };
    let key = (
        attributes.row.gvk.group.as_str(),
        attributes.row.plural.as_str(),
        attributes.subresource.as_str(),
    );
    match key {
        ("", "pods", "") => pod(server, node, attributes, object, old).await,
        ("", "pods", "status") => pod_status(node, attributes, object, old),
        ("", "pods", "eviction") => pod_eviction(server, node, attributes, object).await,
        ("", "pods", other) => Err(attributes.forbidden(&format!(
            "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
        ))),
        ("", "nodes", _) => own_node(node, attributes, object, old),
        ("", "persistentvolumeclaims", "status") => claim_status(node, attributes, object, old),
        ("", "persistentvolumeclaims", _) => Err(attributes.forbidden("may only update PVC status")),
        ("", "serviceaccounts", "token") if attributes.operation == Operation::Create => {
            token(server, node, attributes, object).await
        }
        ("certificates.k8s.io", "podcertificaterequests", _) => {
            pod_certificates::admit(server, node, attributes, object).await
        }
        ("coordination.k8s.io", "leases", _) => lease(node, attributes, object),
        ("storage.k8s.io", "csinodes", _) => same_name(node, attributes, object, "CSINode"),
        ("resource.k8s.io", "resourceslices", _) => slice(node, attributes, object, old),
        ("certificates.k8s.io", "certificatesigningrequests", "")
            if attributes.operation == Operation::Create
                && !server.has_feature("AllowInsecureKubeletCertificateSigningRequests") =>
        {
            signing_request(node, attributes, object)
        }
        _ => Ok(()),
    }
}

/// A token may be asked for only for a pod of the node, and for audiences that the pod's volumes are about.
async fn token(
    server: &Server,
    node: &str,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(asked) = object else { return Ok(()) };
    let (name, uid) = token_reference(asked).map_err(|why| attributes.forbidden(why))?;
    let pod = server.stores.read("", "pods", &attributes.namespace, name).await;
    let Some(pod) = pod.map_err(|error| attributes.forbidden(&error.to_string()))? else {
        return Err(ApiError::not_found(&GroupResource::new("", "pod"), name));
    };
    if let Some(why) = token_pod(node, uid, &pod) {
        return Err(attributes.forbidden(&why));
    }
    if !server.has_feature("ServiceAccountNodeAudienceRestriction") {
        return Ok(());
    }
    audience::check(server, attributes, asked, &pod)
        .await
        .map_err(|why| attributes.forbidden(&why))
}

/// The name and uid of the one pod that a token is asked for.
fn token_reference(asked: &Value) -> Result<(&str, &str), &'static str> {
    let reference = &asked["spec"]["boundObjectRef"];
    let text = |field: &str| reference[field].as_str().unwrap_or("");
    if text("apiVersion") != "v1" || text("kind") != "Pod" || text("name").is_empty() {
        return Err("node requested token not bound to a pod");
    }
    if text("uid").is_empty() {
        return Err("node requested token with a pod binding without a uid");
    }
    Ok((text("name"), text("uid")))
}

/// Why a node gets no token for this pod.
fn token_pod(node: &str, uid: &str, pod: &Value) -> Option<String> {
    if uid != meta::uid(pod) {
        return Some(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        ));
    }
    (pod["spec"]["nodeName"].as_str() != Some(node))
        .then(|| "node requested token bound to a pod scheduled on a different node".to_owned())
}

async fn pod(
    server: &Server,
    node: &str,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    match (attributes.operation, object) {
        (Operation::Create, Some(pod)) => mirror_pod(server, node, attributes, pod).await,
        (Operation::Delete, _) => match old {
            Some(pod) if pod["spec"]["nodeName"].as_str() != Some(node) => Err(attributes.forbidden(
                &format!("node {node:?} can only delete pods with spec.nodeName set to itself"),
            )),
            _ => Ok(()),
        },
        _ => Err(attributes.forbidden(&format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            attributes.operation.name()
        ))),
    }
}

async fn mirror_pod(
    server: &Server,
    node: &str,
    attributes: &Attributes<'_>,
    pod: &Value,
) -> Result<(), ApiError> {
    let refuse = |why: String| Err(attributes.forbidden(&why));
    if meta::annotation(pod, "kubernetes.io/config.mirror").is_none() {
        return refuse(format!(
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node {node:?} can only create mirror pods"
        ));
    }
    if pod["spec"]["nodeName"].as_str() != Some(node) {
        return refuse(format!(
            "node {node:?} can only create pods with spec.nodeName set to itself"
        ));
    }
    match meta::owner_references(pod) {
        [] => {
            return refuse(format!(
                "node {node:?} can only create pods with an owner reference set to itself"
            ));
        }
        [owner] => {
            if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
                return refuse(format!(
                    "node {node:?} can only create pods with an owner reference set to itself"
                ));
            }
            if owner["controller"] != true {
                return refuse(format!(
                    "node {node:?} can only create pods with a controller owner reference set to itself"
                ));
            }
            if owner["blockOwnerDeletion"] == true {
                return refuse(format!(
                    "node {node:?} must not set blockOwnerDeletion on an owner reference"
                ));
            }
            let stored = server
                .stores
                .read("", "nodes", "", node)
                .await
                .map_err(ApiError::internal)?;
            let Some(stored) = stored else {
                return Err(ApiError::not_found(&GroupResource::new("", "node"), node));
            };
            let uid = meta::uid(&stored);
            if owner["uid"].as_str() != Some(uid) {
                return refuse(format!(
                    "node {node} UID mismatch: expected {} got {uid}",
                    owner["uid"].as_str().unwrap_or("")
                ));
            }
        }
        _ => {
            return refuse(format!(
                "node {node:?} can only create pods with a single owner reference set to itself"
            ));
        }
    }
    match references::first(pod) {
        Some(what) => refuse(format!("node {node:?} can not create pods that reference {what}")),
        None => Ok(()),
    }
}

fn pod_status(
    node: &str,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(old) = old.filter(|_| attributes.operation == Operation::Update) else {
        return Err(attributes.forbidden(&format!("unexpected operation {:?}", attributes.operation.name())));
    };
    if old["spec"]["nodeName"].as_str() != Some(node) {
        return Err(attributes.forbidden(&format!(
            "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
        )));
    }
    let labels = |pod: &Value| meta::labels(pod).cloned().unwrap_or_default();
    if object.is_some_and(|new| labels(new) != labels(old)) {
        return Err(attributes.forbidden(&format!("node {node:?} cannot update labels through pod status")));
    }
    if let Some(what) = object.and_then(|new| changed_claims(old, new)) {
        return Err(attributes.forbidden(&format!("node {node:?} cannot update {what}")));
    }
    Ok(())
}

/// What of the claims of a pod a status changes; the first word is misspelt upstream.
fn changed_claims(old: &Value, new: &Value) -> Option<&'static str> {
    let of = |pod: &'_ Value| -> Vec<(Value, Value)> {
        let list = pod["status"]["resourceClaimStatuses"].as_array();
        list.into_iter()
            .flatten()
            .map(|one| (one["name"].clone(), one["resourceClaimName"].clone()))
            .collect()
    };
    if of(old) != of(new) {
        return Some("resource claim statues");
    }
    let extended = |pod: &'_ Value| pod["status"]["extendedResourceClaimStatus"].clone();
    (extended(old) != extended(new)).then_some("extended resource claim status")
}

async fn pod_eviction(
    server: &Server,
    node: &str,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), ApiError> {
    if attributes.operation != Operation::Create {
        let operation = attributes.operation.name();
        return Err(attributes.forbidden(&format!("unexpected operation {operation}")));
    }
    let sent = object.map_or("", meta::name);
    let name = Some(attributes.name.as_str()).filter(|name| !name.is_empty());
    let name = name.unwrap_or(sent);
    if name.is_empty() {
        return Err(attributes.forbidden("could not determine pod from request data"));
    }
    let pod = server.stores.read("", "pods", &attributes.namespace, name).await;
    let Some(pod) = pod.map_err(ApiError::internal)? else {
        return Err(ApiError::not_found(&GroupResource::new("", "pod"), name));
    };
    if pod["spec"]["nodeName"].as_str() != Some(node) {
        return Err(attributes.forbidden(&format!(
            "node {node} can only evict pods with spec.nodeName set to itself"
        )));
    }
    Ok(())
}

fn own_node(
    node: &str,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let name = object
        .map(meta::name)
        .filter(|name| !name.is_empty())
        .unwrap_or(&attributes.name);
    let refuse = |why: String| Err(attributes.forbidden(&why));
    if name != node {
        return refuse(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    if let (Operation::Create, Some(object)) = (attributes.operation, object) {
        if !object["spec"]["configSource"].is_null() {
            return refuse(format!(
                "node {node:?} is not allowed to create pods with a non-nil configSource"
            ));
        }
        let forbidden = reserved_labels(object, None);
        if !forbidden.is_empty() {
            return refuse(format!(
                "node {node:?} is not allowed to set the following labels: {}",
                forbidden.join(", ")
            ));
        }
    }
    if let (Operation::Update, Some(new), Some(old)) = (attributes.operation, object, old) {
        let source = &new["spec"]["configSource"];
        if !source.is_null() && *source != old["spec"]["configSource"] {
            return refuse(format!(
                "node {node:?} is not allowed to update configSource to a new non-nil configSource"
            ));
        }
        let taints = |object: &Value| object["spec"]["taints"].as_array().cloned().unwrap_or_default();
        if taints(new) != taints(old) {
            return refuse(format!("node {node:?} is not allowed to modify taints"));
        }
        if meta::owner_references(new) != meta::owner_references(old) {
            return refuse(format!("node {node:?} is not allowed to modify ownerReferences"));
        }
        let forbidden = reserved_labels(new, Some(old));
        if !forbidden.is_empty() {
            return refuse(format!(
                "is not allowed to modify labels: {}",
                forbidden.join(", ")
            ));
        }
    }
    Ok(())
}

/// Labels in Kubernetes' own name spaces that a kubelet may not set or change.
fn reserved_labels(new: &Value, old: Option<&Value>) -> Vec<String> {
    let empty = serde_json::Map::new();
    let before = old.and_then(meta::labels).unwrap_or(&empty);
    let after = meta::labels(new).unwrap_or(&empty);
    let mut keys: Vec<&String> = before
        .keys()
        .chain(after.keys())
        .filter(|key| before.get(*key) != after.get(*key))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().filter(|key| is_reserved(key)).cloned().collect()
}

fn is_reserved(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let within = |parent: &str| domain == parent || domain.ends_with(&format!(".{parent}"));
    if within("node-restriction.kubernetes.io") {
        return true;
    }
    (within("kubernetes.io") || within("k8s.io"))
        && !KUBELET_LABELS.contains(&key)
        && !KUBELET_LABEL_DOMAINS.iter().any(|parent| within(parent))
}

fn lease(node: &str, attributes: &Attributes<'_>, object: Option<&Value>) -> Result<(), ApiError> {
    if attributes.namespace != "kube-node-lease" {
        return Err(
            attributes.forbidden("can only access leases in the \"kube-node-lease\" system namespace")
        );
    }
    same_name(node, attributes, object, "node lease")
}

fn same_name(
    node: &str,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    what: &str,
) -> Result<(), ApiError> {
    let name = if attributes.operation == Operation::Create {
        object.map(meta::name).unwrap_or("")
    } else {
        &attributes.name
    };
    if name != node {
        return Err(attributes.forbidden(&format!(
            "can only access {what} with the same name as the requesting node"
        )));
    }
    Ok(())
}

fn slice(
    node: &str,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let named = |slice: Option<&Value>| {
        slice
            .and_then(|slice| slice["spec"]["nodeName"].as_str())
            .unwrap_or("")
            .to_owned()
    };
    match attributes.operation {
        Operation::Create if named(object) != node => Err(attributes
            .forbidden("can only create ResourceSlice with the same NodeName as the requesting node")),
        Operation::Update if named(old) != node => Err(attributes
            .forbidden("can only update ResourceSlice with the same NodeName as the requesting node")),
        Operation::Delete if named(old) != node => Err(attributes
            .forbidden("can only delete ResourceSlice with the same NodeName as the requesting node")),
        _ => Ok(()),
    }
}

/// A claim without what a kubelet reports of it, and without what may always differ.
fn unreported(claim: &Value) -> Value {
    let mut claim = claim.clone();
    if let Some(status) = claim.get_mut("status").and_then(Value::as_object_mut) {
        for field in [
            "capacity",
            "conditions",
            "allocatedResources",
            "allocatedResourceStatuses",
        ] {
            status.remove(field);
        }
    }
    meta::remove(&mut claim, "resourceVersion");
    meta::remove(&mut claim, "managedFields");
    claim
}

/// A kubelet reports on growing volumes and changes nothing else of a claim.
fn claim_status(
    node: &str,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let (Operation::Update, Some(new), Some(old)) = (attributes.operation, object, old) else {
        return Err(attributes.forbidden(&format!("unexpected operation {:?}", attributes.operation.name())));
    };
    let (old, new) = (unreported(old), unreported(new));
    if !api::same(&old, &new) {
        return Err(attributes.forbidden(&format!(
            "node {node:?} is not allowed to update fields other than status.quantity and status.conditions: {}",
            api::validate::claim_difference(&old, &new)
        )));
    }
    Ok(())
}

fn signing_request(node: &str, attributes: &Attributes<'_>, object: Option<&Value>) -> Result<(), ApiError> {
    let Some(object) = object else { return Ok(()) };
    let signer = object["spec"]["signerName"].as_str().unwrap_or("");
    if !matches!(
        signer,
        "kubernetes.io/kubelet-serving" | "kubernetes.io/kube-apiserver-client-kubelet"
    ) {
        return Ok(());
    }
    let requested = super::certificates::requested(object)
        .map_err(|error| attributes.forbidden(&format!("unable to parse csr: {error}")))?;
    let wanted = format!("{}{node}", crate::identity::NODE_PREFIX);
    if requested.common_name != wanted {
        let why = format!("can only create a node CSR with CN={wanted}");
        return Err(attributes.forbidden(&why));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
