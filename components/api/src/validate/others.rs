//! Validation of leases and slices of endpoints.
use super::addresses::Addresses;
use super::shared::{self, immutable, one_of, texts};
use crate::addresses::is_ipv6;
use crate::features::Features;
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorKind, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

/// An endpoint is meant for this many zones, and this many nodes.
const MAX_HINTS: usize = 8;
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
const MAX_TOPOLOGY: usize = 16;

/// These kinds, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value, features: Features) -> Option<ErrorList> {
    Some(match kind {
        "Lease" => lease(new),
        "EndpointSlice" => endpoint_slice(old, new, features),
        _ => return None,
    })
}

fn lease(new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    if let Some(seconds) = int(new, &["spec", "leaseDurationSeconds"]).filter(|seconds| *seconds <= 0) {
        errors.push(Error::invalid(
            &path.child("leaseDurationSeconds"),
            seconds,
            "must be greater than 0",
        ));
    }
    errors.extend(shared::non_negative(
        &path.child("leaseTransitions"),
        at(new, &["spec", "leaseTransitions"]),
    ));
    // Both are there with CoordinatedLeaderElection only.
    let strategy = text(new, &["spec", "strategy"]);
    if at(new, &["spec", "strategy"]).is_string() {
        errors.extend(lease_strategy(strategy, &path.child("strategy")));
    }
    if !text(new, &["spec", "preferredHolder"]).is_empty() && strategy.is_empty() {
        errors.push(Error::forbidden(
            &path.child("preferredHolder"),
            "may only be specified if `strategy` is defined",
        ));
    }
    errors
}

/// How a leader is chosen: as Kubernetes does, or in a way that somebody's domain stands before. The field is named twice in messages,
/// as upstream does.
fn lease_strategy(strategy: &str, path: &Path) -> ErrorList {
    let path = path.child("strategy");
    if strategy.contains('/') {
        return texts(&path, strategy, names::qualified_name(strategy));
    }
    one_of(&path, &Value::from(strategy), &["OldestEmulationVersion"])
        .into_iter()
        .collect()
}

fn endpoint_slice(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let mut errors = ErrorList::new();
    let kind = text(new, &["addressType"]);
    if kind.is_empty() {
        errors.push(Error::required(&Path::new("addressType"), ""));
    } else {
        errors.extend(one_of(
            &Path::new("addressType"),
            at(new, &["addressType"]),
            &["FQDN", "IPv4", "IPv6"],
        ));
    }
    errors.extend(slice_ports(new));
    let endpoints = slice_endpoints(kind, new, &Addresses::new(features));
    // What was stored under older rules may stay while nothing in it changes; comparing is only worth it then.
    let same = |old: &Value| at(old, &["endpoints"]) == at(new, &["endpoints"]);
    if !endpoints.is_empty() && !old.is_some_and(same) {
        errors.extend(endpoints);
    }
    if let Some(old) = old {
        errors.extend(immutable(
            &Path::new("addressType"),
            at(old, &["addressType"]),
            at(new, &["addressType"]),
        ));
    }
    errors
}

fn slice_endpoints(kind: &str, new: &Value, rules: &Addresses<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    let endpoints = list(new, &["endpoints"]);
    if endpoints.len() > MAX_ENDPOINTS {
        return vec![Error::too_many(
            &Path::new("endpoints"),
            endpoints.len(),
            MAX_ENDPOINTS,
        )];
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = Path::new("endpoints").index(index);
        let addresses = list(endpoint, &["addresses"]);
        let addresses_path = path.child("addresses");
        if addresses.is_empty() {
            errors.push(Error::required(
                &addresses_path,
                "must contain at least 1 address",
            ));
        } else if addresses.len() > MAX_ADDRESSES {
            errors.push(Error::too_many(&addresses_path, addresses.len(), MAX_ADDRESSES));
        }
        for (index, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
            errors.extend(slice_address(kind, address, rules, &addresses_path.index(index)));
        }
        if let Some(node) = at(endpoint, &["nodeName"]).as_str() {
            errors.extend(texts(
                &path.child("nodeName"),
                node,
                names::dns1123_subdomain(node),
            ));
        }
        errors.extend(old_topology(
            at(endpoint, &["deprecatedTopology"]),
            &path.child("deprecatedTopology"),
        ));
        if let Some(host) = at(endpoint, &["hostname"]).as_str() {
            errors.extend(texts(&path.child("hostname"), host, names::dns1123_label(host)));
        }
        let hints = path.child("hints");
        let zones = hinted(endpoint, "forZones", names::label_value, &hints);
        let too_many = zones
            .first()
            .is_some_and(|error| error.kind == ErrorKind::TooMany);
        errors.extend(zones);
        if !too_many {
            errors.extend(hinted(endpoint, "forNodes", names::dns1123_subdomain, &hints));
        }
    }
    errors
}

