//! Validation of pods and of pod templates.
mod affinity;
mod container;
mod handlers;
mod scheduling;
mod security;
mod update;
mod volumes;

pub(super) use affinity::node_selector;
pub(super) use scheduling::tolerations;
pub(super) use update::{difference, update};
pub(super) use volumes::volume_source;

use super::metadata;
use super::shared::{self, maybe_one_of, one_of, texts};
use crate::value::{at, is_zero, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// A whole new pod.
pub(super) fn create(pod: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    errors.extend(spec(at(pod, &["spec"]), &path));
    errors
}

/// A pod template.
pub(super) fn template(template: &Value, path: &Path) -> ErrorList {
    let mut errors = metadata::labels(at(template, &["metadata", "labels"]), &path.child("labels"));
    errors.extend(metadata::annotations(template, &path.child("annotations")));
    errors.extend(spec(at(template, &["spec"]), &path.child("spec")));
    errors
}

/// A pod's spec.
pub(super) fn spec(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let grace = at(spec, &["terminationGracePeriodSeconds"]).as_i64();
    let volumes = volumes::volumes(list(spec, &["volumes"]), &path.child("volumes"), &mut errors);
    let context = container::Context {
        volumes: &volumes,
        grace,
        spec,
    };
    errors.extend(container::containers(&context, &path.child("containers")));
    errors.extend(container::init_containers(
        &context,
        &path.child("initContainers"),
    ));
    errors.extend(container::ephemeral_containers(
        &context,
        &path.child("ephemeralContainers"),
    ));
    errors.extend(one_of(
        &path.child("restartPolicy"),
        at(spec, &["restartPolicy"]),
        &["Always", "OnFailure", "Never"],
    ));
    errors.extend(one_of(
        &path.child("dnsPolicy"),
        at(spec, &["dnsPolicy"]),
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    ));
    errors.extend(metadata::labels(
        at(spec, &["nodeSelector"]),
        &path.child("nodeSelector"),
    ));
    errors.extend(security::pod(spec, &path.child("securityContext")));
    errors.extend(affinity::affinity(
        at(spec, &["affinity"]),
        &path.child("affinity"),
    ));
    errors.extend(dns_config(spec, &path.child("dnsConfig")));
    for (index, gate) in list(spec, &["readinessGates"]).iter().enumerate() {
        let name = text(gate, &["conditionType"]);
        errors.extend(texts(
            &path.child("readinessGates").index(index).child("conditionType"),
            name,
            names::qualified_name(name),
        ));
    }
    errors.extend(scheduling::gates(spec, &path.child("schedulingGates")));
    errors.extend(scheduling::topology_spread(
        list(spec, &["topologySpreadConstraints"]),
        &path.child("topologySpreadConstraints"),
    ));
    for (field, check) in [
        (
            "serviceAccountName",
            names::dns1123_subdomain as fn(&str) -> Vec<String>,
        ),
        ("nodeName", names::dns1123_subdomain),
    ] {
        let name = text(spec, &[field]);
        if !name.is_empty() {
            errors.extend(texts(&path.child(field), name, check(name)));
        }
    }
    errors.extend(shared::within(
        &path.child("activeDeadlineSeconds"),
        at(spec, &["activeDeadlineSeconds"]),
        1,
        i64::from(i32::MAX),
    ));
    for field in ["hostname", "subdomain"] {
        let name = text(spec, &[field]);
        if !name.is_empty() {
            errors.extend(texts(&path.child(field), name, names::dns1123_label(name)));
        }
    }
    errors.extend(scheduling::tolerations(
        list(spec, &["tolerations"]),
        &path.child("tolerations"),
    ));
    for (index, alias) in list(spec, &["hostAliases"]).iter().enumerate() {
        let path = path.child("hostAliases").index(index);
        errors.extend(shared::ip(&path.child("ip"), text(alias, &["ip"])));
        for (index, name) in list(alias, &["hostnames"])
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
        {
            errors.extend(texts(
                &path.child("hostnames").index(index),
                name,
                names::dns1123_subdomain(name),
            ));
        }
    }
    for field in ["priorityClassName", "runtimeClassName"] {
        let name = at(spec, &[field]);
        if !is_zero(Some(name)) || (field == "runtimeClassName" && name.is_string()) {
            let name = name.as_str().unwrap_or("");
            errors.extend(texts(&path.child(field), name, names::dns1123_subdomain(name)));
        }
    }
    errors.extend(maybe_one_of(
        &path.child("preemptionPolicy"),
        at(spec, &["preemptionPolicy"]),
        &["PreemptLowerPriority", "Never"],
    ));
    for (name, quantity) in at(spec, &["overhead"]).as_object().into_iter().flatten() {
        errors.extend(shared::resource_name(&path.child("overhead"), name));
        errors.extend(shared::amount(&path.child("overhead").key(name), quantity));
    }
    errors
}

fn dns_config(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let servers = list(spec, &["dnsConfig", "nameservers"]);
    if text(spec, &["dnsPolicy"]) == "None" {
        if !at(spec, &["dnsConfig"]).is_object() {
            return vec![Error::required(
                path,
                "must provide `dnsConfig` when `dnsPolicy` is None",
            )];
        }
        if servers.is_empty() {
            return vec![Error::required(
                &path.child("nameservers"),
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            )];
        }
    }
    if servers.len() > 3 {
        errors.push(Error::invalid(
            &path.child("nameservers"),
            Value::from(servers),
            "must not have more than 3 nameservers",
        ));
    }
    for (index, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(shared::ip(&path.child("nameservers").index(index), server));
    }
    for (index, domain) in list(spec, &["dnsConfig", "searches"])
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        let bare = if domain == "." {
            "a"
        } else {
            domain.trim_end_matches('.')
        };
        errors.extend(texts(
            &path.child("searches").index(index),
            bare,
            names::dns1123_subdomain(bare),
        ));
    }
    for (index, option) in list(spec, &["dnsConfig", "options"]).iter().enumerate() {
        if text(option, &["name"]).is_empty() {
            errors.push(Error::required(
                &path.child("options").index(index),
                "must not be empty",
            ));
        }
    }
    errors
}

/// Names that occur in a list, for finding repeats.
pub(super) fn repeated<'a>(seen: &mut HashSet<&'a str>, name: &'a str) -> bool {
    !name.is_empty() && !seen.insert(name)
}
