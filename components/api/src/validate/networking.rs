//! Validation of network policies, ingresses and addresses.
mod ingress;

use super::addresses::{Addresses, canonical_cidr};
use super::internal;
use super::shared::{self, label_selector, label_selector_with, one_of, port_or_name, texts};
use crate::addresses;
use crate::features::Features;
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::{Value, json};

/// These kinds, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value, features: Features) -> Option<ErrorList> {
    Some(match kind {
        "NetworkPolicy" => {
            let before = old.into_iter().flat_map(|old| blocks(at(old, &["spec"])));
            let rules = Addresses::new(features).keeping(before);
            // Only the main selector tells whether values that are no labels' may stay.
            let any_values = old.is_some_and(|old| {
                !label_selector(&Path::root(), at(old, &["spec", "podSelector"])).is_empty()
            });
            network_policy(at(new, &["spec"]), &rules, any_values, &Path::new("spec"))
        }
        "Ingress" => ingress::check(old, new, features),
        "IngressClass" => ingress::class(old, new),
        "IPAddress" => ip_address(old, new),
        "ServiceCIDR" => service_cidr(old, new),
        _ => return None,
    })
}

/// The ranges of a policy's peers.
fn blocks(spec: &Value) -> impl Iterator<Item = &str> {
    [("ingress", "from"), ("egress", "to")]
        .into_iter()
        .flat_map(|(direction, peers)| {
            list(spec, &[direction])
                .iter()
                .flat_map(move |rule| list(rule, &[peers]))
        })
        .flat_map(|peer| {
            let excepted = list(peer, &["ipBlock", "except"]).iter();
            at(peer, &["ipBlock", "cidr"])
                .as_str()
                .into_iter()
                .chain(excepted.filter_map(Value::as_str))
        })
}

fn network_policy(spec: &Value, rules: &Addresses<'_>, any_values: bool, path: &Path) -> ErrorList {
    let mut errors = label_selector_with(&path.child("podSelector"), at(spec, &["podSelector"]), any_values);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in list(spec, &[direction]).iter().enumerate() {
            let path = path.child(direction).index(index);
            for (index, port) in list(rule, &["ports"]).iter().enumerate() {
                errors.extend(policy_port(port, &path.child("ports").index(index)));
            }
            for (index, peer) in list(rule, &[peers]).iter().enumerate() {
                errors.extend(policy_peer(
                    peer,
                    rules,
                    any_values,
                    &path.child(peers).index(index),
                ));
            }
        }
    }
    let types = list(spec, &["policyTypes"]);
    if types.len() > 2 {
        errors.push(Error::invalid(
            &path.child("policyTypes"),
            Value::from(types),
            "may not specify more than two policyTypes",
        ));
        return errors;
    }
    errors.extend(types.iter().enumerate().filter_map(|(index, kind)| {
        one_of(
            &path.child("policyTypes").index(index),
            kind,
            &["Ingress", "Egress"],
        )
    }));
    errors
}

fn policy_port(port: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !at(port, &["protocol"]).is_null() {
        errors.extend(one_of(
            &path.child("protocol"),
            at(port, &["protocol"]),
            &["TCP", "UDP", "SCTP"],
        ));
    }
    let end = int(port, &["endPort"]);
    match at(port, &["port"]) {
        Value::Null => {
            if let Some(end) = end {
                errors.push(Error::invalid(
                    &path.child("endPort"),
                    end,
                    "may not be specified when `port` is not specified",
                ));
            }
        }
        Value::Number(number) => {
            errors.extend(shared::port(&path.child("port"), at(port, &["port"])));
            if let Some(end) = end {
                if end < number.as_i64().unwrap_or(0) {
                    errors.push(Error::invalid(
                        &path.child("endPort"),
                        number.as_i64().unwrap_or(0),
                        "must be greater than or equal to `port`",
                    ));
                }
                errors.extend(shared::port(&path.child("endPort"), &json!(end)));
            }
        }
        name => {
            if let Some(end) = end {
                errors.push(Error::invalid(
                    &path.child("endPort"),
                    end,
                    "may not be specified when `port` is non-numeric",
                ));
            }
            errors.extend(port_or_name(&path.child("port"), name));
        }
    }
    errors
}

