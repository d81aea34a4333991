//! What a pod refers to in the API: a mirror pod must not.

use serde_json::Value;

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// Whether a reference has a name.
fn named(reference: &Value, field: &str) -> bool {
    reference[field].as_str().is_some_and(|name| !name.is_empty())
}

/// The first kind of object that a pod refers to, in upstream's words.
pub(super) fn first(pod: &Value) -> Option<&'static str> {
    let spec = &pod["spec"];
    if named(spec, "serviceAccountName") {
        return Some("serviceaccounts");
    }
    if secrets(spec) {
        return Some("secrets");
    }
    if config_maps(spec) {
        return Some("configmaps");
    }
    if !items(spec, "resourceClaims").is_empty() {
        return Some("resourceclaims");
    }
    items(spec, "volumes").iter().find_map(of_volume)
}

fn by_container(spec: &Value, variable: &str, all: &str) -> bool {
    ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| items(spec, list))
        .any(|container| {
            items(container, "env")
                .iter()
                .any(|one| named(&one["valueFrom"][variable], "name"))
                || items(container, "envFrom")
                    .iter()
                    .any(|one| named(&one[all], "name"))
        })
}

fn projects(volume: &Value, kind: &str) -> bool {
    items(&volume["projected"], "sources")
        .iter()
        .any(|source| named(&source[kind], "name"))
}

/// Kinds of volumes with the reference that they may have to a secret, and the field that names it.
const SECRETS_OF_VOLUMES: [(&str, &str, &str); 10] = [
    ("azureFile", "", "secretName"),
    ("cephfs", "secretRef", "name"),
    ("cinder", "secretRef", "name"),
    ("flexVolume", "secretRef", "name"),
    ("rbd", "secretRef", "name"),
    ("secret", "", "secretName"),
    ("scaleIO", "secretRef", "name"),
    ("iscsi", "secretRef", "name"),
    ("storageos", "secretRef", "name"),
    ("csi", "nodePublishSecretRef", "name"),
];

/// Whether volumes, variables or image pulls of a pod's spec name a secret.
pub(in crate::admission) fn secrets(spec: &Value) -> bool {
    let by_volume = |volume: &Value| {
        let direct = SECRETS_OF_VOLUMES.iter().any(|(kind, reference, field)| {
            let source = &volume[*kind];
            let holder = if reference.is_empty() {
                source
            } else {
                &source[*reference]
            };
            named(holder, field)
        });
        direct || projects(volume, "secret")
    };
    items(spec, "imagePullSecrets")
        .iter()
        .any(|secret| named(secret, "name"))
        || by_container(spec, "secretKeyRef", "secretRef")
        || items(spec, "volumes").iter().any(by_volume)
}

fn config_maps(spec: &Value) -> bool {
    let by_volume = |volume: &Value| named(&volume["configMap"], "name") || projects(volume, "configMap");
    by_container(spec, "configMapKeyRef", "configMapRef") || items(spec, "volumes").iter().any(by_volume)
}

fn of_volume(volume: &Value) -> Option<&'static str> {
    for (kind, what) in [
        ("configMap", "configmaps (via configmap volumes)"),
        ("secret", "secrets (via secret volumes)"),
        ("csi", "csidrivers (via CSI volumes)"),
        ("glusterfs", "endpoints (via glusterFS volumes)"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
        ("azureFile", "secrets (via azureFile volumes)"),
    ] {
        if volume[kind].is_object() {
            return Some(what);
        }
    }
    items(&volume["projected"], "sources").iter().find_map(|source| {
        [
            ("configMap", "configmaps (via projected volumes)"),
            ("secret", "secrets (via projected volumes)"),
            ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
            ("clusterTrustBundle", "clustertrustbundles"),
            ("podCertificate", "podcertificates"),
        ]
        .into_iter()
        .find(|(kind, _)| source[*kind].is_object())
        .map(|(_, what)| what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_of_pods() {
        let volume = |source: Value| json!({ "volumes": [source] });
        let projected = |source: Value| volume(json!({"projected": {"sources": [source]}}));
        let container = |list: &str, env: Value| json!({ list: [env] });
        for (spec, expected) in [
            (json!({}), None),
            (json!({"serviceAccountName": "a"}), Some("serviceaccounts")),
            (json!({"imagePullSecrets": [{"name": "s"}]}), Some("secrets")),
            (json!({"imagePullSecrets": [{}]}), None),
            (
                container(
                    "ephemeralContainers",
                    json!({"env": [{"valueFrom": {"secretKeyRef": {"name": "s"}}}]}),
                ),
                Some("secrets"),
            ),
            (
                container(
                    "initContainers",
                    json!({"envFrom": [{"configMapRef": {"name": "m"}}]}),
                ),
                Some("configmaps"),
            ),
            (volume(json!({"secret": {"secretName": "s"}})), Some("secrets")),
            (
                volume(json!({"secret": {}})),
                Some("secrets (via secret volumes)"),
            ),
            (
                volume(json!({"csi": {"nodePublishSecretRef": {"name": "s"}}})),
                Some("secrets"),
            ),
            (
                volume(json!({"csi": {"driver": "d"}})),
                Some("csidrivers (via CSI volumes)"),
            ),
            (volume(json!({"configMap": {"name": "m"}})), Some("configmaps")),
            (json!({"resourceClaims": [{"name": "c"}]}), Some("resourceclaims")),
            (
                volume(json!({"persistentVolumeClaim": {"claimName": "c"}})),
                Some("persistentvolumeclaims"),
            ),
            (
                volume(json!({"ephemeral": {}})),
                Some("persistentvolumeclaims (via ephemeral volumes)"),
            ),
            (projected(json!({"secret": {"name": "s"}})), Some("secrets")),
            (
                projected(json!({"serviceAccountToken": {"path": "t"}})),
                Some("serviceaccounts (via projected volumes)"),
            ),
            (
                projected(json!({"clusterTrustBundle": {"path": "t"}})),
                Some("clustertrustbundles"),
            ),
            (projected(json!({"podCertificate": {}})), Some("podcertificates")),
            (projected(json!({"downwardAPI": {}})), None),
            (volume(json!({"hostPath": {"path": "/"}})), None),
        ] {
            assert_eq!(first(&json!({ "spec": spec })), expected, "{spec}");
        }
    }
}
