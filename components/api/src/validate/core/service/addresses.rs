//! Addresses of services, and the families that they are of.
use crate::addresses::is_ipv6;
use crate::features::Features;
use crate::validate::addresses::Addresses;
use crate::validate::shared::{maybe_one_of, one_of, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

const FAMILIES: &[&str] = &["IPv4", "IPv6"];
const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];

/// What the client wants of addresses, as far as it can be seen without knowing which there are.
pub(super) fn check(spec: &Value, rules: &Addresses<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if text(spec, &["type"]) == "ExternalName" {
        return errors;
    }
    let own = path.child("clusterIPs");
    let (first, all) = (text(spec, &["clusterIP"]), list(spec, &["clusterIPs"]));
    let wanted: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
    match (first, wanted.first()) {
        ("", Some(_)) => errors.push(Error::invalid(
            &own,
            Value::from(all),
            "must be empty when `clusterIP` is not specified",
        )),
        (first, None) if !first.is_empty() => errors.push(Error::required(&own, "")),
        (first, Some(other)) if first != *other => errors.push(Error::invalid(
            &own,
            Value::from(all),
            "first value must match `clusterIP`",
        )),
        _ => {}
    }
    let families = families(spec);
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
    errors.extend(each(&wanted, &families, rules, &own));
    errors
}

