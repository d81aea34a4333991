//! Ingresses of extensions/v1beta1 and networking.k8s.io/v1beta1, EndpointSlices of discovery.k8s.io/v1beta1.
use crate::value::{Object, absent, items_mut, make, map_mut};
use serde_json::{Value, json};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

pub(super) fn ingress(object: &mut Object) {
    let spec = make(object, "spec");
    if let Some(Value::Object(mut default)) = spec.remove("backend") {
        backend(&mut default);
        spec.insert("defaultBackend".to_owned(), Value::Object(default));
    }
    for rule in items_mut(spec, "rules") {
        let Some(http) = map_mut(rule, "http") else {
            continue;
        };
        for path in items_mut(http, "paths") {
            absent(path, "pathType", "ImplementationSpecific");
            backend(make(path, "backend"));
        }
    }
}

/// A service is told by name and port side by side, the port by number or by name.
fn backend(backend: &mut Object) {
    let name = backend.remove("serviceName").unwrap_or_default();
    let name = name.as_str().unwrap_or("");
    let port = backend.remove("servicePort").unwrap_or_default();
    let number = port.as_i64().unwrap_or(0);
    if name.is_empty() && number == 0 && !port.is_string() {
        return;
    }
    let port = match port.as_str() {
        Some("") => json!({}),
        Some(name) => json!({ "name": name }),
        None => json!({ "number": number }),
    };
    backend.insert("service".to_owned(), json!({ "name": name, "port": port }));
}

pub(super) fn endpoint_slice(object: &mut Object) {
    for endpoint in items_mut(object, "endpoints") {
        let Some(Value::Object(mut topology)) = endpoint.remove("topology") else {
            continue;
        };
        if let Some(zone) = topology.remove(ZONE) {
            endpoint.insert("zone".to_owned(), zone);
        }
        if let Some(node) = topology.get(HOSTNAME).cloned() {
            absent(endpoint, "nodeName", node.clone());
            // A hostname that is another than the node's name stays.
            if endpoint["nodeName"] == node {
                topology.remove(HOSTNAME);
            }
        }
        if !topology.is_empty() {
            endpoint.insert("deprecatedTopology".to_owned(), Value::Object(topology));
        }
    }
}
