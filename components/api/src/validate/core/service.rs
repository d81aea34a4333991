mod addresses;
mod annotations;

use crate::features::{Feature, Features};
use crate::validate::addresses::Addresses;
use crate::validate::internal;
use crate::validate::shared::{self, maybe_one_of, one_of, port_or_name, set_to_one_of, texts};
use crate::value::{at, is_zero, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;
use std::net::IpAddr;

pub(in crate::validate) use addresses::balancer_status;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

pub(super) fn check(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    let kind = text(spec, &["type"]);
    // Addresses are given out before the rest is looked at, so what is wrong with them is told alone.
    let before = |field: &[&str]| {
        let kept = old.map_or(&[][..], |old| list(old, field)).iter();
        Addresses::new(features).keeping(kept.filter_map(Value::as_str).map(str::trim))
    };
    let mut errors = addresses::check(spec, &before(&["spec", "clusterIPs"]), &path);
    if !errors.is_empty() {
        return errors;
    }
    if let Some(old) = old {
        errors.extend(addresses::changes(at(old, &["spec"]), spec, &path));
        errors.extend(balancer_class(spec, Some(old), &path.child("loadBalancerClass")));
        errors.extend(health_port_change(at(old, &["spec"]), spec, &path));
    }
    errors.extend(annotations::topology(new));
    let ports = list(spec, &["ports"]);
    if ports.is_empty() && text(spec, &["clusterIP"]) != "None" && kind != "ExternalName" {
        errors.push(Error::required(&path.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" if text(spec, &["clusterIP"]) == "None" => {
            errors.push(Error::invalid(
                &path.child("clusterIPs").index(0),
                "None",
                "may not be set to 'None' for LoadBalancer services",
            ));
        }
        "NodePort" if text(spec, &["clusterIP"]) == "None" => errors.push(Error::invalid(
            &path.child("clusterIPs").index(0),
            "None",
            "may not be set to 'None' for NodePort services",
        )),
        "ExternalName" => {
            for (field, shown) in [
                ("clusterIP", "clusterIPs"),
                ("ipFamilies", "ipFamilies"),
                ("ipFamilyPolicy", "ipFamilyPolicy"),
            ] {
                if !is_zero(Some(at(spec, &[field]))) {
                    errors.push(Error::forbidden(
                        &path.child(shown),
                        "may not be set for ExternalName services",
                    ));
                }
            }
            let name = text(spec, &["externalName"]);
            let name = name.strip_suffix('.').unwrap_or(name);
            if name.is_empty() {
                errors.push(Error::required(&path.child("externalName"), ""));
            } else {
                errors.extend(texts(
                    &path.child("externalName"),
                    name,
                    names::dns1123_subdomain(name),
                ));
            }
        }
        _ => {}
    }
    let mut seen = HashSet::new();
    for (index, item) in ports.iter().enumerate() {
        errors.extend(port(
            item,
            ports.len() > 1,
            &mut seen,
            &path.child("ports").index(index),
        ));
    }
    errors.extend(crate::validate::metadata::labels(
        at(spec, &["selector"]),
        &path.child("selector"),
    ));
    errors.extend(set_to_one_of(
        &path.child("sessionAffinity"),
        at(spec, &["sessionAffinity"]),
        &["ClientIP", "None"],
    ));
    if text(spec, &["sessionAffinity"]) == "ClientIP"
        && let Some(seconds) = at(spec, &["sessionAffinityConfig", "clientIP", "timeoutSeconds"])
            .as_i64()
            .filter(|seconds| *seconds <= 0 || *seconds > 86400)
    {
        errors.push(Error::invalid(
            &path.child("sessionAffinityConfig.clientIP.timeoutSeconds"),
            seconds,
            "must be greater than 0 and less than 86400",
        ));
    }
    let external = before(&["spec", "externalIPs"]);
    for (index, ip) in list(spec, &["externalIPs"])
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        let path = path.child("externalIPs").index(index);
        match external.ip(&path, ip) {
            Some(error) => errors.push(error),
            None => errors.extend(non_special_ip(ip, &path)),
        }
    }
    errors.extend(set_to_one_of(&path.child("type"), at(spec, &["type"]), TYPES));
    errors.extend(conflicts(ports, kind, &path.child("ports")));
    let ranges = list(spec, &["loadBalancerSourceRanges"]);
    if !ranges.is_empty() && kind != "LoadBalancer" {
        errors.push(Error::forbidden(
            &path.child("LoadBalancerSourceRanges"),
            "may only be used when `type` is 'LoadBalancer'",
        ));
    }
    let sources = before(&["spec", "loadBalancerSourceRanges"]);
    for (index, range) in ranges.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(sources.cidr(&path.child("LoadBalancerSourceRanges").index(index), range.trim()));
    }
    if ranges.is_empty() {
        errors.extend(annotations::ranges(old, new, kind, features));
    }
    if kind != "LoadBalancer" && !at(spec, &["allocateLoadBalancerNodePorts"]).is_null() {
        errors.push(Error::forbidden(
            &path.child("allocateLoadBalancerNodePorts"),
            "may only be used when `type` is 'LoadBalancer'",
        ));
    }
    errors.extend(balancer_class(spec, None, &path.child("loadBalancerClass")));
    errors.extend(traffic(spec, kind, &path));
    errors.extend(distribution(spec, features, &path.child("trafficDistribution")));
    errors
}