fn families(spec: &Value) -> Vec<&str> {
    list(spec, &["ipFamilies"])
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

fn is_headless(spec: &Value) -> bool {
    matches!(list(spec, &["clusterIPs"]), [one] if one == "None")
}

/// A service keeps its first address and family; a second one comes and goes with the policy.
pub(super) fn changes(old: &Value, new: &Value, path: &Path) -> ErrorList {
    let outside = |spec: &Value| text(spec, &["type"]) == "ExternalName";
    if outside(old) || outside(new) {
        return ErrorList::new();
    }
    let mut errors = ErrorList::new();
    let (was_headless, is_headless) = (is_headless(old), is_headless(new));
    if !(was_headless && is_headless) {
        errors.extend(change(old, new, "clusterIPs", "clusterIP", path));
    }
    if !was_headless && !is_headless {
        errors.extend(change(old, new, "ipFamilies", "ipFamily", path));
    }
    errors
}

fn change(old: &Value, new: &Value, field: &str, one: &str, path: &Path) -> ErrorList {
    let (before, after) = (list(old, &[field]), list(new, &[field]));
    let own = path.child(field);
    let changed =
        |index: usize| Error::invalid(&own.index(index), Value::from(after), "may not change once set");
    if before.len() == after.len() {
        let pairs = before.iter().zip(after).enumerate();
        return pairs
            .filter(|(_, (before, after))| before != after)
            // Upstream tells every changed family at the first place.
            .map(|(index, _)| changed(if field == "ipFamilies" { 0 } else { index }))
            .collect();
    }
    // Upstream looks at the addresses here, and shows them, whichever of both has changed.
    let addresses = list(new, &["clusterIPs"]);
    let mut errors = ErrorList::new();
    if before.len() > after.len() && addresses.is_empty() {
        errors.push(Error::invalid(
            &own.index(0),
            Value::from(after),
            format!("primary {one} can not be unset"),
        ));
    }
    if let (Some(before), Some(after)) = (before.first(), after.first())
        && before != after
    {
        errors.push(Error::invalid(
            &own.index(0),
            Value::from(addresses),
            "may not change once set",
        ));
    }
    if before.len() > after.len() && after.len() == 1 && text(new, &["ipFamilyPolicy"]) != "SingleStack" {
        errors.push(Error::invalid(
            &path.child("ipFamilyPolicy"),
            at(new, &["ipFamilyPolicy"]),
            format!("must be set to 'SingleStack' when releasing the secondary {one}"),
        ));
    }
    errors
}

fn each(wanted: &[&str], families: &[&str], rules: &Addresses<'_>, path: &Path) -> ErrorList {
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
        let error = rules.ip(&path.index(index), address);
        wrong |= error.is_some();
        errors.extend(error);
    }
    if wanted.len() > 2 {
        errors.push(Error::invalid(path, shown(), "may only hold up to 2 values"));
    }
    if wrong {
        return errors;
    }
    if wanted.len() > 1
        && wanted
            .iter()
            .all(|address| is_ipv6(address) == is_ipv6(wanted[0]))
    {
        errors.push(Error::invalid(
            path,
            shown(),
            "may specify no more than one IP for each IP family",
        ));
    }
    for (index, (address, family)) in wanted.iter().zip(families).enumerate() {
        let fits = *address == "None" || is_ipv6(address) == (*family == "IPv6");
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
pub(in crate::validate) fn balancer_status(
    old: &Value,
    object: &Value,
    with_modes: bool,
    features: Features,
) -> ErrorList {
    let path = Path::new("status.loadBalancer.ingress");
    let ingress = list(object, &["status", "loadBalancer", "ingress"]);
    if with_modes && !ingress.is_empty() && text(object, &["spec", "type"]) != "LoadBalancer" {
        return vec![Error::forbidden(
            &path,
            "may only be used when `spec.type` is 'LoadBalancer'",
        )];
    }
    let before = list(old, &["status", "loadBalancer", "ingress"]).iter();
    let rules = Addresses::new(features).keeping(before.map(|entry| text(entry, &["ip"])));
    let mut errors = ErrorList::new();
    for (index, entry) in ingress.iter().enumerate() {
        let path = path.index(index);
        let (ip, host) = (text(entry, &["ip"]), text(entry, &["hostname"]));
        if !ip.is_empty() {
            errors.extend(rules.ip(&path.child("ip"), ip));
        }
        if with_modes {
            errors.extend(mode(at(entry, &["ipMode"]), ip, &path.child("ipMode")));
        }
        if !host.is_empty() {
            let path = path.child("hostname");
            errors.extend(texts(&path, host, names::dns1123_subdomain(host)));
            if crate::addresses::ip(host).is_some() {
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
            (
                json!({"clusterIP": "None", "clusterIPs": ["None"], "ipFamilies": ["IPv6", "IPv4"]}),
                "",
            ),
            (
                json!({"clusterIP": "10.0.0.1"}),
                "spec.clusterIPs: Required value",
            ),
            (
                json!({"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.1"]}),
                "spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: first value must match `clusterIP`",
            ),
            (
                json!({"clusterIPs": ["10.0.0.1"]}),
                "spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: must be empty when `clusterIP` is not specified",
            ),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]}),
                "spec.clusterIPs: Invalid value: [\"10.0.0.1\",\"10.0.0.2\"]: may specify no more than one IP for each IP family",
            ),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv6"]}),
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
            let found: Vec<String> = check(&spec, &Addresses::strict(true), &Path::new("spec"))
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found.join("; "), wrong, "{spec}");
        }
    }

    #[test]
    fn the_first_address_and_family_stay() {
        let dual = json!({"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"]});
        let single = json!({"clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]});
        let headless = json!({"clusterIPs": ["None"], "ipFamilies": ["IPv4"]});
        for (old, new, wrong) in [
            (
                &single,
                json!({"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"]}),
                "",
            ),
            (&single, json!({"type": "ExternalName"}), ""),
            (
                &headless,
                json!({"clusterIPs": ["None"], "ipFamilies": ["IPv6", "IPv4"]}),
                "",
            ),
            (
                &dual,
                json!({"clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}),
                "",
            ),
            (
                &dual,
                json!({"clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"}),
                "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the secondary clusterIP",
            ),
            (
                &single,
                json!({"clusterIPs": ["10.0.0.2"], "ipFamilies": ["IPv4"]}),
                "spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set",
            ),
            (
                &single,
                json!({"clusterIPs": ["None"], "ipFamilies": ["IPv6"]}),
                "spec.clusterIPs[0]: Invalid value: [\"None\"]: may not change once set",
            ),
            (
                &single,
                json!({"ipFamilies": ["IPv4"]}),
                "spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset",
            ),
            (
                &dual,
                json!({"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv6", "IPv4"]}),
                "spec.ipFamilies[0]: Invalid value: [\"IPv6\",\"IPv4\"]: may not change once set; spec.ipFamilies[0]: Invalid value: [\"IPv6\",\"IPv4\"]: may not change once set",
            ),
        ] {
            let found: Vec<String> = changes(old, &new, &Path::new("spec"))
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found.join("; "), wrong, "{new}");
        }
    }
}
