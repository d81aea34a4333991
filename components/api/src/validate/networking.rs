//! Validation of network policies, ingresses, addresses and disruption budgets.
use super::internal;
use super::shared::{
    self, cidr, count_or_percent, label_selector, not_more_than_all, one_of, port_or_name, texts,
};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{meta, names};
use serde_json::{Value, json};

/// These kinds, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value) -> Option<ErrorList> {
    Some(match kind {
        "NetworkPolicy" => network_policy(at(new, &["spec"]), &Path::new("spec")),
        "Ingress" => ingress(at(new, &["spec"]), &Path::new("spec")),
        "IngressClass" => ingress_class(old, new),
        "IPAddress" => ip_address(old, new),
        "ServiceCIDR" => service_cidr(old, new),
        "PodDisruptionBudget" => disruption_budget(new),
        _ => return None,
    })
}

fn network_policy(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = label_selector(&path.child("podSelector"), at(spec, &["podSelector"]));
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in list(spec, &[direction]).iter().enumerate() {
            let path = path.child(direction).index(index);
            for (index, port) in list(rule, &["ports"]).iter().enumerate() {
                errors.extend(policy_port(port, &path.child("ports").index(index)));
            }
            for (index, peer) in list(rule, &[peers]).iter().enumerate() {
                errors.extend(policy_peer(peer, &path.child(peers).index(index)));
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

fn policy_peer(peer: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut kinds = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if at(peer, &[field]).is_object() {
            kinds += 1;
            errors.extend(label_selector(&path.child(field), at(peer, &[field])));
        }
    }
    let block = at(peer, &["ipBlock"]);
    if block.is_object() {
        errors.extend(ip_block(block, &path.child("ipBlock")));
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

fn ip_block(block: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let range = text(block, &["cidr"]);
    if range.is_empty() {
        return vec![Error::required(&path.child("cidr"), "")];
    }
    if let Some(error) = cidr(&path.child("cidr"), range) {
        return vec![error];
    }
    let outer: Option<ipnet::IpNet> = range.parse().ok();
    for (index, except) in list(block, &["except"])
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        let path = path.child("except").index(index);
        match (cidr(&path, except), except.parse::<ipnet::IpNet>(), outer) {
            (Some(error), ..) => errors.push(error),
            (None, Ok(inner), Some(outer))
                if !(outer.contains(&inner) && inner.prefix_len() > outer.prefix_len()) =>
            {
                errors.push(Error::invalid(&path, except, "must be a strict subset of `cidr`"))
            }
            _ => {}
        }
    }
    errors
}

fn ingress(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if list(spec, &["rules"]).is_empty() && !at(spec, &["defaultBackend"]).is_object() {
        errors.push(Error::invalid(
            path,
            at(spec, &["rules"]),
            "either `defaultBackend` or `rules` must be specified",
        ));
    }
    if at(spec, &["defaultBackend"]).is_object() {
        errors.extend(backend(
            at(spec, &["defaultBackend"]),
            &path.child("defaultBackend"),
        ));
    }
    for (index, rule) in list(spec, &["rules"]).iter().enumerate() {
        let path = path.child("rules").index(index);
        let host = text(rule, &["host"]);
        if !host.is_empty() {
            errors.extend(host_name(host, &path.child("host")));
        }
        let http = at(rule, &["http"]);
        if !http.is_object() {
            continue;
        }
        if list(http, &["paths"]).is_empty() {
            errors.push(Error::required(&path.child("http.paths"), ""));
        }
        for (index, item) in list(http, &["paths"]).iter().enumerate() {
            errors.extend(http_path(item, &path.child("http.paths").index(index)));
        }
    }
    for (index, tls) in list(spec, &["tls"]).iter().enumerate() {
        let path = path.child("tls").index(index);
        for (index, host) in list(tls, &["hosts"]).iter().filter_map(Value::as_str).enumerate() {
            errors.extend(host_name(host, &path.child("hosts").index(index)));
        }
        let secret = text(tls, &["secretName"]);
        if !secret.is_empty() {
            errors.extend(texts(
                &path.child("secretName"),
                secret,
                names::dns1123_subdomain(secret),
            ));
        }
    }
    if let Some(class) = at(spec, &["ingressClassName"]).as_str() {
        errors.extend(texts(
            &path.child("ingressClassName"),
            class,
            names::dns1123_subdomain(class),
        ));
    }
    errors
}

fn host_name(host: &str, path: &Path) -> ErrorList {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return vec![Error::invalid(
            path,
            host,
            "must be a DNS name, not an IP address",
        )];
    }
    texts(
        path,
        host,
        if host.contains('*') {
            names::wildcard_dns1123_subdomain(host)
        } else {
            names::dns1123_subdomain(host)
        },
    )
}

fn http_path(item: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let value = text(item, &["path"]);
    match at(item, &["pathType"]).as_str() {
        None => {
            return vec![Error::required(
                &path.child("pathType"),
                "pathType must be specified",
            )];
        }
        Some("Exact" | "Prefix") => {
            if !value.starts_with('/') {
                errors.push(Error::invalid(
                    &path.child("path"),
                    value,
                    "must be an absolute path",
                ));
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"] {
                if value.contains(part) {
                    errors.push(Error::invalid(
                        &path.child("path"),
                        value,
                        format!("must not contain '{part}'"),
                    ));
                }
            }
            for part in ["/..", "/."] {
                if value.ends_with(part) {
                    errors.push(Error::invalid(
                        &path.child("path"),
                        value,
                        format!("cannot end with '{part}'"),
                    ));
                }
            }
        }
        Some("ImplementationSpecific") => {
            if !value.is_empty() && !value.starts_with('/') {
                errors.push(Error::invalid(
                    &path.child("path"),
                    value,
                    "must be an absolute path",
                ));
            }
        }
        Some(other) => errors.push(Error::not_supported(
            &path.child("pathType"),
            other,
            &["Exact", "ImplementationSpecific", "Prefix"],
        )),
    }
    errors.extend(backend(at(item, &["backend"]), &path.child("backend")));
    errors
}

fn backend(backend: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (service, resource) = (at(backend, &["service"]), at(backend, &["resource"]));
    match (service.is_object(), resource.is_object()) {
        (true, true) => errors.push(Error::invalid(
            path,
            "",
            "cannot set both resource and service backends",
        )),
        (false, false) => errors.push(Error::invalid(
            path,
            "",
            "resource or service backend is required",
        )),
        (false, true) => {
            for field in ["kind", "name"] {
                if text(resource, &[field]).is_empty() {
                    errors.push(Error::required(&path.child("resource").child(field), ""));
                }
            }
        }
        (true, false) => {
            let name = text(service, &["name"]);
            let service_path = path.child("service");
            if name.is_empty() {
                errors.push(Error::required(&service_path.child("name"), ""));
            } else {
                errors.extend(texts(
                    &service_path.child("name"),
                    name,
                    names::dns1123_label(name),
                ));
            }
            let (port_name, number) = (
                text(service, &["port", "name"]),
                int(service, &["port", "number"]).unwrap_or(0),
            );
            match (port_name.is_empty(), number == 0) {
                (false, false) => errors.push(Error::invalid(
                    path,
                    "",
                    "cannot set both port name & port number",
                )),
                (true, true) => errors.push(Error::required(path, "port name or number is required")),
                (false, true) => errors.extend(texts(
                    &service_path.child("port.name"),
                    port_name,
                    names::port_name(port_name),
                )),
                (true, false) => {
                    errors.extend(shared::port(&service_path.child("port.number"), &json!(number)))
                }
            }
        }
    }
    errors
}

fn ingress_class(old: Option<&Value>, new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    let path_of_controller = path.child("controller");
    let controller = text(new, &["spec", "controller"]);
    if old.is_some_and(|old| text(old, &["spec", "controller"]) != controller) {
        errors.push(Error::invalid(
            &path_of_controller,
            controller,
            "field is immutable",
        ));
    }
    if controller.len() > 250 {
        errors.push(Error::too_long(&path_of_controller, 250));
    }
    errors.extend(shared::domain_prefixed_path(&path_of_controller, controller));
    let parameters = at(new, &["spec", "parameters"]);
    if parameters.is_object() {
        let path = path.child("parameters");
        if let Some(group) = at(parameters, &["apiGroup"]).as_str() {
            errors.extend(texts(
                &path.child("apiGroup"),
                group,
                names::dns1123_subdomain(group),
            ));
        }
        for field in ["kind", "name"] {
            if text(parameters, &[field]).is_empty() {
                errors.push(Error::required(&path.child(field), ""));
            }
        }
        let namespace = text(parameters, &["namespace"]);
        match text(parameters, &["scope"]) {
            "Namespace" if namespace.is_empty() => errors.push(Error::required(
                &path.child("namespace"),
                "`parameters.scope` is set to 'Namespace'",
            )),
            "Namespace" => errors.extend(texts(
                &path.child("namespace"),
                namespace,
                names::dns1123_label(namespace),
            )),
            "Cluster" if !namespace.is_empty() => errors.push(Error::forbidden(
                &path.child("namespace"),
                "`parameters.scope` is set to 'Cluster'",
            )),
            "Cluster" => {}
            scope => errors.push(Error::not_supported(
                &path.child("scope"),
                scope,
                &["Cluster", "Namespace"],
            )),
        }
    }
    errors
}

fn ip_address(old: Option<&Value>, new: &Value) -> ErrorList {
    let name = Some(meta::name(new)).filter(|name| !name.is_empty());
    let mut errors: ErrorList = name
        .and_then(|name| shared::ip(&Path::new("metadata.name"), name))
        .into_iter()
        .collect();
    let path = Path::new("spec.parentRef");
    let parent = at(new, &["spec", "parentRef"]);
    if parent.is_object() {
        for field in ["resource", "name"] {
            if text(parent, &[field]).is_empty() {
                errors.push(Error::required(&path.child(field), ""));
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
        if before == cidrs {
            return errors;
        }
        // A range of the other family may be added.
        if before.len() == 1 && cidrs.len() == 2 && before[0] == cidrs[0] {
            return ranges(cidrs, &path);
        }
        if before.len() != cidrs.len() {
            errors.push(Error::invalid(
                &path,
                at(new, &["spec", "cidrs"]),
                "field is immutable",
            ));
            return errors;
        }
        for (index, cidr) in cidrs
            .iter()
            .enumerate()
            .filter(|(index, cidr)| before[*index] != **cidr)
        {
            errors.push(Error::invalid(&path.index(index), cidr, "field is immutable"));
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
    let v6 = |cidr: &Value| cidr.as_str().is_some_and(|cidr| cidr.contains(':'));
    if cidrs.len() > 2 || (cidrs.len() == 2 && v6(&cidrs[0]) == v6(&cidrs[1])) {
        return vec![Error::invalid(
            path,
            Value::from(cidrs),
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        )];
    }
    cidrs
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
        .filter_map(|(index, text)| cidr(&path.index(index), text))
        .collect()
}

fn disruption_budget(new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    let mut errors = ErrorList::new();
    let set = |field: &str| !at(spec, &[field]).is_null();
    if set("minAvailable") && set("maxUnavailable") {
        errors.push(Error::invalid(
            &path,
            spec,
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if set(field) {
            errors.extend(count_or_percent(&path.child(field), at(spec, &[field])));
            errors.extend(not_more_than_all(&path.child(field), at(spec, &[field])));
        }
    }
    errors.extend(label_selector(&path.child("selector"), at(spec, &["selector"])));
    errors.extend(shared::maybe_one_of(
        &path.child("unhealthyPodEvictionPolicy"),
        at(spec, &["unhealthyPodEvictionPolicy"]),
        &["AlwaysAllow", "IfHealthyBudget"],
    ));
    errors
}