/// What is wrong with the addresses that a service wants, whatever the rest of it is like.
pub fn addresses(service: &Value) -> ErrorList {
    // How they are written is told with the rest.
    let rules = Addresses::strict(false);
    addresses::check(at(service, &["spec"]), &rules, &Path::new("spec"))
}

/// Which implementation balances: chosen once, while the service is balanced at all.
fn balancer_class(spec: &Value, old: Option<&Value>, path: &Path) -> ErrorList {
    let class = at(spec, &["loadBalancerClass"]);
    let mut errors = ErrorList::new();
    let balanced = text(spec, &["type"]) == "LoadBalancer";
    if let Some(old) = old.filter(|old| balanced && text(old, &["spec", "type"]) == "LoadBalancer")
        && at(old, &["spec", "loadBalancerClass"]) != class
    {
        errors.push(Error::invalid(path, class, "may not change once set"));
    }
    match class.as_str() {
        Some(name) if balanced => errors.extend(texts(path, name, names::qualified_name(name))),
        Some(_) => errors.push(Error::forbidden(
            path,
            "may only be used when `type` is 'LoadBalancer'",
        )),
        None => {}
    }
    errors
}

fn port<'a>(port: &'a Value, named: bool, seen: &mut HashSet<&'a str>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = text(port, &["name"]);
    if name.is_empty() {
        if named {
            errors.push(Error::required(&path.child("name"), ""));
        }
    } else {
        errors.extend(texts(&path.child("name"), name, names::dns1123_label(name)));
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
    errors.extend(shared::port(&path.child("port"), at(port, &["port"])));
    errors.extend(set_to_one_of(
        &path.child("protocol"),
        at(port, &["protocol"]),
        &["SCTP", "TCP", "UDP"],
    ));
    errors.extend(port_or_name(&path.child("targetPort"), at(port, &["targetPort"])));
    if let Some(protocol) = at(port, &["appProtocol"]).as_str() {
        errors.extend(texts(
            &path.child("appProtocol"),
            protocol,
            names::qualified_name(protocol),
        ));
    }
    errors
}

