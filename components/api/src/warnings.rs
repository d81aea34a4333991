//! Warnings that go with an accepted write, as texts without the `299 - ` of the header.
use crate::Resource;
use crate::value::{at, int, list, text};
use serde_json::Value;
use std::collections::HashMap;

/// The warning that every request for a deprecated kind gets.
pub fn deprecation(resource: &Resource) -> Option<String> {
    let core = resource.gvk.group.is_empty();
    (core && resource.gvk.kind == "Endpoints")
        .then(|| "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into())
}

/// Warnings about what a new object says.
pub fn create(resource: &Resource, object: &Value) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    if resource.custom.is_some() {
        return warnings;
    }
    match resource.gvk.kind.as_str() {
        "Pod" => warnings.extend(pod(at(object, &["spec"]), "spec")),
        "PodTemplate" => warnings.extend(pod(at(object, &["template", "spec"]), "template.spec")),
        "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet" | "ReplicationController" | "Job" => {
            warnings.extend(pod(
                at(object, &["spec", "template", "spec"]),
                "spec.template.spec",
            ))
        }
        "Service" if !list(object, &["spec", "externalIPs"]).is_empty() => warnings
            .push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".into()),
        "CustomResourceDefinition" => warnings.extend(formats(object)),
        "Secret" if text(object, &["type"]) == "kubernetes.io/tls" => warnings.extend(certificate(object)),
        "CSIDriver"
            if !list(object, &["spec", "tokenRequests"]).is_empty()
                && at(object, &["spec", "serviceAccountTokenInSecrets"]).is_null() =>
        {
            warnings.push("spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes".into());
        }
        _ => {}
    }
    if resource.gvk.kind == "StatefulSet"
        && int(object, &["spec", "revisionHistoryLimit"]).is_some_and(|limit| limit < 0)
    {
        warnings.push("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended".into());
    }
    warnings
}

/// Warnings about what a changed object says.
pub fn update(resource: &Resource, old: &Value, new: &Value) -> Vec<String> {
    // Said once: what stays as it was needs no repeating.
    let requests = |driver| list(driver, &["spec", "tokenRequests"]);
    let known = resource.gvk.kind == "CSIDriver" && requests(old) == requests(new);
    if known { Vec::new() } else { create(resource, new) }
}

fn certificate(secret: &Value) -> Option<String> {
    use base64::Engine;
    let bytes = |key: &str| {
        base64::engine::general_purpose::STANDARD
            .decode(text(secret, &["data", key]))
            .unwrap_or_default()
    };
    let pem = String::from_utf8_lossy(&bytes("tls.crt")).into_owned();
    (!pem.contains("-----BEGIN ")).then(|| "tls: failed to find any PEM data in certificate input".into())
}

fn pod(spec: &Value, path: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, alias) in list(spec, &["hostAliases"]).iter().enumerate() {
        let ip = text(alias, &["ip"]);
        if seen.insert(ip, index).is_some() {
            warnings.push(format!("{path}.hostAliases[{index}].ip: duplicate ip {ip:?}"));
        }
    }
    for (index, secret) in list(spec, &["imagePullSecrets"]).iter().enumerate() {
        if text(secret, &["name"]).is_empty() {
            warnings.push(format!(
                "{path}.imagePullSecrets[{index}].name: invalid empty name \"\""
            ));
        }
    }
    let mut ports: HashMap<(i64, &str, i64), String> = HashMap::new();
    for (index, container) in list(spec, &["containers"]).iter().enumerate() {
        for (port_index, port) in list(container, &["ports"]).iter().enumerate() {
            let own = format!("{path}.containers[{index}].ports[{port_index}]");
            let key = (
                int(port, &["containerPort"]).unwrap_or(0),
                text(port, &["protocol"]),
                int(port, &["hostPort"]).unwrap_or(0),
            );
            match ports.get(&key) {
                Some(first) => warnings.push(format!("{own}: duplicate port definition with {first}")),
                None => {
                    ports.insert(key, own);
                }
            }
        }
    }
    warnings
}

/// Formats in a definition's schemas that mean nothing here.
fn formats(definition: &Value) -> Vec<String> {
    fn walk(schema: &Value, path: &str, out: &mut Vec<String>) {
        let format = text(schema, &["format"]);
        if !format.is_empty() && !crate::custom::is_known_format(format) {
            out.push(format!("{path}: unrecognized format {format:?}"));
        }
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            walk(below, &format!("{path}.properties[{name}]"), out);
        }
        for name in ["items", "additionalProperties"] {
            if schema[name].is_object() {
                walk(&schema[name], &format!("{path}.{name}"), out);
            }
        }
    }
    let mut out = Vec::new();
    for (index, version) in list(definition, &["spec", "versions"]).iter().enumerate() {
        let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
        walk(&version["schema"]["openAPIV3Schema"], &path, &mut out);
    }
    out
}
