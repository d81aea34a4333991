//! ExtendedResourceToleration: pods that ask for a device go to the nodes that are kept for it.
use super::containers;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Says whether the pod was changed.
pub fn tolerate(pod: &mut Value) -> bool {
    let asked: BTreeSet<String> = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|kind| containers(pod, kind))
        .filter_map(|container| container["resources"]["requests"].as_object())
        .flat_map(|requests| requests.keys())
        .filter(|name| api::validate::is_extended_resource(name))
        .cloned()
        .collect();
    let mut tolerations = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    let mut changed = false;
    for name in asked {
        changed |= add(&mut tolerations, &name);
    }
    if changed {
        pod["spec"]["tolerations"] = Value::Array(tolerations);
    }
    changed
}

/// One that differs in how long it holds is replaced, where it is.
fn add(tolerations: &mut Vec<Value>, name: &str) -> bool {
    let wanted = json!({"key": name, "operator": "Exists", "effect": "NoSchedule"});
    let text = |toleration: &Value, field: &str| toleration[field].as_str().unwrap_or("").to_owned();
    let same = |other: &Value| {
        ["key", "operator", "effect", "value"]
            .iter()
            .all(|field| text(other, field) == text(&wanted, field))
    };
    if tolerations.contains(&wanted) {
        return false;
    }
    let mut found = false;
    for toleration in tolerations.iter_mut().filter(|other| same(other)) {
        *toleration = wanted.clone();
        found = true;
    }
    if !found {
        tolerations.push(wanted);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_tolerated_once() {
        let pod = |requests: Value, tolerations: Value| {
            json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}],
                "initContainers": [{"name": "i", "resources": {"requests": {"example.com/b": "1"}}}],
                "tolerations": tolerations}})
        };
        let toleration = |name: &str| json!({"key": name, "operator": "Exists", "effect": "NoSchedule"});
        for (requests, before, after) in [
            (
                json!({"cpu": "1"}),
                json!([]),
                json!([toleration("example.com/b")]),
            ),
            (
                json!({"example.com/c": "1", "example.com/a": "2", "kubernetes.io/x": "1"}),
                json!([{"key": "k", "operator": "Exists"}]),
                json!([
                    {"key": "k", "operator": "Exists"},
                    toleration("example.com/a"),
                    toleration("example.com/b"),
                    toleration("example.com/c"),
                ]),
            ),
            (
                json!({}),
                json!([{"key": "example.com/b", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 5}]),
                json!([toleration("example.com/b")]),
            ),
        ] {
            let mut pod = pod(requests, before);
            assert!(tolerate(&mut pod));
            assert_eq!(pod["spec"]["tolerations"], after);
            assert!(!tolerate(&mut pod), "once is enough");
        }
    }
}
