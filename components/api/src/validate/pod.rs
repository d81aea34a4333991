//! Validation of pods and of pod templates.
mod affinity;
mod allowed;
mod annotations;
mod claims;
mod container;
mod devices;
mod environment;
mod ephemeral;
mod handlers;
mod os;
mod resize;
mod resources;
mod scheduling;
mod security;
mod signals;
mod status;
mod told_tolerations;
mod update;
mod volumes;
mod windows;

pub(super) use affinity::{node_selector, node_selector_unless, selects_invalid_values};
pub(super) use allowed::Allowed;
pub(super) use ephemeral::update as ephemeral_containers;
pub(super) use resize::update as resize;
pub(super) use resources::requirements;
pub use scheduling::configured_tolerations;
pub(super) use scheduling::tolerations;
pub use security::allow_privileged;
pub(crate) use security::app_armor;
pub(super) use status::update as status;
pub use told_tolerations::of_namespace as tolerations_of_namespace;
pub(super) use update::{changed_annotations, changed_spec};
pub(super) use volumes::{driver_name, iscsi_of_volume, volume_source};

use super::metadata;
use super::shared::{self, texts};
use crate::value::{at, flag, int, is_zero, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{meta, names};
use serde_json::Value;

/// What a spec is part of: some rules only hold for pods, and one needs the pod's name.
#[derive(Clone, Copy)]
struct Part<'a> {
    is_pod: bool,
    is_mirror: bool,
    name: &'a str,
    allowed: Allowed,
}

/// A whole new pod.
pub(super) fn create(pod: &Value, allowed: Allowed) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = whole(pod, allowed);
    if !list(pod, &["spec", "ephemeralContainers"]).is_empty() {
        errors.push(Error::forbidden(
            &path.child("ephemeralContainers"),
            "cannot be set on create",
        ));
    }
    if !text(pod, &["spec", "nodeName"]).is_empty() && !list(pod, &["spec", "schedulingGates"]).is_empty() {
        errors.push(Error::forbidden(
            &path.child("nodeName"),
            "cannot be set until all schedulingGates have been cleared",
        ));
    }
    errors.extend(annotations::match_fields(pod, at(pod, &["spec"]), &path));
    errors
}

/// What holds for a pod at any time.
pub(super) fn whole(pod: &Value, allowed: Allowed) -> ErrorList {
    let (spec, path) = (at(pod, &["spec"]), Path::new("spec"));
    let part = Part {
        is_pod: true,
        is_mirror: meta::annotation(pod, annotations::MIRROR).is_some(),
        name: meta::name(pod),
        allowed,
    };
    let mut errors = annotations_beside_spec(pod, allowed);
    errors.extend(self::spec(spec, part, &path));
    if text(spec, &["serviceAccountName"]).is_empty() {
        errors.extend(volumes::tokens_of_nobody(spec, &path.child("volumes")));
    }
    for kind in ["containers", "initContainers"] {
        for (index, container) in list(spec, &[kind]).iter().enumerate() {
            errors.extend(container::trimmed_image(container, || {
                path.child(kind).index(index)
            }));
        }
    }
    errors
}

/// Annotations that say what the spec says too.
pub(super) fn annotations_beside_spec(pod: &Value, allowed: Allowed) -> ErrorList {
    annotations::check(
        pod,
        at(pod, &["spec"]),
        allowed,
        &Path::new("metadata.annotations"),
    )
}

/// The annotations of a pod template.
pub(super) fn annotations_of_template(template: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let path = path.child("annotations");
    let mut errors = metadata::annotations(template, &path);
    errors.extend(annotations::check(
        template,
        at(template, &["spec"]),
        allowed,
        &path,
    ));
    errors
}