/// Where an endpoint is, as v1beta1 had it.
fn old_topology(topology: &Value, path: &Path) -> ErrorList {
    let count = topology.as_object().map_or(0, serde_json::Map::len);
    let mut errors = ErrorList::new();
    if count > MAX_TOPOLOGY {
        errors.push(Error::too_many(path, count, MAX_TOPOLOGY));
    }
    errors.extend(super::metadata::labels(topology, path));
    errors
}

/// The zones or nodes that an endpoint is meant for.
fn hinted(endpoint: &Value, field: &str, check: fn(&str) -> Vec<String>, path: &Path) -> ErrorList {
    let (hints, path) = (list(endpoint, &["hints", field]), path.child(field));
    if hints.len() > MAX_HINTS {
        return vec![Error::too_many(&path, hints.len(), MAX_HINTS)];
    }
    let mut errors = ErrorList::new();
    for (index, hint) in hints.iter().enumerate() {
        let (name, path) = (text(hint, &["name"]), path.index(index).child("name"));
        if hints[..index].iter().any(|other| text(other, &["name"]) == name) {
            errors.push(Error::duplicate(&path, name));
        }
        errors.extend(texts(&path, name, check(name)));
    }
    errors
}

fn slice_address(kind: &str, address: &str, rules: &Addresses<'_>, path: &Path) -> ErrorList {
    match kind {
        "IPv4" | "IPv6" => {
            let mut errors: ErrorList = rules.ip(path, address).into_iter().collect();
            if errors.is_empty() {
                if is_ipv6(address) != (kind == "IPv6") {
                    errors.push(Error::invalid(
                        path,
                        address,
                        format!("must be an {kind} address"),
                    ));
                }
                errors.extend(super::core::non_special_ip(address, path));
            }
            errors
        }
        "FQDN" => domain(address, path),
        _ => ErrorList::new(),
    }
}

/// A domain of two segments at least, with or without a dot behind it.
fn domain(given: &str, path: &Path) -> ErrorList {
    if given.is_empty() {
        return vec![Error::required(path, "")];
    }
    let name = given.strip_suffix('.').unwrap_or(given);
    let invalid = |part: &str, wrong: Vec<String>| vec![Error::invalid(path, part, wrong.join(","))];
    let wrong = names::dns1123_subdomain(name);
    if !wrong.is_empty() {
        return invalid(name, wrong);
    }
    if !name.contains('.') {
        return vec![Error::invalid(
            path,
            name,
            "should be a domain with at least two segments separated by dots",
        )];
    }
    let odd = name.split('.').find_map(|label| {
        let wrong = names::dns1123_label(label);
        (!wrong.is_empty()).then(|| invalid(label, wrong))
    });
    odd.unwrap_or_default()
}

fn slice_ports(slice: &Value) -> ErrorList {
    let ports = list(slice, &["ports"]);
    if ports.len() > MAX_PORTS {
        return vec![Error::too_many(&Path::new("ports"), ports.len(), MAX_PORTS)];
    }
    let mut errors = ErrorList::new();
    let mut seen = std::collections::HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = Path::new("ports").index(index);
        let name = text(port, &["name"]);
        if !name.is_empty() {
            errors.extend(texts(&path.child("name"), name, names::dns1123_label(name)));
        }
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        if at(port, &["protocol"]).is_null() {
            errors.push(Error::required(&path.child("protocol"), ""));
        } else {
            errors.extend(one_of(
                &path.child("protocol"),
                at(port, &["protocol"]),
                &["SCTP", "TCP", "UDP"],
            ));
        }
        if let Some(protocol) = at(port, &["appProtocol"]).as_str() {
            errors.extend(texts(
                &path.child("appProtocol"),
                protocol,
                names::qualified_name(protocol),
            ));
        }
    }
    errors
}

#[cfg(test)]
mod tests;
