//! The condition `Available` of an APIService, from what is known of its Service. Reasons and texts are upstream's.

use super::service::Reference;
use crate::webhook::{ServicePort, port_name, ready_endpoints};
use serde_json::{Value, json};
use std::borrow::Borrow;

/// A condition without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub status: &'static str,
    pub reason: &'static str,
    pub message: String,
}

impl Finding {
    fn unavailable(reason: &'static str, message: String) -> Self {
        Self {
            status: "False",
            reason,
            message,
        }
    }

    /// This server serves it itself.
    pub fn local() -> Self {
        Self {
            status: "True",
            reason: "Local",
            message: "Local APIServices are always available".to_owned(),
        }
    }

    pub fn passed() -> Self {
        Self {
            status: "True",
            reason: "Passed",
            message: "all checks passed".to_owned(),
        }
    }

    pub fn failed_discovery(message: String) -> Self {
        Self::unavailable("FailedDiscoveryCheck", message)
    }
}

/// What keeps the Service from being asked; `None` if nothing does.
pub fn obstacle(
    reference: &Reference,
    service: Option<&Value>,
    slices: &[impl Borrow<Value>],
) -> Option<Finding> {
    let Reference {
        namespace,
        name,
        port,
    } = reference;
    let Some(service) = service else {
        return Some(Finding::unavailable(
            "ServiceNotFound",
            format!("service/{name} in {namespace:?} is not present"),
        ));
    };
    if service["spec"]["type"].as_str().unwrap_or("ClusterIP") != "ClusterIP" {
        return None;
    }
    let Some(port_name) = port_name(service, ServicePort::Number(*port)) else {
        return Some(Finding::unavailable(
            "ServicePortError",
            format!("service/{name} in {namespace:?} is not listening on port {port}"),
        ));
    };
    let has_slices = slices
        .iter()
        .map(Borrow::borrow)
        .any(|slice| apimachinery::meta::label(slice, "kubernetes.io/service-name") == Some(name));
    if !has_slices {
        return Some(Finding::unavailable(
            "EndpointsNotFound",
            format!("cannot find endpointslices for service/{name} in {namespace:?}"),
        ));
    }
    if ready_endpoints(name, &port_name, slices).is_empty() {
        return Some(Finding::unavailable(
            "MissingEndpoints",
            format!(
                "endpointslices for service/{name} in {namespace:?} have no addresses with port name {port_name:?}"
            ),
        ));
    }
    None
}

/// The conditions to write, or `None` if the object has the finding. The time changes with the status only.
pub fn needed(object: &Value, finding: &Finding, now: &str) -> Option<Value> {
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let current = conditions
        .iter()
        .find(|condition| condition["type"] == "Available");
    let same = current.is_some_and(|current| {
        current["status"] == finding.status
            && current["reason"] == finding.reason
            && current["message"] == finding.message.as_str()
    });
    if same {
        return None;
    }
    let since = match current {
        Some(current) if current["status"] == finding.status => current["lastTransitionTime"].clone(),
        _ => json!(now),
    };
    let fresh = json!({
        "type": "Available",
        "status": finding.status,
        "lastTransitionTime": since,
        "reason": finding.reason,
        "message": finding.message,
    });
    let mut next: Vec<Value> = conditions
        .into_iter()
        .filter(|condition| condition["type"] != "Available")
        .collect();
    next.push(fresh);
    Some(Value::Array(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obstacles() {
        let reference = Reference {
            namespace: "n".into(),
            name: "s".into(),
            port: 443,
        };
        let service = |kind: &str, port: u16| json!({"metadata": {"name": "s"}, "spec": {"type": kind, "ports": [{"name": "https", "port": port}]}});
        let slice = |addresses: bool| {
            let endpoints = if addresses {
                json!([{"addresses": ["10.0.0.1"]}])
            } else {
                json!([])
            };
            vec![
                json!({"metadata": {"labels": {"kubernetes.io/service-name": "s"}}, "ports": [{"name": "https", "port": 8443}], "endpoints": endpoints}),
            ]
        };
        let table = [
            (None, vec![], Some("ServiceNotFound")),
            (
                Some(service("ClusterIP", 80)),
                slice(true),
                Some("ServicePortError"),
            ),
            (Some(service("ClusterIP", 443)), vec![], Some("EndpointsNotFound")),
            (
                Some(service("ClusterIP", 443)),
                slice(false),
                Some("MissingEndpoints"),
            ),
            (Some(service("ClusterIP", 443)), slice(true), None),
            (Some(service("ExternalName", 80)), vec![], None),
        ];
        for (service, slices, expected) in table {
            let found = obstacle(&reference, service.as_ref(), &slices);
            assert_eq!(
                found.as_ref().map(|finding| finding.reason),
                expected,
                "{service:?}"
            );
        }
    }

    #[test]
    fn the_time_of_a_condition_is_that_of_its_status() {
        let mut object = json!({"status": {"conditions": [{"type": "Other", "status": "True"}]}});
        object["status"]["conditions"] = needed(&object, &Finding::passed(), "t1").unwrap();
        assert_eq!(object["status"]["conditions"].as_array().unwrap().len(), 2);
        assert_eq!(needed(&object, &Finding::passed(), "t2"), None);
        let failed = needed(&object, &Finding::failed_discovery("x".into()), "t3").unwrap();
        object["status"]["conditions"] = failed;
        let again = needed(&object, &Finding::failed_discovery("y".into()), "t4").unwrap();
        assert_eq!(
            (&again[1]["lastTransitionTime"], &again[1]["message"]),
            (&json!("t3"), &json!("y"))
        );
    }
}
