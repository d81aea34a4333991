use super::{Defaulting, labels_from_template, pod, volumes};
use crate::value::{Object, absent, is_zero, items_mut, make, map_mut, zero};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Defaults of the core group.
pub(super) fn of(kind: &str) -> Option<Defaulting> {
    Some(match kind {
        "Pod" => |object, _| pod::pod(object),
        "PodTemplate" => |object, _| pod::template(object),
        "ReplicationController" => |object, _| replication_controller(object),
        "Service" => |object, _| service(object),
        "Secret" => |object, _| secret(object),
        "Namespace" => |object, _| namespace(object),
        "Node" => |object, _| node(object),
        "PersistentVolume" => |object, _| persistent_volume(object),
        "PersistentVolumeClaim" => |object, _| persistent_volume_claim(object),
        "Endpoints" => |object, _| {
            for subset in items_mut(object, "subsets") {
                items_mut(subset, "ports").for_each(|port| zero(port, "protocol", "TCP"));
            }
        },
        "LimitRange" => |object, _| items_mut(make(object, "spec"), "limits").for_each(limits),
        _ => return None,
    })
}

fn replication_controller(object: &mut Object) {
    pod::template(make(object, "spec"));
    labels_from_template(object);
    let spec = make(object, "spec");
    let labels = spec
        .get("template")
        .map(|template| crate::value::at(template, &["metadata", "labels"]).clone())
        .unwrap_or_default();
    if is_zero(spec.get("selector")) && !is_zero(Some(&labels)) {
        spec.insert("selector".into(), labels);
    }
    absent(spec, "replicas", 1);
}

fn service(object: &mut Object) {
    let spec = make(object, "spec");
    zero(spec, "sessionAffinity", "None");
    if spec["sessionAffinity"] == "None" {
        spec.remove("sessionAffinityConfig");
    }
    if spec["sessionAffinity"] == "ClientIP" {
        absent(
            make(make(spec, "sessionAffinityConfig"), "clientIP"),
            "timeoutSeconds",
            10800,
        );
    }
    zero(spec, "type", "ClusterIP");
    for port in items_mut(spec, "ports") {
        zero(port, "protocol", "TCP");
        let own = port.get("port").cloned().unwrap_or_default();
        zero(port, "targetPort", own);
    }
    let kind = spec["type"].as_str().unwrap_or("").to_owned();
    let outside = matches!(kind.as_str(), "NodePort" | "LoadBalancer")
        || (kind == "ClusterIP" && !is_zero(spec.get("externalIPs")));
    if outside {
        zero(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        absent(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        absent(spec, "allocateLoadBalancerNodePorts", true);
        if let Some(balancer) = map_mut(object, "status").and_then(|status| map_mut(status, "loadBalancer")) {
            for ingress in items_mut(balancer, "ingress") {
                if !is_zero(ingress.get("ip")) {
                    absent(ingress, "ipMode", "VIP");
                }
            }
        }
    }
}

fn secret(object: &mut Object) {
    zero(object, "type", "Opaque");
    // Plain texts are a convenience of writers: they become data and are never shown.
    if let Some(Value::Object(texts)) = object.remove("stringData") {
        let data = make(object, "data");
        for (key, text) in texts {
            data.insert(key, Value::from(STANDARD.encode(text.as_str().unwrap_or(""))));
        }
    }
}

fn namespace(object: &mut Object) {
    let name = object
        .get("metadata")
        .and_then(|metadata| metadata.get("name"))
        .cloned()
        .unwrap_or_default();
    if !is_zero(Some(&name)) {
        make(make(object, "metadata"), "labels").insert("kubernetes.io/metadata.name".into(), name);
    }
    zero(make(object, "status"), "phase", "Active");
}

fn node(object: &mut Object) {
    // The old single range is the first of the list.
    let spec = make(object, "spec");
    if let Some(first) = spec.get("podCIDR").filter(|cidr| !is_zero(Some(cidr))).cloned() {
        let list = spec.entry("podCIDRs").or_insert_with(|| json!([]));
        match list.as_array_mut() {
            Some(list) if list.is_empty() => list.push(first),
            Some(list) => list[0] = first,
            None => {}
        }
    } else if let Some(first) = spec.get("podCIDRs").and_then(|list| list.get(0)).cloned() {
        spec.insert("podCIDR".into(), first);
    }
    if let Some(status) = map_mut(object, "status")
        && let Some(capacity) = status
            .get("capacity")
            .filter(|capacity| !is_zero(Some(capacity)))
            .cloned()
    {
        absent(status, "allocatable", capacity);
    }
}

fn persistent_volume(object: &mut Object) {
    zero(make(object, "status"), "phase", "Pending");
    let spec = make(object, "spec");
    zero(spec, "persistentVolumeReclaimPolicy", "Retain");
    absent(spec, "volumeMode", "Filesystem");
    volumes::source(spec);
}

/// Defaults of a claim, also inside a StatefulSet.
pub(super) fn persistent_volume_claim(object: &mut Object) {
    zero(make(object, "status"), "phase", "Pending");
    absent(make(object, "spec"), "volumeMode", "Filesystem");
}

fn limits(limit: &mut Object) {
    if limit.get("type") != Some(&json!("Container")) {
        return;
    }
    let copy = |limit: &mut Object, from: &str, to: &str| {
        if let Some(Value::Object(amounts)) = limit.get(from).cloned() {
            let target = make(limit, to);
            amounts
                .into_iter()
                .for_each(|(name, amount)| absent(target, &name, amount));
        }
    };
    copy(limit, "max", "default");
    copy(limit, "default", "defaultRequest");
    // A minimum is asked for where nothing else is.
    copy(limit, "min", "defaultRequest");
}
