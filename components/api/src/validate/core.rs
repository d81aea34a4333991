//! Validation of the core group's kinds that aren't pods or storage.
mod limit_range;
mod node;
mod quota;
mod service;
#[cfg(test)]
mod tests;

pub(super) use node::change as node_change;
pub(super) use quota::amounts as quota_amounts;
pub use service::addresses as service_addresses;
pub(super) use service::{balancer_status, non_special_ip};

use super::addresses::Addresses;
use super::shared::{self, set_to_one_of, texts};
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
        "Node" => node::check(old, new, features),
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
    let mut errors = unchanged_if_immutable(old, new, &["data", "binaryData"]);
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
        // What is stored and empty isn't there, from which what is sent and empty is told apart.
        let before = Some(at(old, &[field])).filter(|map| !is_zero(Some(map)));
        let now = Some(at(new, &[field])).filter(|map| !map.is_null());
        if before != now {
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
            errors.extend(set_to_one_of(
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
