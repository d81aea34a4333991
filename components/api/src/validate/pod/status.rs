//! What may change in a pod's status.
mod claims;
mod transitions;

use super::{Allowed, annotations};
use crate::addresses::is_ipv6;
use crate::features::{Feature, Features};
use crate::validate::addresses::Addresses;
use crate::validate::internal;
use crate::validate::shared::{self, immutable, one_of, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// The kinds of containers that have a status.
const KINDS: [(&str, &str); 3] = [
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
];

/// A change through the status endpoint.
pub(in crate::validate) fn update(old: &Value, new: &Value, features: Features) -> ErrorList {
    let path = Path::new("status");
    let allowed = Allowed::of(features, "Pod", Some(old));
    let mut errors = annotations::change(old, new, allowed, &Path::new("metadata.annotations"));
    errors.extend(conditions(new, &path.child("conditions")));
    errors.extend(nomination(old, new, features, &path.child("nominatedNodeName")));
    errors.extend(generation(at(new, &["status"]), &path));
    errors.extend(immutable(
        &path.child("qosClass"),
        at(old, &["status", "qosClass"]),
        at(new, &["status", "qosClass"]),
    ));
    for (field, containers) in KINDS {
        errors.extend(transitions::check(
            old,
            new,
            (field, containers),
            allowed,
            &path.child(field),
        ));
    }
    errors.extend(claims(new, &path.child("resourceClaimStatuses")));
    errors.extend(claims::extended(new, &path.child("extendedResourceClaimStatus")));
    errors.extend(claims::of_node(
        new,
        &path.child("nodeAllocatableResourceClaimStatuses"),
    ));
    errors.extend(addresses(old, new, "podIPs", features, &path));
    errors.extend(addresses(old, new, "hostIPs", features, &path));
    for (field, _) in KINDS {
        errors.extend(users(new, field, &path.child(field)));
    }
    for (field, containers) in KINDS {
        errors.extend(allocated(new, field, containers, &path.child(field)));
    }
    errors
}

/// Conditions that others than Kubernetes itself add have names of their own.
fn conditions(pod: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, condition) in list(pod, &["status", "conditions"]).iter().enumerate() {
        let (kind, path) = (text(condition, &["type"]), path.index(index));
        errors.extend(generation(condition, &path));
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            errors.extend(texts(&path.child("Type"), kind, names::qualified_name(kind)));
        }
    }
    errors
}

/// The generation of which a status or a condition tells.
fn generation(told: &Value, path: &Path) -> Option<Error> {
    let number = int(told, &["observedGeneration"]).filter(|number| *number < 0)?;
    let path = path.child("observedGeneration");
    Some(Error::invalid(&path, number, "must be a non-negative integer"))
}

/// The node that a pod may get; a pod that has one needs no other.
fn nomination(old: &Value, new: &Value, features: Features, path: &Path) -> ErrorList {
    let nominated = text(new, &["status", "nominatedNodeName"]);
    if nominated.is_empty() || nominated == text(old, &["status", "nominatedNodeName"]) {
        return ErrorList::new();
    }
    let mut errors = texts(path, nominated, names::dns1123_subdomain(nominated));
    if features.has(Feature::ClearingNominatedNodeNameAfterBinding)
        && !text(old, &["spec", "nodeName"]).is_empty()
    {
        errors.push(Error::forbidden(
            path,
            "may not be set on pods that are already bound to a node",
        ));
    }
    errors
}

fn claims(pod: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, status) in list(pod, &["status", "resourceClaimStatuses"]).iter().enumerate() {
        let (claim_path, path) = (
            path.index(index).child("resourceClaimName"),
            path.index(index).child("name"),
        );
        let name = text(status, &["name"]);
        let known = list(pod, &["spec", "resourceClaims"])
            .iter()
            .any(|claim| text(claim, &["name"]) == name);
        if !known {
            errors.push(Error::invalid(
                &path,
                name,
                "must match the name of an entry in `spec.resourceClaims`",
            ));
        }
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path, name));
        }
        if let Some(claim) = at(status, &["resourceClaimName"]).as_str() {
            errors.extend(texts(&claim_path, claim, names::dns1123_subdomain(claim)));
        }
    }
    errors
}

