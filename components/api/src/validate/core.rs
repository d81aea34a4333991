//! Validation of the core group's kinds that aren't pods or storage.
mod limit_range;
mod quota;
mod service;

pub(super) use quota::amounts as quota_amounts;
pub use service::addresses as service_addresses;
pub(super) use service::{balancer_status, non_special_ip};

use super::addresses::Addresses;
use super::internal;
use super::shared::{self, one_of, texts};
use crate::addresses;
use crate::features::Features;
use crate::value::{at, is_zero, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{meta, names};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// ConfigMaps and Secrets may hold this many bytes.
const MAX_DATA: usize = 1024 * 1024;

/// Core kinds, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value, features: Features) -> Option<ErrorList> {
    Some(match kind {
        "ConfigMap" => config_map(old, new),
        "Secret" => secret(old, new),
        "Service" => service::check(old, new, features),
        "Namespace" if old.is_none() => finalizers(new, |_| Path::new("spec.finalizers")),
        "Namespace" => ErrorList::new(),
        "Node" => node(old, new, features),
        "Endpoints" => endpoints(old, new, features),
        "PodTemplate" => {
            let allowed = super::pod::Allowed::of(features, kind, old);
            super::pod::template(at(new, &["template"]), allowed, &Path::new("template"))
        }
        "LimitRange" => limit_range::check(new),
        "ResourceQuota" => quota::check(old, new),
        "ServiceAccount" => ErrorList::new(),
        _ => return None,
    })
}

fn config_map(old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut total = 0;
    for (field, other) in [("data", "binaryData"), ("binaryData", "data")] {
        for (key, value) in at(new, &[field]).as_object().into_iter().flatten() {
            let path = Path::new(field).key(key);
            errors.extend(texts(&path, key, names::config_map_key(key)));
            if field == "data" && at(new, &[other]).get(key).is_some() {
                errors.push(Error::invalid(
                    &path,
                    key.as_str(),
                    "duplicate of key present in binaryData",
                ));
            }
            total += if field == "data" {
                value.as_str().map_or(0, str::len)
            } else {
                decoded(value).len()
            };
        }
    }
    if total > MAX_DATA {
        errors.push(Error::too_long(&Path::new("[]"), MAX_DATA));
    }
    errors.extend(unchanged_if_immutable(old, new, &["data", "binaryData"]));
    errors
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default()
}

/// An object that was made immutable stays as it is.
fn unchanged_if_immutable(old: Option<&Value>, new: &Value, fields: &[&str]) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(old) = old.filter(|old| at(old, &["immutable"]) == &Value::Bool(true)) else {
        return errors;
    };
    if at(new, &["immutable"]) != &Value::Bool(true) {
        errors.push(Error::forbidden(
            &Path::new("immutable"),
            "field is immutable when `immutable` is set",
        ));
    }
    for field in fields {
        if at(old, &[field]) != at(new, &[field]) {
            errors.push(Error::forbidden(
                &Path::new(field),
                "field is immutable when `immutable` is set",
            ));
        }
    }
    errors
}

fn secret(old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors: ErrorList = old
        .and_then(|old| shared::immutable(&Path::new("type"), at(old, &["type"]), at(new, &["type"])))
        .into_iter()
        .collect();
    errors.extend(unchanged_if_immutable(old, new, &["data"]));
    let path = Path::new("data");
    let data = at(new, &["data"]);
    let mut total = 0;
    for (key, value) in data.as_object().into_iter().flatten() {
        errors.extend(texts(&path.key(key), key, names::config_map_key(key)));
        total += decoded(value).len();
    }
    if total > MAX_DATA {
        errors.push(Error::too_long(&path, MAX_DATA));
    }
    let needs = |errors: &mut ErrorList, key: &str| {
        if data.get(key).is_none() {
            errors.push(Error::required(&path.key(key), ""));
        }
    };
    match text(new, &["type"]) {
        "kubernetes.io/service-account-token"
            if meta::annotation(new, "kubernetes.io/service-account.name")
                .unwrap_or("")
                .is_empty() =>
        {
            errors.push(Error::required(
                &Path::new("metadata.annotations").key("kubernetes.io/service-account.name"),
                "",
            ));
        }
        "kubernetes.io/dockercfg" => json_data(data, ".dockercfg", &path, &mut errors),
        "kubernetes.io/dockerconfigjson" => json_data(data, ".dockerconfigjson", &path, &mut errors),
        "kubernetes.io/basic-auth" if data.get("username").is_none() && data.get("password").is_none() => {
            needs(&mut errors, "username");
            needs(&mut errors, "password");
        }
        "kubernetes.io/ssh-auth" if is_zero(data.get("ssh-privatekey")) => {
            errors.push(Error::required(&path.key("ssh-privatekey"), ""))
        }
        "kubernetes.io/tls" => {
            needs(&mut errors, "tls.crt");
            needs(&mut errors, "tls.key");
        }
        _ => {}
    }
    errors
}

