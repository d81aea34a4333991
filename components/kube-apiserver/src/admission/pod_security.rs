//! PodSecurity: the Pod Security Standards that a namespace's labels ask for.

pub mod checks;
pub mod configuration;
mod decode;
pub mod namespaces;
pub mod policy;

use super::optional::namespace;
use super::{Attributes, Operation};
use crate::metrics::pod_security::{Mode, PodSecurityMetrics};
use crate::server::Server;
use apimachinery::{ApiError, meta};
use checks::{Level, told, violations};
use configuration::LevelVersion;
use policy::{Policy, Problem};
use serde_json::Value;

const PREFIX: &str = "pod-security.kubernetes.io/";
/// Annotations of pods that said which seccomp profile a container has.
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Endpoints of pods whose requests aren't looked at. What others there may be in time is.
const IGNORED: &[&str] = &[
    "attach",
    "binding",
    "eviction",
    "exec",
    "log",
    "portforward",
    "proxy",
    "status",
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
    let relevant = is_relevant(is_pod, &attributes.subresource);
    let Some(pod) = template(attributes, object).filter(|_| relevant) else {
        return Ok(());
    };
    let configuration = &server.admission.configuration.pod_security;
    let exempt = |why: &str| {
        attributes
            .request
            .annotate(format!("{PREFIX}exempt"), why.to_owned());
        server.metrics.pod_security.exempted(attributes);
    };
    if let Some(why) = configuration.exempts(&attributes.user.name, &attributes.namespace) {
        exempt(why);
        return Ok(());
    }
    let namespace = match namespace(server, &attributes.namespace).await {
        Ok(namespace) => namespace,
        Err(why) => {
            let refusal =
                ApiError::internal(format!("failed to lookup namespace {:?}", attributes.namespace));
            let told = format!("{}: {}", refusal.message(), why.message());
            attributes.request.annotate(format!("{PREFIX}error"), told);
            server.metrics.pod_security.failed(attributes, true);
            return Err(refusal);
        }
    };
    let (policy, problems) = Policy::of(meta::labels(&namespace), configuration);
    let metrics = &server.metrics.pod_security;
    if problems.is_empty() && is_free(&policy, is_pod) {
        if is_pod {
            // Everything is privileged in the same way in each version.
            let free = LevelVersion::default();
            attributes
                .request
                .annotate(format!("{PREFIX}enforce-policy"), free.to_string());
            metrics.evaluated(attributes, Mode::Enforce, &policy.enforce, true);
        }
        return Ok(());
    }
    let untouched = attributes.unchanged.has("spec") && attributes.unchanged.has("metadata");
    let insignificant = |old: &Value| untouched || !is_significant(pod, old);
    if is_pod && attributes.operation == Operation::Update && old.is_some_and(insignificant) {
        return Ok(());
    }
    if configuration.exempts_class(&pod["spec"]) {
        exempt("runtimeClass");
        return Ok(());
    }
    if let Some(why) = not_understood(&problems) {
        attributes.request.annotate(format!("{PREFIX}error"), why);
        metrics.failed(attributes, false);
    }
    let emulated = server.flags.version.emulated.minor;
    judge(metrics, attributes, &policy, emulated, is_pod, pod)
}

fn is_relevant(is_pod: bool, subresource: &str) -> bool {
    subresource.is_empty() || is_pod && !IGNORED.contains(&subresource)
}

/// Whether nothing is asked: of what makes pods nothing is enforced.
fn is_free(policy: &Policy, is_pod: bool) -> bool {
    if is_pod {
        return policy.is_privileged();
    }
    policy.warn.level == Level::Privileged && policy.audit.level == Level::Privileged
}

/// What the labels of the namespace say that can't be understood.
fn not_understood(problems: &[Problem]) -> Option<String> {
    let messages: Vec<String> = problems.iter().map(Problem::message).collect();
    match messages.as_slice() {
        [] => None,
        [one] => Some(format!("Failed to parse policy: {one}")),
        many => Some(format!("Failed to parse policy: [{}]", many.join(", "))),
    }
}