/// Addresses are one of each family, and none twice.
fn addresses(old: &Value, pod: &Value, field: &str, features: Features, path: &Path) -> ErrorList {
    let given = list(pod, &["status", field]);
    let before = list(old, &["status", field])
        .iter()
        .map(|given| text(given, &["ip"]));
    let rules = Addresses::new(features).keeping(before);
    let path = path.child(field);
    let ips: Vec<&str> = given.iter().map(|given| text(given, &["ip"])).collect();
    let mut errors = ErrorList::new();
    if let Some(first) = ips
        .first()
        .filter(|first| field == "hostIPs" && text(pod, &["status", "hostIP"]) != **first)
    {
        errors.push(Error::invalid(
            &path.index(0).child("ip"),
            *first,
            "must be equal to `hostIP`",
        ));
    }
    for (index, ip) in ips.iter().enumerate() {
        errors.extend(rules.ip(&path.index(index), ip));
    }
    if ips.len() < 2 {
        return errors;
    }
    let families: HashSet<bool> = ips.iter().map(|ip| is_ipv6(ip)).collect();
    if families.len() < 2 || ips.len() > 2 {
        errors.push(Error::invalid(
            &path,
            internal::shown_list(internal::IP, at(pod, &["status", field])),
            "may specify no more than one IP for each IP family",
        ));
    }
    for (index, ip) in ips
        .iter()
        .enumerate()
        .filter(|(index, ip)| ips[..*index].contains(ip))
    {
        errors.push(Error::duplicate(&path.index(index), *ip));
    }
    errors
}

fn users(pod: &Value, field: &str, path: &Path) -> ErrorList {
    let windows = text(pod, &["spec", "os", "name"]) == "windows";
    let mut errors = ErrorList::new();
    for (index, status) in list(pod, &["status", field]).iter().enumerate() {
        let user = at(status, &["user", "linux"]);
        if !user.is_object() {
            continue;
        }
        let path = path.index(index).child("user.linux");
        if windows {
            errors.push(Error::forbidden(&path, "cannot be set for a windows pod"));
            continue;
        }
        for id in ["uid", "gid"] {
            let most = i64::from(i32::MAX);
            errors.extend(shared::within(&path.child(id), at(user, &[id]), 0, most));
        }
        for (index, group) in list(user, &["supplementalGroups"]).iter().enumerate() {
            let path = path.child("supplementalGroups").index(index);
            errors.extend(shared::within(&path, group, 0, i64::from(i32::MAX)));
        }
    }
    errors
}

/// What is said of a device's health has at most this many bytes.
const MAX_HEALTH_MESSAGE: usize = 1024;

/// How the devices are that containers have.
fn allocated(pod: &Value, field: &str, containers: &str, path: &Path) -> ErrorList {
    const FIELD: &str = "allocatedResourcesStatus";
    let mut errors = ErrorList::new();
    for (index, status) in list(pod, &["status", field]).iter().enumerate() {
        let path = path.index(index).child(FIELD);
        let resources = list(status, &[FIELD]);
        if containers == "ephemeralContainers" {
            if !resources.is_empty() {
                errors.push(Error::forbidden(
                    &path,
                    "must not be specified in container status",
                ));
            }
            continue;
        }
        let container = list(pod, &["spec", containers])
            .iter()
            .find(|container| container["name"] == status["name"]);
        for (index, resource) in resources.iter().enumerate() {
            let path = path.index(index);
            let name = text(resource, &["name"]);
            if let Some(why) = container.and_then(|container| unknown(container, name)) {
                errors.push(Error::invalid(&path.child("name"), name, why));
            }
            let mut seen = HashSet::new();
            for (index, health) in list(resource, &["resources"]).iter().enumerate() {
                let path = path.child("resources").index(index);
                errors.extend(one_of(
                    &path.child("health"),
                    at(health, &["health"]),
                    &["Healthy", "Unhealthy", "Unknown"],
                ));
                let own = path.child("message");
                match at(health, &["message"]).as_str() {
                    Some("") => errors.push(Error::required(&own, "must be non-empty if specified")),
                    Some(message) if message.len() > MAX_HEALTH_MESSAGE => {
                        errors.push(Error::too_long(&own, MAX_HEALTH_MESSAGE));
                    }
                    _ => {}
                }
                let id = text(health, &["resourceID"]);
                if !seen.insert(id) {
                    errors.push(Error::duplicate(&path.child("resourceID"), id));
                }
            }
        }
    }
    errors
}

/// Why a container can't have been given this.
fn unknown(container: &Value, name: &str) -> Option<&'static str> {
    let Some(claimed) = name.strip_prefix("claim:") else {
        return at(container, &["resources", "requests"])
            .get(name)
            .is_none()
            .then_some("must match one of the container's resource requests");
    };
    let known = list(container, &["resources", "claims"]).iter().any(|claim| {
        let (own, request) = (text(claim, &["name"]), text(claim, &["request"]));
        match claimed.split_once('/') {
            Some((name, part)) => own == name && request == part,
            None => own == claimed && request.is_empty(),
        }
    });
    (!known).then_some(
        "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty",
    )
}