fn conflicts(ports: &[Value], kind: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if kind == "ClusterIP" {
        for (index, port) in ports.iter().enumerate() {
            if at(port, &["nodePort"]).as_i64().unwrap_or(0) != 0 {
                errors.push(Error::forbidden(
                    &path.index(index).child("nodePort"),
                    "may not be used when `type` is 'ClusterIP'",
                ));
            }
        }
    }
    let mut seen = HashSet::new();
    let mut nodes = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let (number, protocol) = (
            at(port, &["port"]).as_i64().unwrap_or(0),
            text(port, &["protocol"]),
        );
        let node = at(port, &["nodePort"]).as_i64().unwrap_or(0);
        if node != 0 && !nodes.insert((node, protocol)) {
            errors.push(Error::duplicate(&path.index(index).child("nodePort"), node));
        }
        if !seen.insert((number, protocol)) {
            errors.push(Error::duplicate(
                &path.index(index),
                internal::shown(
                    internal::SERVICE_PORT,
                    &serde_json::json!({"protocol": protocol, "port": number}),
                ),
            ));
        }
    }
    errors
}

fn traffic(spec: &Value, kind: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let external = at(spec, &["externalTrafficPolicy"]);
    let outside = matches!(kind, "NodePort" | "LoadBalancer")
        || (kind == "ClusterIP" && !list(spec, &["externalIPs"]).is_empty());
    if outside {
        errors.extend(set_to_one_of(
            &path.child("externalTrafficPolicy"),
            external,
            &["Cluster", "Local"],
        ));
    } else if !is_zero(Some(external)) {
        errors.push(Error::invalid(
            &path.child("externalTrafficPolicy"),
            external,
            "may only be set for externally-accessible services",
        ));
    }
    errors.extend(health_port(spec, kind, path));
    errors.extend(maybe_one_of(
        &path.child("internalTrafficPolicy"),
        at(spec, &["internalTrafficPolicy"]),
        &["Cluster", "Local"],
    ));
    errors
}

/// Which endpoints traffic goes to first.
fn distribution(spec: &Value, features: Features, path: &Path) -> Option<Error> {
    let given = at(spec, &["trafficDistribution"]);
    let known: &[&str] = if features.has(Feature::PreferSameTrafficDistribution) {
        &["PreferClose", "PreferSameZone", "PreferSameNode"]
    } else {
        &["PreferClose"]
    };
    given.as_str().and_then(|_| one_of(path, given, known))
}

/// Whether nodes say on a port of their own which of them have endpoints.
fn is_checked(spec: &Value) -> bool {
    text(spec, &["type"]) == "LoadBalancer" && text(spec, &["externalTrafficPolicy"]) == "Local"
}

fn health_port(spec: &Value, kind: &str, path: &Path) -> Option<Error> {
    let path = path.child("healthCheckNodePort");
    let port = at(spec, &["healthCheckNodePort"])
        .as_i64()
        .filter(|port| *port != 0)?;
    if kind != "LoadBalancer" || !is_checked(spec) {
        return Some(Error::invalid(
            &path,
            port,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        ));
    }
    shared::port(&path, &Value::from(port))
}

fn health_port_change(old: &Value, new: &Value, path: &Path) -> Option<Error> {
    let port = |spec: &Value| at(spec, &["healthCheckNodePort"]).as_i64().unwrap_or(0);
    (is_checked(old) && is_checked(new) && port(old) != 0 && port(old) != port(new))
        .then(|| Error::forbidden(&path.child("healthCheckNodePort"), "field is immutable"))
}

/// Addresses that traffic can't be sent to.
pub(in crate::validate) fn non_special_ip(text: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(ip) = crate::addresses::ip(text).map(|address| address.value.to_canonical()) else {
        return errors;
    };
    let (link_local, link_local_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (
            ip.segments()[0] & 0xffc0 == 0xfe80,
            ip.segments()[0] & 0xff0f == 0xff02,
        ),
    };
    for (special, message) in [
        (ip.is_unspecified(), format!("may not be unspecified ({text})")),
        (
            ip.is_loopback(),
            "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        ),
        (
            link_local,
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned(),
        ),
        (
            link_local_multicast,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned(),
        ),
    ] {
        if special {
            errors.push(Error::invalid(path, text, message));
        }
    }
    errors
}
