//! NodeDeclaredFeatureValidator: a running pod is changed only in ways that its node can follow (KEP-5328).
use super::Attributes;
use super::bound_pods::BoundChange;
use crate::server::Server;
use apimachinery::field::quote;
use apimachinery::{ApiError, Quantity};
use serde_json::Value;

/// A way of changing a pod that kubelets declare on their nodes.
struct Feature {
    name: &'static str,
    /// Whether a change from one pod to another needs it.
    needed: fn(&Value, &Value) -> bool,
}

/// Sorted, as they are told.
const FEATURES: [Feature; 3] = [
    Feature {
        name: "GuaranteedQoSPodCPUResize",
        needed: |old, new| {
            old["status"]["qosClass"] == "Guaranteed"
                && pairs(old, new, "containers").any(|(old, new)| cpu(old) != cpu(new))
        },
    },
    Feature {
        name: "InPlacePodLevelResourcesVerticalScaling",
        needed: |old, new| old["spec"]["resources"] != new["spec"]["resources"],
    },
    Feature {
        name: "InPlacePodVerticalScalingInitContainers",
        needed: |old, new| {
            pairs(old, new, "initContainers")
                .any(|(old, new)| old["restartPolicy"] != "Always" && old["resources"] != new["resources"])
        },
    },
];

/// The containers of a kind, which never come or go.
fn pairs<'a>(old: &'a Value, new: &'a Value, kind: &str) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    let of = |pod: &'a Value| pod["spec"][kind].as_array().map_or(&[][..], Vec::as_slice).iter();
    of(old).zip(of(new))
}

fn cpu(container: &Value) -> Option<Quantity> {
    Quantity::from_json(&container["resources"]["requests"]["cpu"]).ok()
}

/// Refuses a change of a pod that its node can't follow.
pub fn check(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(change) = BoundChange::of(object, old).filter(|_| server.has_feature("NodeDeclaredFeatures"))
    else {
        return Ok(());
    };
    let mut needed = FEATURES
        .iter()
        .filter(|feature| (feature.needed)(change.old, change.new))
        .peekable();
    if needed.peek().is_none() {
        return Ok(());
    }
    let found = change.node(server, attributes)?;
    let declared = found["status"]["declaredFeatures"].as_array();
    let has = |name: &str| declared.is_some_and(|all| all.iter().any(|feature| feature == name));
    let missing: Vec<&str> = needed
        .map(|feature| feature.name)
        .filter(|name| !has(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(attributes.forbidden(&format!(
        "pod update requires features {} which are not available on node {}",
        missing.join(", "),
        quote(change.node)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_need_what_the_kubelet_must_know() {
        let container =
            |cpu: &str, memory: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": memory}}});
        let pod = |class: &str, spec: Value| json!({"spec": spec, "status": {"qosClass": class}});
        let one = |cpu, memory| json!({"containers": [container(cpu, memory)]});
        let init = |cpu, policy: Value| {
            let mut container = container(cpu, "1Mi");
            container["restartPolicy"] = policy;
            json!({"initContainers": [container]})
        };
        for (class, old, new, expected) in [
            (
                "Guaranteed",
                one("1", "1Mi"),
                one("2", "1Mi"),
                &["GuaranteedQoSPodCPUResize"][..],
            ),
            ("Guaranteed", one("1", "1Mi"), one("1000m", "2Mi"), &[]),
            ("Burstable", one("1", "1Mi"), one("2", "1Mi"), &[]),
            (
                "Burstable",
                json!({"resources": {"limits": {"cpu": "1"}}}),
                json!({"resources": {"limits": {"cpu": "2"}}}),
                &["InPlacePodLevelResourcesVerticalScaling"],
            ),
            (
                "Burstable",
                init("1", Value::Null),
                init("2", Value::Null),
                &["InPlacePodVerticalScalingInitContainers"],
            ),
            (
                "Burstable",
                init("1", json!("Always")),
                init("2", json!("Always")),
                &[],
            ),
            ("BestEffort", json!({}), json!({"tolerations": []}), &[]),
        ] {
            let (old, new) = (pod(class, old), pod(class, new));
            let needed: Vec<&str> = FEATURES
                .iter()
                .filter(|feature| (feature.needed)(&old, &new))
                .map(|feature| feature.name)
                .collect();
            assert_eq!(needed, expected, "{old} {new}");
        }
    }
}
