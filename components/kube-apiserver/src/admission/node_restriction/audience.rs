//! Whom a token is for: a kubelet asks only for audiences that its pod's volumes are about.

use crate::admission::Attributes;
use crate::authorization::attributes::Attributes as Question;
use crate::server::Server;
use apimachinery::meta;
use serde_json::Value;
use std::sync::Arc;

const VERB: &str = "request-serviceaccounts-token-audience";

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// Refuses an audience that neither the pod nor a rule is about; the text is upstream's.
pub async fn check(
    server: &Server,
    attributes: &Attributes<'_>,
    asked: &Value,
    pod: &Value,
) -> Result<(), String> {
    let audience = match items(&asked["spec"], "audiences") {
        [] => "",
        [only] => only.as_str().unwrap_or(""),
        _ => return Err("node may only request 0 or 1 audiences".to_owned()),
    };
    let (namespace, user) = (&attributes.namespace, &attributes.user);
    let known = |group: &str, plural: &str, name: &str| {
        let namespace = if plural == "persistentvolumeclaims" {
            namespace
        } else {
            ""
        };
        server
            .stores
            .cached(group, plural, namespace, name)
            .map(Arc::unwrap_or_clone)
    };
    if references(pod, audience, &known) {
        return Ok(());
    }
    let question = Question::resource(user, VERB, "", audience)
        .in_namespace(namespace)
        .named(&attributes.name);
    if server.authorizer.decide(&question).await.allowed() {
        return Ok(());
    }
    Err(format!(
        "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
        user.name
    ))
}

/// Whether a projected token of the pod, or a storage driver that it uses, has the audience.
fn references(pod: &Value, audience: &str, known: &impl Fn(&str, &str, &str) -> Option<Value>) -> bool {
    let of_driver = |name: &str| {
        known("storage.k8s.io", "csidrivers", name).is_some_and(|driver| {
            items(&driver["spec"], "tokenRequests")
                .iter()
                .any(|request| request["audience"].as_str().unwrap_or("") == audience)
        })
    };
    let of_claim = |name: &str| {
        known("", "persistentvolumeclaims", name)
            .and_then(|claim| known("", "persistentvolumes", claim["spec"]["volumeName"].as_str()?))
            .and_then(|volume| volume["spec"]["csi"]["driver"].as_str().map(str::to_owned))
            .is_some_and(|driver| of_driver(&driver))
    };
    items(&pod["spec"], "volumes").iter().any(|volume| {
        let projected = items(&volume["projected"], "sources").iter().any(|source| {
            source
                .get("serviceAccountToken")
                .is_some_and(|token| token["audience"].as_str().unwrap_or("") == audience)
        });
        let ephemeral = || format!("{}-{}", meta::name(pod), volume["name"].as_str().unwrap_or(""));
        projected
            || volume["csi"]["driver"].as_str().is_some_and(of_driver)
            || volume["persistentVolumeClaim"]["claimName"]
                .as_str()
                .is_some_and(of_claim)
            || (volume["ephemeral"].is_object() && of_claim(&ephemeral()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn audiences_of_a_pods_volumes() {
        let known = |_: &str, plural: &str, name: &str| match (plural, name) {
            ("csidrivers", "d") => Some(json!({"spec": {"tokenRequests": [{"audience": "csi"}]}})),
            ("persistentvolumeclaims", "c" | "p-v") => Some(json!({"spec": {"volumeName": "pv"}})),
            ("persistentvolumes", "pv") => Some(json!({"spec": {"csi": {"driver": "d"}}})),
            _ => None,
        };
        let token =
            |token: Value| json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": token}]}});
        for (volume, audience, expected) in [
            (token(json!({"path": "t"})), "", true),
            (token(json!({"path": "t", "audience": "vault"})), "vault", true),
            (token(json!({"path": "t", "audience": "vault"})), "", false),
            (token(json!({"path": "t"})), "vault", false),
            (json!({"name": "v", "csi": {"driver": "d"}}), "csi", true),
            (json!({"name": "v", "csi": {"driver": "other"}}), "csi", false),
            (
                json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}}),
                "csi",
                true,
            ),
            (json!({"name": "v", "ephemeral": {}}), "csi", true),
            (json!({"name": "v", "emptyDir": {}}), "", false),
        ] {
            let pod = json!({"metadata": {"name": "p"}, "spec": {"volumes": [volume]}});
            assert_eq!(references(&pod, audience, &known), expected, "{pod} {audience}");
        }
    }
}
