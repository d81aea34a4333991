//! Addresses of services, and the families that they are of.
use crate::validate::shared::{self, maybe_one_of, one_of, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

const FAMILIES: &[&str] = &["IPv4", "IPv6"];
const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];

/// What the client wants of addresses, as far as it can be seen without knowing which there are.
pub(super) fn check(spec: &Value, is_new: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if text(spec, &["type"]) == "ExternalName" {
        return errors;
    }
    let own = path.child("clusterIPs");
    let (first, all) = (text(spec, &["clusterIP"]), list(spec, &["clusterIPs"]));
    let mut wanted: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
    if is_new && !all.is_empty() {
        if first.is_empty() {
            errors.push(Error::invalid(
                &own,
                Value::from(all),
                "must be empty when `clusterIP` is not specified",
            ));
        } else if wanted.first() != Some(&first) {
            errors.push(Error::invalid(
                &own,
                Value::from(all),
                "first value must match `clusterIP`",
            ));
        }
    }
    if wanted.is_empty() && !first.is_empty() {
        wanted.push(first);
    }
    let families: Vec<&str> = list(spec, &["ipFamilies"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut seen = HashSet::new();
    for (index, family) in families.iter().enumerate() {
        let path = path.child("ipFamilies").index(index);
        errors.extend(one_of(&path, &Value::from(*family), FAMILIES));
        if !seen.insert(family) {
            errors.push(Error::duplicate(&path, *family));
        }
    }
    errors.extend(maybe_one_of(
        &path.child("ipFamilyPolicy"),
        at(spec, &["ipFamilyPolicy"]),
        POLICIES,
    ));
    // A change of addresses is judged with the old ones at hand.
    if is_new {
        errors.extend(each(&wanted, &families, &own));
    }
    errors
}

fn each(wanted: &[&str], families: &[&str], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let shown = || Value::from(wanted.to_vec());
    let mut wrong = false;
    for (index, address) in wanted.iter().enumerate() {
        if index == 0 && *address == "None" {
            if wanted.len() > 1 {
                wrong = true;
                errors.push(Error::invalid(
                    path,
                    shown(),
                    "'None' must be the first and only value",
                ));
            }
            continue;
        }
        let error = shared::ip(&path.index(index), address);
        wrong |= error.is_some();
        errors.extend(error);
    }
    if wanted.len() > 2 {
        errors.push(Error::invalid(path, shown(), "may only hold up to 2 values"));
    }
    if wrong {
        return errors;
    }
    let v6 = |address: &str| address.contains(':');
    if wanted.len() > 1 && wanted.iter().all(|address| v6(address) == v6(wanted[0])) {
        errors.push(Error::invalid(
            path,
            shown(),
            "may specify no more than one IP for each IP family",
        ));
    }
    for (index, (address, family)) in wanted.iter().zip(families).enumerate() {
        let fits = *address == "None" || v6(address) == (*family == "IPv6");
        if !fits && FAMILIES.contains(family) {
            errors.push(Error::invalid(
                &path.index(index),
                *address,
                format!("expected an {family} value as indicated by `ipFamilies[{index}]`"),
            ));
        }
    }
    errors
}

/// Where a balancer can be reached, of a service or, without modes, of an ingress.
pub(in crate::validate) fn balancer_status(object: &Value, with_modes: bool) -> ErrorList {
    let path = Path::new("status.loadBalancer.ingress");
    let ingress = list(object, &["status", "loadBalancer", "ingress"]);
    if with_modes && !ingress.is_empty() && text(object, &["spec", "type"]) != "LoadBalancer" {
        return vec![Error::forbidden(
            &path,
            "may only be used when `spec.type` is 'LoadBalancer'",
        )];
    }
    let mut errors = ErrorList::new();
    for (index, entry) in ingress.iter().enumerate() {
        let path = path.index(index);
        let (ip, host) = (text(entry, &["ip"]), text(entry, &["hostname"]));
        if !ip.is_empty() {
            errors.extend(shared::ip(&path.child("ip"), ip));
        }
        if with_modes {
            errors.extend(mode(at(entry, &["ipMode"]), ip, &path.child("ipMode")));
        }
        if !host.is_empty() {
            let path = path.child("hostname");
            errors.extend(texts(&path, host, names::dns1123_subdomain(host)));
            if host.parse::<std::net::IpAddr>().is_ok() {
                errors.push(Error::invalid(
                    &path,
                    host,
                    "must be a DNS name, not an IP address",
                ));
            }
        }
    }
    errors
}

fn mode(mode: &Value, ip: &str, path: &Path) -> Option<Error> {
    match (mode.is_null(), ip.is_empty()) {
        (true, false) => Some(Error::required(path, "must be specified when `ip` is set")),
        (false, true) => Some(Error::forbidden(
            path,
            "may not be specified when `ip` is not set",
        )),
        _ => maybe_one_of(path, mode, &["Proxy", "VIP"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_are_of_their_families() {
        for (spec, wrong) in [
            (json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}), ""),
            (json!({"clusterIP": "None", "ipFamilies": ["IPv6", "IPv4"]}), ""),
            (
                json!({"clusterIPs": ["10.0.0.1"]}),
                "spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: must be empty when `clusterIP` is not specified",
            ),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]}),
                "spec.clusterIPs: Invalid value: [\"10.0.0.1\",\"10.0.0.2\"]: may specify no more than one IP for each IP family",
            ),
            (
                json!({"clusterIP": "10.0.0.1", "ipFamilies": ["IPv6"]}),
                "spec.clusterIPs[0]: Invalid value: \"10.0.0.1\": expected an IPv6 value as indicated by `ipFamilies[0]`",
            ),
            (
                json!({"ipFamilies": ["IPv4", "IPv4"]}),
                "spec.ipFamilies[1]: Duplicate value: \"IPv4\"",
            ),
            (
                json!({"ipFamilyPolicy": "Odd"}),
                "spec.ipFamilyPolicy: Unsupported value: \"Odd\": supported values: \"PreferDualStack\", \"RequireDualStack\", \"SingleStack\"",
            ),
        ] {
            let found: Vec<String> = check(&spec, true, &Path::new("spec"))
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found.join("; "), wrong, "{spec}");
        }
    }
}
