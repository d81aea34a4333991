//! PodSecurity: the Pod Security Standards that a namespace's labels ask for.

pub mod checks;
pub mod configuration;

use super::{Attributes, Operation};
use crate::server::Server;
use apimachinery::{ApiError, meta};
use checks::{Level, violations};
use serde_json::Value;

const PREFIX: &str = "pod-security.kubernetes.io/";

/// Where the pod is in an object of a kind that makes pods.
fn template<'a>(attributes: &Attributes<'_>, object: &'a Value) -> Option<&'a Value> {
    let kind = (attributes.row.gvk.group.as_str(), attributes.row.plural.as_str());
    match kind {
        ("", "pods") => Some(object),
        ("", "podtemplates") => object.get("template"),
        ("", "replicationcontrollers")
        | ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => object["spec"].get("template"),
        ("batch", "cronjobs") => object["spec"]["jobTemplate"]["spec"].get("template"),
        _ => None,
    }
}

fn level(namespace: &Value, mode: &str) -> Level {
    match meta::label(namespace, &format!("{PREFIX}{mode}")) {
        Some("baseline") => Level::Baseline,
        Some("restricted") => Level::Restricted,
        None | Some("privileged") => Level::Privileged,
        // A level that nobody knows is taken as the strictest when it is to be enforced.
        Some(_) => Level::Restricted,
    }
}

fn version(namespace: &Value, mode: &str) -> String {
    meta::label(namespace, &format!("{PREFIX}{mode}-version"))
        .unwrap_or("latest")
        .to_owned()
}

pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), ApiError> {
    let changes = matches!(attributes.operation, Operation::Create | Operation::Update);
    let relevant = attributes.subresource.is_empty() || attributes.subresource == "ephemeralcontainers";
    let Some(object) = object.filter(|_| changes && relevant && attributes.row.namespaced) else {
        return Ok(());
    };
    let Some(pod) = template(attributes, object) else {
        return Ok(());
    };
    let namespace = server
        .stores
        .read("", "namespaces", "", &attributes.namespace)
        .await
        .map_err(ApiError::internal)?;
    let Some(namespace) = namespace else { return Ok(()) };
    let is_pod = attributes.is("", "pods");
    let spec = &pod["spec"];
    let annotations = meta::annotations(pod);
    if is_pod {
        let enforce = level(&namespace, "enforce");
        let found = violations(enforce, spec, annotations);
        if !found.is_empty() {
            let text = format!(
                "violates PodSecurity \"{}:{}\": {}",
                enforce.name(),
                version(&namespace, "enforce"),
                found.join(", ")
            );
            return Err(attributes.forbidden(&text));
        }
    }
    let warn = level(&namespace, "warn");
    let found = violations(warn, spec, annotations);
    if !found.is_empty() {
        attributes.request.warn(format!(
            "would violate PodSecurity \"{}:{}\": {}",
            warn.name(),
            version(&namespace, "warn"),
            found.join(", ")
        ));
    }
    Ok(())
}
