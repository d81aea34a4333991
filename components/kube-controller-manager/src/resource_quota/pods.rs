//! What pods use, and which quotas count them.

use std::collections::BTreeMap;

use apimachinery::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceQuotaSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use crate::workload::pods;

pub type Usage = BTreeMap<String, Quantity>;

fn parse(text: &Text) -> Quantity {
    text.0.parse().unwrap_or_default()
}

fn list(resources: Option<&ResourceRequirements>, limits: bool) -> Usage {
    let list = resources.and_then(|resources| {
        if limits {
            resources.limits.as_ref()
        } else {
            resources.requests.as_ref()
        }
    });
    list.into_iter()
        .flatten()
        .map(|(name, text)| (name.clone(), parse(text)))
        .collect()
}

fn add(total: &mut Usage, more: &Usage) {
    for (name, quantity) in more {
        *total.entry(name.clone()).or_default() += *quantity;
    }
}

fn raise(total: &mut Usage, floor: &Usage) {
    for (name, quantity) in floor {
        let entry = total.entry(name.clone()).or_default();
        if *entry < *quantity {
            *entry = *quantity;
        }
    }
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// The sum over containers, or what the start of an init container takes if that is more; and overhead.
fn total(spec: &PodSpec, limits: bool) -> Usage {
    let mut sum = Usage::new();
    for container in &spec.containers {
        add(&mut sum, &list(container.resources.as_ref(), limits));
    }
    let (mut sidecars, mut start) = (Usage::new(), Usage::new());
    for container in spec.init_containers.iter().flatten() {
        let own = list(container.resources.as_ref(), limits);
        if is_sidecar(container) {
            add(&mut sidecars, &own);
            add(&mut sum, &own);
            raise(&mut start, &sidecars);
        } else {
            let mut while_running = own;
            add(&mut while_running, &sidecars);
            raise(&mut start, &while_running);
        }
    }
    raise(&mut sum, &start);
    let pod_level = list(spec.resources.as_ref(), limits);
    sum.extend(pod_level);
    for (name, text) in spec.overhead.iter().flatten() {
        if !limits || sum.contains_key(name) {
            *sum.entry(name.clone()).or_default() += parse(text);
        }
    }
    sum
}

/// What one pod counts, under all the names that a quota may have for it.
pub fn usage(pod: &Pod) -> Usage {
    let one: Quantity = "1".parse().unwrap_or_default();
    // Ended pods still are objects, but use nothing.
    let mut usage = Usage::from([("count/pods".to_owned(), one)]);
    let Some(spec) = pod.spec.as_ref().filter(|_| !pods::is_terminal(pod)) else {
        return usage;
    };
    usage.insert("pods".to_owned(), one);
    for (name, quantity) in total(spec, false) {
        if ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str()) || name.starts_with("hugepages-") {
            usage.insert(name.clone(), quantity);
        }
        usage.insert(format!("requests.{name}"), quantity);
    }
    for (name, quantity) in total(spec, true) {
        usage.insert(format!("limits.{name}"), quantity);
    }
    usage
}

fn is_best_effort(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.qos_class.as_deref()) == Some("BestEffort")
}

fn has_deadline(pod: &Pod) -> bool {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.active_deadline_seconds)
        .is_some()
}

/// Whether a quota's scopes take the pod in.
pub fn is_counted(quota: &ResourceQuotaSpec, pod: &Pod) -> bool {
    let plain = quota
        .scopes
        .iter()
        .flatten()
        .map(|scope| (scope.as_str(), "Exists", &[][..]));
    let selected = quota
        .scope_selector
        .iter()
        .flat_map(|selector| selector.match_expressions.iter().flatten())
        .map(|expression| {
            (
                expression.scope_name.as_str(),
                expression.operator.as_str(),
                expression.values.as_deref().unwrap_or_default(),
            )
        });
    plain
        .chain(selected)
        .all(|(scope, operator, values)| match scope {
            "Terminating" => has_deadline(pod),
            "NotTerminating" => !has_deadline(pod),
            "BestEffort" => is_best_effort(pod),
            "NotBestEffort" => !is_best_effort(pod),
            "CrossNamespacePodAffinity" => has_cross_namespace_affinity(pod),
            "PriorityClass" => {
                let class = pod
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.priority_class_name.as_ref())
                    .filter(|name| !name.is_empty());
                match operator {
                    "In" => class.is_some_and(|class| values.contains(class)),
                    "NotIn" => class.is_none_or(|class| !values.contains(class)),
                    "DoesNotExist" => class.is_none(),
                    _ => class.is_some(),
                }
            }
            _ => false,
        })
}

fn has_cross_namespace_affinity(pod: &Pod) -> bool {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    let text = affinity.and_then(|affinity| {
        serde_json::to_value((&affinity.pod_affinity, &affinity.pod_anti_affinity)).ok()
    });
    fn mentions(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::Object(fields) => fields.iter().any(|(key, value)| {
                (key == "namespaceSelector" && !value.is_null())
                    || (key == "namespaces" && value.as_array().is_some_and(|list| !list.is_empty()))
                    || mentions(value)
            }),
            serde_json::Value::Array(items) => items.iter().any(mentions),
            _ => false,
        }
    }
    text.as_ref().is_some_and(mentions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_count_by_requests_limits_and_scope() {
        let pod: Pod = serde_json::from_value(json!({
            "spec": {"overhead": {"cpu": "10m"},
                "containers": [{"name": "a", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}}, {"name": "b", "resources": {"requests": {"cpu": "0.1"}}}],
                "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "300m"}}}]},
            "status": {"phase": "Running", "qosClass": "Burstable"},
        }))
        .unwrap();
        let usage = usage(&pod);
        assert_eq!(usage["requests.cpu"].to_string(), "310m");
        assert_eq!(usage["cpu"].to_string(), "310m");
        assert_eq!(usage["limits.memory"].to_string(), "1Gi");
        assert_eq!(usage["pods"].to_string(), "1");
        for (scopes, want) in [
            (json!(["NotBestEffort"]), true),
            (json!(["BestEffort"]), false),
            (json!(["NotTerminating", "NotBestEffort"]), true),
        ] {
            let quota: ResourceQuotaSpec = serde_json::from_value(json!({"scopes": scopes})).unwrap();
            assert_eq!(is_counted(&quota, &pod), want, "{scopes}");
        }
        let mut ended = pod;
        ended.status.as_mut().unwrap().phase = Some("Failed".to_owned());
        assert_eq!(super::usage(&ended).len(), 1);
    }
}