/// A pod template.
pub(super) fn template(template: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = metadata::labels(at(template, &["metadata", "labels"]), &path.child("labels"));
    let (own, path_of_spec) = (at(template, &["spec"]), path.child("spec"));
    errors.extend(annotations_of_template(template, allowed, path));
    let part = Part {
        is_pod: false,
        is_mirror: false,
        name: "",
        allowed,
    };
    errors.extend(spec(own, part, &path_of_spec));
    errors.extend(annotations::match_fields(template, own, &path_of_spec));
    if !list(own, &["ephemeralContainers"]).is_empty() {
        errors.push(Error::forbidden(
            &path_of_spec.child("ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        ));
    }
    errors
}

/// A pod's spec.
fn spec(spec: &Value, part: Part<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let grace = at(spec, &["terminationGracePeriodSeconds"]).as_i64();
    let volumes = volumes::volumes(
        list(spec, &["volumes"]),
        part,
        &path.child("volumes"),
        &mut errors,
    );
    let claims = claims::check(
        part.is_mirror,
        list(spec, &["resourceClaims"]),
        &path.child("resourceClaims"),
        &mut errors,
    );
    let context = container::Context {
        volumes: &volumes,
        claims: &claims,
        grace,
        spec,
        allowed: part.allowed,
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
    if at(spec, &["resources"]).is_object() && part.allowed.pod_resources {
        errors.extend(resources::of_pod(
            spec,
            &claims,
            part.allowed,
            &path.child("resources"),
        ));
    }
    errors.extend(host_ports(spec, part, &path.child("containers")));
    errors.extend(shared::set_to_one_of(
        &path.child("restartPolicy"),
        at(spec, &["restartPolicy"]),
        &["Always", "OnFailure", "Never"],
    ));
    errors.extend(shared::set_to_one_of(
        &path.child("dnsPolicy"),
        at(spec, &["dnsPolicy"]),
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    ));
    errors.extend(metadata::labels(
        at(spec, &["nodeSelector"]),
        &path.child("nodeSelector"),
    ));
    errors.extend(security::pod(spec, part.allowed, &path.child("securityContext")));
    errors.extend(affinity::affinity(
        at(spec, &["affinity"]),
        part.allowed,
        &path.child("affinity"),
    ));
    errors.extend(dns_config(spec, part.allowed, &path.child("dnsConfig")));
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
        part.allowed,
        &path.child("topologySpreadConstraints"),
    ));
    errors.extend(windows::host_processes(spec, path));
    errors.extend(security::user_namespace(spec, part.allowed, path));
    errors.extend(host_name_override(spec, path));
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
        part.allowed,
        &path.child("tolerations"),
    ));
    let addresses = part.allowed.addresses();
    for (index, alias) in list(spec, &["hostAliases"]).iter().enumerate() {
        let path = path.child("hostAliases").index(index);
        errors.extend(addresses.ip(&path.child("ip"), text(alias, &["ip"])));
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
    if !at(spec, &["preemptionPolicy"]).is_null() {
        errors.extend(shared::set_to_one_of(
            &path.child("preemptionPolicy"),
            at(spec, &["preemptionPolicy"]),
            &["PreemptLowerPriority", "Never"],
        ));
    }
    if at(spec, &["overhead"]).is_object() {
        let overhead = serde_json::json!({"limits": at(spec, &["overhead"])});
        errors.extend(resources::requirements(
            &overhead,
            &[],
            part.allowed,
            &path.child("overhead"),
        ));
    }
    errors.extend(os::check(spec, path));
    errors.extend(environment::files(spec, path));
    errors
}

/// With the host's network, a container's port is the host's; templates may leave it out.
fn host_ports(spec: &Value, part: Part<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !flag(spec, &["hostNetwork"]) {
        return errors;
    }
    for (index, container) in list(spec, &["containers"]).iter().enumerate() {
        for (place, port) in list(container, &["ports"]).iter().enumerate() {
            let number = |field: &str| int(port, &[field]).unwrap_or(0);
            let host = number("hostPort");
            if (part.is_pod || host != 0) && host != number("containerPort") {
                errors.push(Error::invalid(
                    &path.index(index).child("ports").index(place).child("hostPort"),
                    host,
                    "must match `containerPort` when `hostNetwork` is true",
                ));
            }
        }
    }
    errors
}

/// A host's name has at most this many bytes on Linux.
const MAX_HOST_NAME: usize = 64;

fn host_name_override(spec: &Value, path: &Path) -> ErrorList {
    let Some(name) = at(spec, &["hostnameOverride"]).as_str() else {
        return ErrorList::new();
    };
    let own = path.child("hostnameOverride");
    let mut errors = ErrorList::new();
    for field in ["setHostnameAsFQDN", "hostNetwork"] {
        if flag(spec, &[field]) {
            let detail = format!("may not be specified when {field} is true");
            errors.push(Error::forbidden(&own, detail));
        }
    }
    if name.len() > MAX_HOST_NAME {
        errors.push(Error::too_long(&own, MAX_HOST_NAME));
    }
    errors.extend(texts(&own, name, names::dns1123_subdomain(name)));
    errors
}

/// Domains to search have at most this many names, and bytes with the spaces between them.
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_BYTES: usize = 2048;

fn dns_config(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
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
    let addresses = allowed.addresses();
    for (index, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(addresses.ip(&path.child("nameservers").index(index), server));
    }
    let searches: Vec<&str> = list(spec, &["dnsConfig", "searches"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let shown = || at(spec, &["dnsConfig", "searches"]);
    if searches.len() > MAX_SEARCHES {
        errors.push(Error::invalid(
            &path.child("searches"),
            shown(),
            format!("must not have more than {MAX_SEARCHES} search paths"),
        ));
    }
    if searches.join(" ").len() > MAX_SEARCH_BYTES {
        errors.push(Error::invalid(
            &path.child("searches"),
            shown(),
            format!(
                "must not have more than {MAX_SEARCH_BYTES} characters (including spaces) in the search list"
            ),
        ));
    }
    for (index, domain) in searches
        .into_iter()
        .enumerate()
        .filter(|(_, domain)| *domain != ".")
    {
        let bare = domain.strip_suffix('.').unwrap_or(domain);
        errors.extend(texts(
            &path.child("searches").index(index),
            bare,
            names::dns1123_subdomain_with_underscore(bare),
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

#[cfg(test)]
mod tests;