fn json_data(data: &Value, key: &str, path: &Path, errors: &mut ErrorList) {
    match data.get(key) {
        None => errors.push(Error::required(&path.key(key), "")),
        Some(value) => {
            let why = match apimachinery::json::parse(&decoded(value)) {
                Ok(found) => no_map(&found.value),
                Err(error) => Some(error.to_string()),
            };
            errors.extend(why.map(|why| Error::invalid(&path.key(key), "<secret contents redacted>", why)));
        }
    }
}

/// Why Go reads no map from a value; from `null` it reads none, which is fine.
fn no_map(value: &Value) -> Option<String> {
    let kind = match value {
        Value::Null | Value::Object(_) => return None,
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
    };
    Some(format!(
        "json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
    ))
}

/// Finalizers of a namespace's spec, which are checked where they can be set.
pub(super) fn finalizers(namespace: &Value, path: impl Fn(usize) -> Path) -> ErrorList {
    list(namespace, &["spec", "finalizers"])
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
        .flat_map(|(index, finalizer)| super::metadata::finalizer(finalizer, &path(index)))
        .collect()
}

fn node(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("metadata.taints");
    let mut seen = std::collections::HashSet::new();
    for (index, taint) in list(new, &["spec", "taints"]).iter().enumerate() {
        let path = path.index(index);
        let (key, value) = (text(taint, &["key"]), text(taint, &["value"]));
        errors.extend(texts(&path.child("key"), key, names::qualified_name(key)));
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            errors.push(Error::invalid(&path.child("value"), value, wrong.join(";")));
        }
        match text(taint, &["effect"]) {
            "" => errors.push(Error::required(&path.child("effect"), "")),
            _ => errors.extend(one_of(
                &path.child("effect"),
                at(taint, &["effect"]),
                &["NoSchedule", "PreferNoSchedule", "NoExecute"],
            )),
        }
        if !seen.insert((key, text(taint, &["effect"]))) {
            errors.push(Error {
                detail: "taints must be unique by key and effect pair".into(),
                ..Error::duplicate(&path, internal::shown(internal::TAINT, taint))
            });
        }
    }
    if old.is_some() {
        // Upstream checks taints twice in an update, and its causes repeat accordingly.
        errors.extend(errors.clone());
    }
    let spec = Path::new("spec");
    let before = old.map_or(&[][..], |old| list(old, &["spec", "podCIDRs"])).iter();
    let rules = Addresses::new(features).keeping(before.filter_map(Value::as_str));
    for (index, cidr) in list(new, &["spec", "podCIDRs"])
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        errors.extend(rules.cidr(&spec.child("podCIDRs").index(index), cidr));
    }
    errors.extend(one_range_per_family(
        list(new, &["spec", "podCIDRs"]),
        &spec.child("podCIDRs"),
    ));
    let amounts = node_amounts(new);
    errors.extend(amounts.clone());
    if let Some(old) = old {
        errors.extend(amounts);
        errors.extend(node_addresses(new));
        let (before, after) = (list(old, &["spec", "podCIDRs"]), list(new, &["spec", "podCIDRs"]));
        let changes = if before.len() == after.len() {
            before.iter().zip(after).filter(|(old, new)| old != new).count()
        } else {
            usize::from(!before.is_empty())
        };
        let change = Error::forbidden(
            &spec.child("podCIDRs"),
            "node updates may not change podCIDR except from \"\" to valid",
        );
        errors.extend(std::iter::repeat_n(change, changes));
        let (before, after) = (
            text(old, &["spec", "providerID"]),
            text(new, &["spec", "providerID"]),
        );
        if !before.is_empty() && before != after {
            errors.push(Error::forbidden(
                &spec.child("providerID"),
                "node updates may not change providerID except from \"\" to valid",
            ));
        }
        if text(old, &["spec", "externalID"]) != text(new, &["spec", "externalID"]) {
            errors.push(Error::forbidden(&spec.child("externalID"), "may not be updated"));
        }
    }
    errors
}

