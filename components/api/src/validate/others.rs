//! Validation of leases, slices and signing requests.
use super::addresses::Addresses;
use super::shared::{self, immutable, one_of, texts};
use crate::addresses::is_ipv6;
use crate::features::Features;
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// An endpoint is meant for this many zones, and this many nodes.
const MAX_HINTS: usize = 8;

/// These kinds, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value, features: Features) -> Option<ErrorList> {
    Some(match kind {
        "Lease" => lease(new),
        "EndpointSlice" => endpoint_slice(old, new, features),
        "CertificateSigningRequest" => signing_request(old, new),
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
    errors
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
    let endpoints = slice_endpoints(kind, new, &Addresses::new(features));
    // What was stored under older rules may stay while nothing in it changes; comparing is only worth it then.
    let same = |old: &Value| at(old, &["endpoints"]) == at(new, &["endpoints"]);
    if !endpoints.is_empty() && !old.is_some_and(same) {
        errors.extend(endpoints);
    }
    errors.extend(slice_ports(new));
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
    if endpoints.len() > 1000 {
        errors.push(Error::too_many(&Path::new("endpoints"), endpoints.len(), 1000));
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
        } else if addresses.len() > 100 {
            errors.push(Error::too_many(&addresses_path, addresses.len(), 100));
        }
        for (index, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
            errors.extend(slice_address(kind, address, rules, &addresses_path.index(index)));
        }
        for (field, check) in [
            ("nodeName", names::dns1123_subdomain as fn(&str) -> Vec<String>),
            ("hostname", names::dns1123_label),
        ] {
            if let Some(name) = at(endpoint, &[field]).as_str() {
                errors.extend(texts(&path.child(field), name, check(name)));
            }
        }
        let hints = path.child("hints");
        errors.extend(hinted(endpoint, "forZones", names::label_value, &hints));
        errors.extend(hinted(endpoint, "forNodes", names::dns1123_subdomain, &hints));
        for (key, value) in at(endpoint, &["deprecatedTopology"])
            .as_object()
            .into_iter()
            .flatten()
        {
            errors.extend(texts(
                &path.child("deprecatedTopology").key(key),
                value.as_str().unwrap_or(""),
                names::label_value(value.as_str().unwrap_or("")),
            ));
        }
    }
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
        "FQDN" => {
            let bare = address.trim_end_matches('.');
            if bare.is_empty() {
                vec![Error::required(path, "")]
            } else {
                texts(path, address, names::dns1123_subdomain(bare))
            }
        }
        _ => ErrorList::new(),
    }
}

fn slice_ports(slice: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = std::collections::HashSet::new();
    for (index, port) in list(slice, &["ports"]).iter().enumerate() {
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

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

fn signing_request(old: Option<&Value>, new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    let mut errors = ErrorList::new();
    if old.is_none() {
        let request = STANDARD.decode(text(spec, &["request"])).unwrap_or_default();
        if !String::from_utf8_lossy(&request).contains("-----BEGIN CERTIFICATE REQUEST-----") {
            errors.push(Error::invalid(
                &path.child("request"),
                at(spec, &["request"]),
                "PEM block type must be CERTIFICATE REQUEST",
            ));
        } else if let Err(reason) = parse_request(&request) {
            errors.push(Error::invalid(
                &path.child("request"),
                at(spec, &["request"]),
                reason,
            ));
        }
    }
    let usages = list(spec, &["usages"]);
    if usages.is_empty() {
        errors.push(Error::required(&path.child("usages"), ""));
    }
    let mut seen = std::collections::HashSet::new();
    for (index, usage) in usages.iter().enumerate() {
        errors.extend(one_of(&path.child("usages").index(index), usage, USAGES));
        if !seen.insert(usage.as_str()) {
            errors.push(Error::duplicate(&path.child("usages").index(index), usage));
        }
    }
    errors.extend(signer_name(
        text(spec, &["signerName"]),
        &path.child("signerName"),
    ));
    if let Some(seconds) = int(spec, &["expirationSeconds"]).filter(|seconds| *seconds < 600) {
        errors.push(Error::invalid(
            &path.child("expirationSeconds"),
            seconds,
            "may not specify a duration less than 600 seconds (10 minutes)",
        ));
    }
    if let Some(old) = old {
        let kept: Vec<&Value> = list(old, &["status", "conditions"]).iter().collect();
        let has = |conditions: &[Value], kind: &str| {
            conditions
                .iter()
                .any(|condition| text(condition, &["type"]) == kind)
        };
        for kind in ["Approved", "Denied", "Failed"] {
            if kept.iter().any(|condition| text(condition, &["type"]) == kind)
                && !has(list(new, &["status", "conditions"]), kind)
            {
                errors.push(Error::forbidden(
                    &Path::new("status.conditions"),
                    format!("updates may not remove a condition of type {kind:?}"),
                ));
            }
        }
        if has(list(new, &["status", "conditions"]), "Approved")
            && has(list(new, &["status", "conditions"]), "Denied")
        {
            errors.push(Error::invalid(
                &Path::new("status.conditions"),
                "Denied",
                "Approved and Denied conditions are mutually exclusive",
            ));
        }
    }
    errors
}

/// A well-formed PKCS#10 request whose signature holds.
fn parse_request(pem: &[u8]) -> Result<(), String> {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer;
    let (_, block) = x509_parser::pem::parse_x509_pem(pem)
        .map_err(|_| "PEM block type must be CERTIFICATE REQUEST".to_owned())?;
    X509CertificationRequest::from_der(&block.contents)
        .map(|_| ())
        .map_err(|_| "asn1: structure error".to_owned())
}

/// `example.com/signer-name`.
pub(super) fn signer_name(name: &str, path: &Path) -> ErrorList {
    const FORM: &str = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let Some((domain, rest)) = name.split_once('/') else {
        return vec![Error::invalid(path, name, FORM)];
    };
    let mut errors = texts(path, domain, names::dns1123_subdomain(domain));
    if domain.split('.').count() < 2 {
        errors.push(Error::invalid(
            path,
            domain,
            "should be a domain with at least two segments separated by dots",
        ));
    }
    for part in rest.split('.') {
        errors.extend(texts(path, part, names::dns1123_label(part)).into_iter().take(1));
    }
    if name.len() > 571 {
        errors.push(Error::too_long(path, 571));
    }
    errors
}