fn policy_peer(peer: &Value, rules: &Addresses<'_>, any_values: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut kinds = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if at(peer, &[field]).is_object() {
            kinds += 1;
            errors.extend(label_selector_with(
                &path.child(field),
                at(peer, &[field]),
                any_values,
            ));
        }
    }
    let block = at(peer, &["ipBlock"]);
    if block.is_object() {
        errors.extend(ip_block(block, rules, &path.child("ipBlock")));
        if kinds > 0 {
            errors.push(Error::forbidden(
                path,
                "may not specify both ipBlock and another peer",
            ));
        }
    } else if kinds == 0 {
        errors.push(Error::required(path, "must specify a peer"));
    }
    errors
}

fn ip_block(block: &Value, rules: &Addresses<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let range = text(block, &["cidr"]);
    if range.is_empty() {
        return vec![Error::required(&path.child("cidr"), "")];
    }
    errors.extend(rules.cidr(&path.child("cidr"), range));
    let Some(outer) = addresses::cidr(range) else {
        return errors;
    };
    for (index, except) in list(block, &["except"])
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        let path = path.child("except").index(index);
        errors.extend(rules.cidr(&path, except));
        let within = |inner: &ipnet::IpNet| {
            outer.value.contains(&inner.network()) && inner.prefix_len() > outer.value.prefix_len()
        };
        if addresses::cidr(except).is_some_and(|inner| !within(&inner.value)) {
            errors.push(Error::invalid(&path, except, "must be a strict subset of `cidr`"));
        }
    }
    errors
}

fn ip_address(old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("spec.parentRef");
    let parent = at(new, &["spec", "parentRef"]);
    if parent.is_object() {
        let group = text(parent, &["group"]);
        if !group.is_empty() {
            errors.extend(texts(
                &path.child("group"),
                group,
                names::dns1123_subdomain(group),
            ));
        }
        for field in ["resource", "name", "namespace"] {
            match text(parent, &[field]) {
                "" if field == "namespace" => {}
                "" => errors.push(Error::required(&path.child(field), "")),
                name => errors.extend(texts(&path.child(field), name, names::path_segment_name(name))),
            }
        }
    } else {
        errors.push(Error::required(&path, ""));
    }
    if old.is_some_and(|old| at(old, &["spec", "parentRef"]) != parent) {
        errors.push(Error::invalid(
            &path,
            internal::shown_pointer(internal::PARENT_REF, parent),
            "field is immutable",
        ));
    }
    errors
}

fn service_cidr(old: Option<&Value>, new: &Value) -> ErrorList {
    let path = Path::new("spec.cidrs");
    let cidrs = list(new, &["spec", "cidrs"]);
    let mut errors = ErrorList::new();
    if let Some(old) = old {
        let before = list(old, &["spec", "cidrs"]);
        // A range of the other family may be added.
        let added = before.len() == 1 && cidrs.len() == 2;
        if before.len() != cidrs.len() && !added {
            return vec![Error::invalid(
                &path,
                at(new, &["spec", "cidrs"]),
                "field is immutable",
            )];
        }
        let pairs = before.iter().zip(cidrs).enumerate();
        for (index, (_, cidr)) in pairs.filter(|(_, (before, after))| before != after) {
            errors.push(Error::invalid(&path.index(index), cidr, "field is immutable"));
        }
        if added {
            errors.extend(ranges(cidrs, &path));
        }
        return errors;
    }
    errors.extend(ranges(cidrs, &path));
    errors
}

/// One range, or one of each family.
fn ranges(cidrs: &[Value], path: &Path) -> ErrorList {
    if cidrs.is_empty() {
        return vec![Error::required(path, "at least one CIDR required")];
    }
    if cidrs.len() > 2 {
        return vec![Error::invalid(
            path,
            serde_json::json!({ "CIDRs": cidrs }),
            "may only hold up to 2 values",
        )];
    }
    let mut errors: ErrorList = cidrs
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
        .filter_map(|(index, text)| canonical_cidr(&path.index(index), text))
        .collect();
    let family = |cidr: &Value| {
        let range = cidr.as_str()?.parse::<ipnet::IpNet>().ok()?;
        Some(range.addr().is_ipv6())
    };
    if cidrs.len() == 2 && family(&cidrs[0]).is_some() && family(&cidrs[0]) == family(&cidrs[1]) {
        errors.push(Error::invalid(
            path,
            Value::from(cidrs),
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ));
    }
    errors
}

#[cfg(test)]
mod tests;