/// Amounts in a node's status, which are checked in every write.
fn node_amounts(node: &Value) -> ErrorList {
    ["capacity", "allocatable"]
        .iter()
        .flat_map(|field| {
            let path = Path::new("status").child(field);
            let amounts = at(node, &["status", field]).as_object().into_iter().flatten();
            amounts
                .flat_map(move |(name, quantity)| shared::resource_amount(&path.child(name), name, quantity))
        })
        .collect()
}

fn node_addresses(node: &Value) -> ErrorList {
    let addresses = list(node, &["status", "addresses"]);
    let path = Path::new("status.addresses");
    let twice = |index: &usize| addresses[..*index].contains(&addresses[*index]);
    (0..addresses.len())
        .filter(twice)
        .map(|index| Error::duplicate(&path.index(index), &addresses[index]))
        .collect()
}

/// A node's status, changed through its own endpoint.
pub(super) fn node_status(node: &Value) -> ErrorList {
    let mut errors = node_amounts(node);
    errors.extend(node_addresses(node));
    errors
}

/// Several ranges must be a pair, one of each family.
fn one_range_per_family(ranges: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if ranges.len() < 2 {
        return errors;
    }
    let mut families = Vec::new();
    for (index, range) in ranges.iter().filter_map(Value::as_str).enumerate() {
        match addresses::cidr(range) {
            Some(range) => families.push(range.value.addr().is_ipv6()),
            None => {
                let why = format!(
                    "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{index}]: <nil> (invalid CIDR address: {range})"
                );
                errors.push(Error::internal(path, why));
                families.clear();
                break;
            }
        }
    }
    let both = families.contains(&true) && families.contains(&false);
    if !both || ranges.len() > 2 {
        errors.push(Error::invalid(
            path,
            Value::from(ranges),
            "may specify no more than one CIDR for each IP family",
        ));
    }
    errors
}

fn endpoints(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let errors = subsets(new, &Addresses::new(features));
    // What was stored under older rules may stay while nothing in it changes; comparing is only worth it then.
    let same = |old: &Value| at(old, &["subsets"]) == at(new, &["subsets"]);
    if errors.is_empty() || old.is_some_and(same) {
        return ErrorList::new();
    }
    errors
}

fn subsets(new: &Value, rules: &Addresses<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, subset) in list(new, &["subsets"]).iter().enumerate() {
        let path = Path::new("subsets").index(index);
        if list(subset, &["addresses"]).is_empty() && list(subset, &["notReadyAddresses"]).is_empty() {
            errors.push(Error::required(
                &path,
                "must specify `addresses` or `notReadyAddresses`",
            ));
        }
        for field in ["addresses", "notReadyAddresses"] {
            for (index, address) in list(subset, &[field]).iter().enumerate() {
                errors.extend(address_of(address, rules, &path.child(field).index(index)));
            }
        }
        let several = list(subset, &["ports"]).len() > 1;
        for (index, port) in list(subset, &["ports"]).iter().enumerate() {
            let path = path.child("ports").index(index);
            let name = text(port, &["name"]);
            if several && name.is_empty() {
                errors.push(Error::required(&path.child("name"), ""));
            } else if !name.is_empty() {
                errors.extend(texts(&path.child("name"), name, names::dns1123_label(name)));
            }
            errors.extend(shared::port(&path.child("port"), at(port, &["port"])));
            errors.extend(one_of(
                &path.child("protocol"),
                at(port, &["protocol"]),
                &["SCTP", "TCP", "UDP"],
            ));
            if let Some(protocol) = at(port, &["appProtocol"]).as_str() {
                errors.extend(texts(
                    &path.child("appProtocol"),
                    protocol,
                    names::qualified_name(protocol),
                ));
            }
        }
    }
    errors
}

fn address_of(address: &Value, rules: &Addresses<'_>, path: &Path) -> ErrorList {
    let ip = text(address, &["ip"]);
    let mut errors: ErrorList = rules.ip(&path.child("ip"), ip).into_iter().collect();
    let host = text(address, &["hostname"]);
    if !host.is_empty() {
        errors.extend(texts(&path.child("hostname"), host, names::dns1123_label(host)));
    }
    if let Some(node) = at(address, &["nodeName"]).as_str() {
        errors.extend(texts(
            &path.child("nodeName"),
            node,
            names::dns1123_subdomain(node),
        ));
    }
    if !errors.is_empty() && addresses::ip(ip).is_none() {
        errors.push(Error::invalid(
            &path.child("ip"),
            ip,
            "must be a valid IP address",
        ));
    }
    errors.extend(service::non_special_ip(ip, &path.child("ip")));
    errors
}

#[cfg(test)]
mod tests;
