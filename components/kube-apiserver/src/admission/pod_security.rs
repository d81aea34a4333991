//! PodSecurity: the Pod Security Standards that a namespace's labels ask for.

pub mod checks;
pub mod configuration;
pub mod namespaces;
pub mod policy;

use super::{Attributes, Operation};
use crate::metrics::pod_security::{Mode, PodSecurityMetrics};
use crate::server::Server;
use apimachinery::decode::Unchanged;
use apimachinery::{ApiError, meta};
use checks::violations;
use policy::Policy;
use serde_json::{Map, Value};

const PREFIX: &str = "pod-security.kubernetes.io/";
/// Annotations of pods that the standards look at.
const CHECKED_ANNOTATIONS: [&str; 2] = [
    "container.apparmor.security.beta.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
];

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

pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(object) = object else { return Ok(()) };
    if attributes.is("", "namespaces") {
        return namespaces::admit(server, attributes, object, old);
    }
    let is_pod = attributes.is("", "pods");
    let relevant =
        attributes.subresource.is_empty() || (is_pod && attributes.subresource == "ephemeralcontainers");
    let Some(pod) = template(attributes, object).filter(|_| relevant) else {
        return Ok(());
    };
    if is_pod
        && attributes.operation == Operation::Update
        && attributes.subresource.is_empty()
        && old.is_some_and(|old| !is_significant(pod, old, &attributes.unchanged))
    {
        return Ok(());
    }
    let configuration = &server.admission.configuration.pod_security;
    if let Some(why) = configuration.exempts(&attributes.user.name, &attributes.namespace, &pod["spec"]) {
        attributes
            .request
            .annotate(format!("{PREFIX}exempt"), why.to_owned());
        server.metrics.pod_security.exempted(attributes);
        return Ok(());
    }
    let namespace = server
        .stores
        .read("", "namespaces", "", &attributes.namespace)
        .await
        .map_err(ApiError::internal)?;
    let Some(namespace) = namespace else { return Ok(()) };
    let (policy, problems) = Policy::of(meta::labels(&namespace), configuration);
    for problem in problems {
        let text = format!("Failed to parse policy: {}", problem.message());
        attributes.request.annotate(format!("{PREFIX}error"), text);
        server.metrics.pod_security.failed(attributes);
    }
    let metrics = &server.metrics.pod_security;
    if policy.is_privileged() {
        metrics.evaluated(attributes, Mode::Enforce, &policy.enforce, true);
        return Ok(());
    }
    judge(metrics, attributes, &policy, is_pod, pod)
}

/// Enforces on pods; warns and notes about everything.
fn judge(
    metrics: &PodSecurityMetrics,
    attributes: &Attributes<'_>,
    policy: &Policy,
    enforce: bool,
    pod: &Value,
) -> Result<(), ApiError> {
    let (spec, annotations) = (&pod["spec"], meta::annotations(pod));
    let request = attributes.request;
    let found = |level: &configuration::LevelVersion| {
        let found = violations(level.level, level.minor(), spec, annotations);
        (!found.is_empty()).then(|| {
            format!(
                "violate PodSecurity \"{}:{}\": {}",
                level.level.name(),
                level.version,
                found.join(", ")
            )
        })
    };
    if enforce {
        let enforced = format!("{}:{}", policy.enforce.level.name(), policy.enforce.version);
        request.annotate(format!("{PREFIX}enforce-policy"), enforced);
        let broken = found(&policy.enforce);
        metrics.evaluated(attributes, Mode::Enforce, &policy.enforce, broken.is_none());
        if let Some(text) = broken {
            note(metrics, attributes, policy, &found);
            return Err(attributes.forbidden(&text.replacen("violate", "violates", 1)));
        }
    }
    note(metrics, attributes, policy, &found);
    if let Some(text) = found(&policy.warn) {
        metrics.evaluated(attributes, Mode::Warn, &policy.warn, false);
        request.warn(format!("would {text}"));
    }
    Ok(())
}

fn note(
    metrics: &PodSecurityMetrics,
    attributes: &Attributes<'_>,
    policy: &Policy,
    found: &impl Fn(&configuration::LevelVersion) -> Option<String>,
) {
    if let Some(text) = found(&policy.audit) {
        metrics.evaluated(attributes, Mode::Audit, &policy.audit, false);
        attributes
            .request
            .annotate(format!("{PREFIX}audit-violations"), format!("would {text}"));
    }
}

/// Whether a change of a pod can make it break other rules than before: images may change freely.
fn is_significant(new: &Value, old: &Value, unchanged: &Unchanged) -> bool {
    let essence = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        if let Some(spec) = spec.as_object_mut() {
            for field in [
                "activeDeadlineSeconds",
                "tolerations",
                "terminationGracePeriodSeconds",
            ] {
                spec.remove(field);
            }
            for list in ["containers", "initContainers", "ephemeralContainers"] {
                for container in spec
                    .get_mut(list)
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    if let Some(container) = container.as_object_mut() {
                        container.remove("image");
                    }
                }
            }
        }
        spec
    };
    let checked = |pod: &Value| -> Map<String, Value> {
        let all = meta::annotations(pod).cloned().unwrap_or_default();
        all.into_iter()
            .filter(|(key, _)| CHECKED_ANNOTATIONS.iter().any(|prefix| key.starts_with(prefix)))
            .collect()
    };
    (!unchanged.has("spec") && new["spec"] != old["spec"] && essence(new) != essence(old))
        || checked(new) != checked(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn significant_changes() {
        let pod = json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let with = |path: &str, value: Value| {
            let mut pod = pod.clone();
            *pod.pointer_mut(path).unwrap() = value;
            pod
        };
        for (new, expected) in [
            (pod.clone(), false),
            (with("/spec/containers/0/image", json!("j")), false),
            (with("/metadata/annotations", json!({"c": "d"})), false),
            (
                with(
                    "/spec/containers",
                    json!([{"name": "c", "securityContext": {"privileged": true}}]),
                ),
                true,
            ),
            (
                with(
                    "/metadata/annotations",
                    json!({"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}),
                ),
                true,
            ),
        ] {
            assert_eq!(
                is_significant(&new, &pod, &Unchanged::default()),
                expected,
                "{new}"
            );
        }
    }
}
