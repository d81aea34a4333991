//! PodResizeValidator: a pod is not resized to what its node can never give (KEP-1287).
use super::Attributes;
use super::bound_pods::BoundChange;
use crate::server::Server;
use api::quota::spec_total;
use apimachinery::field::quote;
use apimachinery::status::{Cause, Details};
use apimachinery::{ApiError, Quantity, Reason};
use serde_json::Value;

const OS: &str = "kubernetes.io/os";

/// Refuses a resize that the pod's node has no room for, or can't do.
pub fn check(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(change) = BoundChange::of(object, old) else {
        return Ok(());
    };
    let node = change.node(server, attributes)?;
    match refusal(change.new, &node, server.has_feature("PodLevelResources")) {
        Some((cause, why)) => Err(refuse(attributes, cause, &why)),
        None => Ok(()),
    }
}

/// The cause and the message, in the order in which upstream looks.
fn refusal(pod: &Value, node: &Value, pod_level: bool) -> Option<(&'static str, String)> {
    let requests = spec_total(pod, "requests", pod_level);
    let amount = |from: &Value, name: &str| Quantity::from_json(&from[name]).unwrap_or_default();
    // The overhead comes on top of something.
    let requested = |name: &str| match requests.get(name) {
        Some(sum) if !sum.is_zero() => *sum + amount(&pod["spec"]["overhead"], name),
        _ => Quantity::default(),
    };
    let allocatable = |name: &str| amount(&node["status"]["allocatable"], name);
    let cpu = [requested("cpu"), allocatable("cpu")].map(|amount| amount.millis());
    let memory = [requested("memory"), allocatable("memory")].map(|amount| amount.value());
    let short: Vec<String> = [("cpu", cpu), ("memory", memory)]
        .into_iter()
        .filter(|(_, [requested, allocatable])| requested > allocatable)
        .map(|(name, [requested, allocatable])| {
            format!("{name}, requested: {requested}, allocatable: {allocatable}")
        })
        .collect();
    if !short.is_empty() {
        let why = format!(
            "Node didn't have enough allocatable resources: {}",
            short.join("; ")
        );
        return Some(("NodeCapacity", why));
    }
    let os = node["metadata"]["labels"][OS].as_str().unwrap_or("");
    if os != "linux" {
        let name = node["metadata"]["name"].as_str().unwrap_or("");
        let why = format!(
            "pod resize is only supported on linux nodes, node {} is {}",
            quote(name),
            quote(os)
        );
        return Some(("UnsupportedPlatform", why));
    }
    None
}

/// A refusal whose cause tells autoscalers that waiting doesn't help.
fn refuse(attributes: &Attributes<'_>, cause: &str, why: &str) -> ApiError {
    let resource = attributes.resource();
    let details = Details {
        name: attributes.shown_name().to_owned(),
        group: resource.group.clone(),
        kind: resource.resource.clone(),
        causes: vec![Cause {
            reason: cause.to_owned(),
            ..Cause::default()
        }],
        ..Details::default()
    };
    let refused = attributes.forbidden(why);
    ApiError::new(403, Reason::Forbidden, refused.message(), Some(details))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_node_can_never_give() {
        let node = |os: &str| {
            json!({"metadata": {"name": "n", "labels": {(OS): os}},
                "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}})
        };
        let pod = |cpu: &str, memory: &str| {
            json!({"spec": {"containers": [
                {"name": "a", "resources": {"requests": {"cpu": cpu, "memory": memory}}},
                {"name": "b", "resources": {"requests": {"cpu": "500m"}}}]}})
        };
        let (linux, windows) = (node("linux"), node("windows"));
        for (pod, node, want) in [
            (pod("1500m", "1Gi"), &linux, None),
            (
                pod("1501m", "1Gi"),
                &linux,
                Some((
                    "NodeCapacity",
                    "Node didn't have enough allocatable resources: cpu, requested: 2001, allocatable: 2000",
                )),
            ),
            (
                pod("2", "2Gi"),
                &windows,
                Some((
                    "NodeCapacity",
                    "Node didn't have enough allocatable resources: cpu, requested: 2500, allocatable: 2000; memory, requested: 2147483648, allocatable: 1073741824",
                )),
            ),
            (
                pod("1", "1Mi"),
                &windows,
                Some((
                    "UnsupportedPlatform",
                    r#"pod resize is only supported on linux nodes, node "n" is "windows""#,
                )),
            ),
            (
                pod("1", "1Mi"),
                &json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}),
                Some((
                    "UnsupportedPlatform",
                    r#"pod resize is only supported on linux nodes, node "n" is """#,
                )),
            ),
        ] {
            let found = refusal(&pod, node, true);
            let found = found.as_ref().map(|(cause, why)| (*cause, why.as_str()));
            assert_eq!(found, want, "{pod} on {node}");
        }
    }
}