/// Enforces on pods; warns and notes about everything.
fn judge(
    metrics: &PodSecurityMetrics,
    attributes: &Attributes<'_>,
    policy: &Policy,
    emulated: u32,
    enforce: bool,
    pod: &Value,
) -> Result<(), ApiError> {
    let (spec, annotations) = (&pod["spec"], meta::annotations(pod));
    let request = attributes.request;
    let found = |level: &configuration::LevelVersion| {
        let found = violations(level.level, level.known_minor(emulated), spec, annotations);
        (!found.is_empty()).then(|| format!("PodSecurity \"{level}\": {}", told(&found)))
    };
    let mut refused = None;
    if enforce {
        request.annotate(format!("{PREFIX}enforce-policy"), policy.enforce.to_string());
        refused = found(&policy.enforce);
        metrics.evaluated(attributes, Mode::Enforce, &policy.enforce, refused.is_none());
    }
    if let Some(text) = found(&policy.audit) {
        metrics.evaluated(attributes, Mode::Audit, &policy.audit, false);
        request.annotate(
            format!("{PREFIX}audit-violations"),
            format!("would violate {text}"),
        );
    }
    if let Some(text) = refused {
        return Err(attributes.forbidden(&format!("violates {text}")));
    }
    if let Some(text) = found(&policy.warn) {
        metrics.evaluated(attributes, Mode::Warn, &policy.warn, false);
        request.warn(format!("would violate {text}"));
    }
    Ok(())
}

fn listed<'p>(pod: &'p Value, field: &str) -> &'p [Value] {
    pod["spec"][field].as_array().map_or(&[], Vec::as_slice)
}

/// Whether a change of a pod is looked at: what can be changed and matters are images, and which containers there are.
fn is_significant(new: &Value, old: &Value) -> bool {
    let profile = |pod: &'_ Value, container: &Value| {
        let key = format!("{SECCOMP}{}", container["name"].as_str().unwrap_or(""));
        meta::annotation(pod, &key).map(str::to_owned)
    };
    let differs = |container: &Value, before: &Value| {
        container["image"] != before["image"] || profile(new, container) != profile(old, container)
    };
    let changed = ["containers", "initContainers"].iter().any(|field| {
        let (containers, before) = (listed(new, field), listed(old, field));
        containers.len() != before.len() || containers.iter().zip(before).any(|(new, old)| differs(new, old))
    });
    changed || {
        let before = listed(old, "ephemeralContainers");
        listed(new, "ephemeralContainers").iter().any(|container| {
            let own = before.iter().find(|old| old["name"] == container["name"]);
            own.is_none_or(|own| differs(container, own))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn significant_changes() {
        let pod = json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"tolerations": [], "ephemeralContainers": [{"name": "e", "image": "i"}], "containers": [{"name": "c", "image": "i"}]}});
        let with = |path: &str, value: Value| {
            let mut pod = pod.clone();
            *pod.pointer_mut(path).unwrap() = value;
            pod
        };
        for (new, expected) in [
            (pod.clone(), false),
            (with("/spec/containers/0/image", json!("j")), true),
            (with("/spec/ephemeralContainers/0/image", json!("j")), true),
            (
                with("/spec/ephemeralContainers", json!([{"name": "f", "image": "i"}])),
                true,
            ),
            (with("/spec/ephemeralContainers", json!([])), false),
            (with("/spec/containers", json!([])), true),
            (with("/spec/tolerations", json!([{"operator": "Exists"}])), false),
            (
                with(
                    "/spec/containers",
                    json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]),
                ),
                false,
            ),
            (with("/metadata/annotations", json!({"c": "d"})), false),
            (
                with(
                    "/metadata/annotations",
                    json!({"container.seccomp.security.alpha.kubernetes.io/c": "unconfined"}),
                ),
                true,
            ),
        ] {
            assert_eq!(is_significant(&new, &pod), expected, "{new}");
        }
    }

    #[test]
    fn what_is_looked_at() {
        for (is_pod, subresource, expected) in [
            (true, "", true),
            (true, "ephemeralcontainers", true),
            (true, "resize", true),
            (true, "status", false),
            (true, "eviction", false),
            (false, "", true),
            (false, "scale", false),
        ] {
            assert_eq!(
                is_relevant(is_pod, subresource),
                expected,
                "{is_pod} {subresource}"
            );
        }
    }

    #[test]
    fn labels_that_are_not_understood() {
        let labels = json!({"pod-security.kubernetes.io/enforce": "x", "pod-security.kubernetes.io/warn-version": "y"});
        let (_, problems) = Policy::of(
            labels.as_object(),
            &configuration::PodSecurityConfiguration::default(),
        );
        assert_eq!(not_understood(&[]), None);
        for (problems, many) in [(&problems[..1], false), (&problems[..], true)] {
            let text = not_understood(problems).unwrap();
            assert_eq!(text.starts_with("Failed to parse policy: ["), many, "{text}");
        }
    }

    #[test]
    fn what_makes_pods_is_free_of_what_is_enforced() {
        let labels = json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "privileged"});
        let (policy, _) = Policy::of(
            labels.as_object(),
            &configuration::PodSecurityConfiguration::default(),
        );
        assert!(is_free(&policy, false) && !is_free(&policy, true));
    }
}
