//! A kubelet asks for certificates only for pods that run on its node.

use crate::admission::{Attributes, Operation};
use crate::server::Server;
use apimachinery::{ApiError, Reason, meta};
use serde_json::Value;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// Why a certificate isn't asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    Forbidden(String),
    /// What a cache that is behind may explain: the kubelet may ask again.
    Failed(String),
}

pub(super) async fn admit(
    server: &Server,
    node: &str,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), ApiError> {
    if !server.has_feature("PodCertificateRequest") {
        return Err(attributes.forbidden("PodCertificateRequest feature gate is disabled"));
    }
    let Some(request) = object.filter(|_| attributes.operation == Operation::Create) else {
        let operation = attributes.operation.name();
        return Err(attributes.forbidden(&format!("unexpected operation {operation}")));
    };
    if !attributes.subresource.is_empty() {
        let why = format!("unexpected subresource {}", attributes.subresource);
        return Err(attributes.forbidden(&why));
    }
    let spec = &request["spec"];
    let namespace = &attributes.namespace;
    let read = async |plural: &'static str, namespace: &str, name: &str| {
        let found = server.stores.read("", plural, namespace, name).await;
        found.map_err(ApiError::internal)
    };
    let stored_node = read("nodes", "", text(spec, "nodeName")).await?;
    let pod = read("pods", namespace, text(spec, "podName")).await?;
    let account = read("serviceaccounts", namespace, text(spec, "serviceAccountName")).await?;
    let found = Found {
        node: stored_node.as_deref(),
        pod: pod.as_deref(),
        account: account.as_deref(),
    };
    check(node, namespace, spec, &found).map_err(|refusal| match refusal {
        Refusal::Forbidden(why) => attributes.forbidden(&why),
        Refusal::Failed(why) => ApiError::new(500, Reason::Unknown, why, None),
    })
}

/// The objects that a request names, if they are there.
struct Found<'f> {
    node: Option<&'f Value>,
    pod: Option<&'f Value>,
    account: Option<&'f Value>,
}

fn text<'s>(spec: &'s Value, field: &str) -> &'s str {
    spec[field].as_str().unwrap_or("")
}

fn missing(kind: &str, shown: &str, resource: &str, name: &str) -> Refusal {
    Refusal::Failed(format!(
        "while retrieving {kind} {shown:?} named in the PodCertificateRequest: {resource} {name:?} not found"
    ))
}

fn check(node: &str, namespace: &str, spec: &Value, found: &Found<'_>) -> Result<(), Refusal> {
    let text = |field: &str| text(spec, field);
    let (asked, name, account) = (text("nodeName"), text("podName"), text("serviceAccountName"));
    let pod = format!("{namespace}/{name}");
    let forbidden = |why: String| Err(Refusal::Forbidden(why));
    let failed = |why: String| Err(Refusal::Failed(why));
    if asked != node {
        return forbidden(format!(
            "PodCertificateRequest.Spec.NodeName={asked:?}, which is not the requesting node {node:?}"
        ));
    }
    let running = meta::uid(found.node.ok_or_else(|| missing("node", asked, "node", asked))?);
    if running != text("nodeUID") {
        return failed(format!(
            "PodCertificateRequest for pod {pod:?} names node UID {:?}, inconsistent with the running node ({running:?})",
            text("nodeUID")
        ));
    }
    let stored = found.pod.ok_or_else(|| missing("pod", &pod, "pod", name))?;
    if meta::uid(stored) != text("podUID") {
        return failed(format!(
            "PodCertificateRequest for pod {pod:?} contains pod UID ({:?}) which differs from running pod {:?}",
            text("podUID"),
            meta::uid(stored)
        ));
    }
    if stored["spec"]["nodeName"] != node {
        return forbidden(format!(
            "pod {pod:?} is not running on node {asked:?} named in the PodCertificateRequest"
        ));
    }
    if meta::annotation(stored, MIRROR).is_some() {
        return forbidden(format!("pod {pod:?} is a mirror pod"));
    }
    let own = stored["spec"]["serviceAccountName"].as_str().unwrap_or("");
    if account != own {
        return forbidden(format!(
            "PodCertificateRequest for pod {pod:?} contains serviceAccountName ({account:?}) that differs from running pod ({own:?})"
        ));
    }
    let shown = format!("{namespace}/{account}");
    let uid = meta::uid(
        found
            .account
            .ok_or_else(|| missing("service account", &shown, "serviceaccount", account))?,
    );
    if uid != text("serviceAccountUID") {
        return failed(format!(
            "PodCertificateRequest for pod {pod:?} names service account UID {:?}, which differs from the running service account ({uid:?})",
            text("serviceAccountUID")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_for_pods_that_run_here() {
        let with = |field: &str, value: &str| {
            let mut spec = json!({"nodeName": "n", "nodeUID": "nu", "podName": "p", "podUID": "pu", "serviceAccountName": "a", "serviceAccountUID": "au"});
            spec[field] = json!(value);
            spec
        };
        let node = json!({"metadata": {"name": "n", "uid": "nu"}});
        let account = json!({"metadata": {"name": "a", "uid": "au"}});
        let pod = |node: &str, annotations: Value| json!({"metadata": {"uid": "pu", "annotations": annotations}, "spec": {"nodeName": node, "serviceAccountName": "a"}});
        let (here, there) = (pod("n", json!({})), pod("m", json!({})));
        let mirror = pod("n", json!({ MIRROR: "x" }));
        let forbidden = |why: &str| Err(Refusal::Forbidden(why.to_owned()));
        let failed = |why: &str| Err(Refusal::Failed(why.to_owned()));
        for (spec, stored, expected) in [
            (with("nodeName", "n"), Some(&here), Ok(())),
            (
                with("nodeName", "m"),
                Some(&here),
                forbidden(
                    "PodCertificateRequest.Spec.NodeName=\"m\", which is not the requesting node \"n\"",
                ),
            ),
            (
                with("nodeUID", "x"),
                Some(&here),
                failed(
                    "PodCertificateRequest for pod \"ns/p\" names node UID \"x\", inconsistent with the running node (\"nu\")",
                ),
            ),
            (
                with("podUID", "pu"),
                None,
                failed(
                    "while retrieving pod \"ns/p\" named in the PodCertificateRequest: pod \"p\" not found",
                ),
            ),
            (
                with("podUID", "x"),
                Some(&here),
                failed(
                    "PodCertificateRequest for pod \"ns/p\" contains pod UID (\"x\") which differs from running pod \"pu\"",
                ),
            ),
            (
                with("nodeName", "n"),
                Some(&there),
                forbidden("pod \"ns/p\" is not running on node \"n\" named in the PodCertificateRequest"),
            ),
            (
                with("nodeName", "n"),
                Some(&mirror),
                forbidden("pod \"ns/p\" is a mirror pod"),
            ),
            (
                with("serviceAccountName", "b"),
                Some(&here),
                forbidden(
                    "PodCertificateRequest for pod \"ns/p\" contains serviceAccountName (\"b\") that differs from running pod (\"a\")",
                ),
            ),
            (
                with("serviceAccountUID", "x"),
                Some(&here),
                failed(
                    "PodCertificateRequest for pod \"ns/p\" names service account UID \"x\", which differs from the running service account (\"au\")",
                ),
            ),
        ] {
            let found = Found {
                node: Some(&node),
                pod: stored,
                account: Some(&account),
            };
            assert_eq!(check("n", "ns", &spec, &found), expected, "{spec}");
        }
    }
}
