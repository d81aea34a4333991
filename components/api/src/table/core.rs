use super::pod;
use super::words::{access_modes, age, containers, entries, labels, name, or_none, since, some};
use crate::value::{at, flag, int, list, object, text};
use apimachinery::meta;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Cells of kinds of the core group, and of events of either group.
pub(super) fn cells(kind: (&str, &str), value: &Value, now: Timestamp) -> Option<Vec<Value>> {
    Some(match kind {
        ("", "Pod") => pod::cells(value, now),
        ("", "Node") => node(value, now),
        ("", "Namespace") => vec![
            name(value),
            json!(text(value, &["status", "phase"])),
            age(value, now),
        ],
        ("", "ComponentStatus") => {
            let conditions = list(value, &["conditions"]);
            let health = conditions
                .iter()
                .find(|condition| text(condition, &["type"]) == "Healthy");
            let said = |field: &str| json!(health.map_or("", |health| text(health, &[field])));
            let status = match health.map(|health| text(health, &["status"])) {
                None => "Unknown",
                Some("True") => "Healthy",
                Some(_) => "Unhealthy",
            };
            vec![name(value), json!(status), said("message"), said("error")]
        }
        ("", "ConfigMap") => vec![
            name(value),
            json!(entries(value, &["data", "binaryData"])),
            age(value, now),
        ],
        ("", "Secret") => vec![
            name(value),
            json!(text(value, &["type"])),
            json!(entries(value, &["data"])),
            age(value, now),
        ],
        ("", "ServiceAccount") => vec![name(value), age(value, now)],
        ("", "Service") => service(value, now),
        ("", "Endpoints") => vec![name(value), json!(endpoints(value)), age(value, now)],
        ("", "Event") => event(value, now),
        ("events.k8s.io", "Event") => event(&core_event(value), now),
        ("", "ResourceQuota") => quota(value, now),
        ("", "PodTemplate") => {
            let (names, images) = containers(at(value, &["template", "spec"]));
            vec![
                name(value),
                json!(names),
                json!(images),
                json!(labels(at(value, &["template", "metadata", "labels"]))),
            ]
        }
        ("", "PersistentVolume") => persistent_volume(value, now),
        ("", "PersistentVolumeClaim") => claim(value, now),
        _ => return None,
    })
}

fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    let ready = list(node, &["status", "conditions"])
        .iter()
        .find(|condition| text(condition, &["type"]) == "Ready");
    let mut status = vec![match ready.map(|condition| text(condition, &["status"])) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }];
    if flag(node, &["spec", "unschedulable"]) {
        status.push("SchedulingDisabled");
    }
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in meta::labels(node).into_iter().flatten() {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => roles.push(role),
            None if key == "kubernetes.io/role" => {
                roles.extend(value.as_str().filter(|role| !role.is_empty()))
            }
            _ => {}
        }
    }
    roles.sort_unstable();
    roles.dedup();
    let address = |kind: &str| {
        list(node, &["status", "addresses"])
            .iter()
            .find(|address| text(address, &["type"]) == kind)
            .map_or("<none>", |address| text(address, &["address"]))
    };
    let unknown = |field: &str| {
        Some(text(node, &["status", "nodeInfo", field]))
            .filter(|text| !text.is_empty())
            .unwrap_or("<unknown>")
    };
    vec![
        name(node),
        json!(status.join(",")),
        json!(or_none(&roles.join(","))),
        age(node, now),
        json!(text(node, &["status", "nodeInfo", "kubeletVersion"])),
        json!(address("InternalIP")),
        json!(address("ExternalIP")),
        json!(unknown("osImage")),
        json!(unknown("kernelVersion")),
        json!(unknown("containerRuntimeVersion")),
    ]
}

fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let kind = text(service, &["spec", "type"]);
    let external: Vec<&str> = list(service, &["spec", "externalIPs"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let balanced = || {
        let ingress = list(service, &["status", "loadBalancer", "ingress"]).iter();
        ingress
            .map(|ingress| {
                if text(ingress, &["ip"]).is_empty() {
                    text(ingress, &["hostname"])
                } else {
                    text(ingress, &["ip"])
                }
            })
            .collect::<Vec<_>>()
    };
    let external = match kind {
        "LoadBalancer" => {
            let balanced: BTreeSet<&str> = balanced().into_iter().filter(|text| !text.is_empty()).collect();
            let all: Vec<&str> = balanced.into_iter().chain(external).collect();
            if all.is_empty() {
                "<pending>".to_owned()
            } else {
                all.join(",")
            }
        }
        "ExternalName" => text(service, &["spec", "externalName"]).to_owned(),
        _ => or_none(&external.join(",")).to_owned(),
    };
    let port = |port: &Value| {
        let node_port = int(port, &["nodePort"])
            .filter(|port| *port > 0)
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        format!(
            "{}{node_port}/{}",
            int(port, &["port"]).unwrap_or(0),
            text(port, &["protocol"])
        )
    };
    let ports: Vec<String> = list(service, &["spec", "ports"]).iter().map(port).collect();
    vec![
        name(service),
        json!(kind),
        json!(or_none(text(service, &["spec", "clusterIP"]))),
        json!(external),
        json!(or_none(&ports.join(","))),
        age(service, now),
        json!(labels(at(service, &["spec", "selector"]))),
    ]
}

fn endpoints(endpoints: &Value) -> String {
    let subsets = list(endpoints, &["subsets"]);
    if subsets.is_empty() {
        return "<none>".into();
    }
    let mut shown = Vec::new();
    for subset in subsets {
        let addresses = list(subset, &["addresses"]);
        let ports = list(subset, &["ports"]);
        if ports.is_empty() {
            shown.extend(addresses.iter().map(|address| text(address, &["ip"]).to_owned()));
        }
        for port in ports {
            for address in addresses {
                let ip = text(address, &["ip"]);
                let port = int(port, &["port"]).unwrap_or(0);
                shown.push(if ip.contains(':') {
                    format!("[{ip}]:{port}")
                } else {
                    format!("{ip}:{port}")
                });
            }
        }
    }
    some(&shown, 3)
}

/// An event of events.k8s.io in the fields of the core group.
fn core_event(event: &Value) -> Value {
    let mut out = event.clone();
    for (new, old) in [
        ("regarding", "involvedObject"),
        ("note", "message"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("reportingController", "reportingComponent"),
    ] {
        out[old] = at(event, &[new]).clone();
    }
    out
}

fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let pick = |first: &str, last: &str| {
        if first.is_empty() {
            last.to_owned()
        } else {
            first.to_owned()
        }
    };
    let event_time = text(event, &["eventTime"]);
    let first = pick(text(event, &["firstTimestamp"]), event_time);
    let series = text(event, &["series", "lastObservedTime"]);
    let last = if series.is_empty() {
        pick(text(event, &["lastTimestamp"]), &first)
    } else {
        series.to_owned()
    };
    let count = int(event, &["series", "count"])
        .or_else(|| int(event, &["count"]).filter(|count| *count > 0))
        .unwrap_or(1);
    let kind = text(event, &["involvedObject", "kind"]).to_lowercase();
    let target = match text(event, &["involvedObject", "name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = pick(
        text(event, &["source", "component"]),
        text(event, &["reportingComponent"]),
    );
    let host = pick(
        text(event, &["source", "host"]),
        text(event, &["reportingInstance"]),
    );
    let source = if host.is_empty() {
        component
    } else {
        format!("{component}, {host}")
    };
    vec![
        json!(since(&last, now)),
        json!(text(event, &["type"])),
        json!(text(event, &["reason"])),
        json!(target),
        json!(text(event, &["involvedObject", "fieldPath"])),
        json!(source),
        json!(text(event, &["message"]).trim()),
        json!(since(&first, now)),
        json!(count),
        name(event),
    ]
}

fn quota(quota: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in object(quota, &["status", "hard"]).into_iter().flatten() {
        let used = Some(text(quota, &["status", "used", resource]))
            .filter(|used| !used.is_empty())
            .unwrap_or("0");
        let shown = format!("{resource}: {used}/{}", hard.as_str().unwrap_or(""));
        if resource.starts_with("limits") {
            limits.push(shown)
        } else {
            requests.push(shown)
        }
    }
    vec![
        name(quota),
        json!(requests.join(", ")),
        json!(limits.join(", ")),
        age(quota, now),
    ]
}

fn unset(text: &str) -> &str {
    if text.is_empty() { "<unset>" } else { text }
}

/// A quantity that isn't there is none.
fn quantity(text: &str) -> &str {
    if text.is_empty() { "0" } else { text }
}

fn persistent_volume(volume: &Value, now: Timestamp) -> Vec<Value> {
    let claim = at(volume, &["spec", "claimRef"]);
    let claim = if claim.is_object() {
        format!("{}/{}", text(claim, &["namespace"]), text(claim, &["name"]))
    } else {
        String::new()
    };
    let phase = if meta::deletion_timestamp(volume).is_some() {
        "Terminating"
    } else {
        text(volume, &["status", "phase"])
    };
    vec![
        name(volume),
        json!(quantity(text(volume, &["spec", "capacity", "storage"]))),
        json!(access_modes(list(volume, &["spec", "accessModes"]))),
        json!(text(volume, &["spec", "persistentVolumeReclaimPolicy"])),
        json!(phase),
        json!(claim),
        json!(storage_class(volume)),
        json!(attributes_class(volume)),
        json!(text(volume, &["status", "reason"])),
        age(volume, now),
        json!(unset(text(volume, &["spec", "volumeMode"]))),
    ]
}

/// The class of a volume or claim; the annotation from before there was a field counts more.
fn storage_class(object: &Value) -> &str {
    meta::annotation(object, "volume.beta.kubernetes.io/storage-class")
        .unwrap_or_else(|| text(object, &["spec", "storageClassName"]))
}

/// An empty name is one.
fn attributes_class(object: &Value) -> &str {
    at(object, &["spec", "volumeAttributesClassName"])
        .as_str()
        .unwrap_or("<unset>")
}

fn claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let phase = if meta::deletion_timestamp(claim).is_some() {
        "Terminating"
    } else {
        text(claim, &["status", "phase"])
    };
    let bound = !text(claim, &["spec", "volumeName"]).is_empty();
    vec![
        name(claim),
        json!(phase),
        json!(text(claim, &["spec", "volumeName"])),
        json!(if bound {
            quantity(text(claim, &["status", "capacity", "storage"]))
        } else {
            ""
        }),
        json!(if bound {
            access_modes(list(claim, &["status", "accessModes"]))
        } else {
            String::new()
        }),
        json!(storage_class(claim)),
        json!(attributes_class(claim)),
        age(claim, now),
        json!(unset(text(claim, &["spec", "volumeMode"]))),
    ]
}
