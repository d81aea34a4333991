//! What services keep of what was given to them: addresses and ports that a client does not name again.
//!
//! The rules are upstream's: `patchAllocatedValues`, `normalizeClusterIPs` and `dropTypeDependentFields` of
//! pkg/registry/core/service.

use super::update::put;
use crate::value::{Object, at, int, is_zero, list, text};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// A client that knows of one address means that one.
pub(super) fn prepare_create(service: &mut Object) {
    if let Some(spec) = service.get_mut("spec") {
        one_is_the_list(spec);
    }
}

fn one_is_the_list(spec: &mut Value) {
    let one = at(spec, &["clusterIP"]).clone();
    if !is_zero(Some(&one)) && list(spec, &["clusterIPs"]).is_empty() {
        put(spec, &["clusterIPs"], json!([one]));
    }
}

pub(super) fn prepare_update(old: &Value, new: &mut Value) {
    keep_what_was_given(old, new);
    follow_the_first_address(old, new);
    // One that was stored before there was the list has none to keep.
    if let Some(spec) = new.get_mut("spec") {
        one_is_the_list(spec);
    }
    drop_what_the_type_needed(old, new);
}

/// Names of other places have no traffic policy, though one may be given; upstream stores it and shows it to nobody.
pub(super) fn settle(service: &mut Value) {
    if kind(service) == "ExternalName"
        && let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.remove("internalTrafficPolicy");
    }
}

fn kind(service: &Value) -> &str {
    text(service, &["spec", "type"])
}

fn is_addressed(service: &Value) -> bool {
    kind(service) != "ExternalName"
}

fn has_node_ports(service: &Value) -> bool {
    matches!(kind(service), "NodePort" | "LoadBalancer")
}

fn is_balanced(service: &Value) -> bool {
    kind(service) == "LoadBalancer"
}

fn has_health_port(service: &Value) -> bool {
    is_balanced(service) && text(service, &["spec", "externalTrafficPolicy"]) == "Local"
}

fn is_reached_from_outside(service: &Value) -> bool {
    has_node_ports(service)
        || (kind(service) == "ClusterIP" && !list(service, &["spec", "externalIPs"]).is_empty())
}

/// So that the manifest of which a service was made can be sent again.
fn keep_what_was_given(old: &Value, new: &mut Value) {
    let keep = |new: &mut Value, field: &str| {
        let path = ["spec", field];
        if is_zero(Some(at(new, &path))) && !is_zero(Some(at(old, &path))) {
            put(new, &path, at(old, &path).clone());
        }
    };
    if is_addressed(old) && is_addressed(new) {
        keep(new, "clusterIP");
        keep(new, "clusterIPs");
    }
    if has_node_ports(old) && has_node_ports(new) {
        keep_node_ports(old, new);
    }
    if has_health_port(old) && has_health_port(new) {
        keep(new, "healthCheckNodePort");
    }
}

/// Ports of the same name keep their numbers, those that another port now has excepted.
fn keep_node_ports(old: &Value, new: &mut Value) {
    let number = |port: &Value| port["nodePort"].as_i64().filter(|number| *number != 0);
    let named: HashSet<i64> = list(new, &["spec", "ports"]).iter().filter_map(number).collect();
    let by_name: HashMap<&str, i64> = list(old, &["spec", "ports"])
        .iter()
        .filter_map(|port| Some((text(port, &["name"]), number(port)?)))
        .collect();
    let wanted = new.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    for port in wanted.into_iter().flatten().filter(|port| number(port).is_none()) {
        if let Some(given) = by_name.get(text(port, &["name"]))
            && !named.contains(given)
        {
            put(port, &["nodePort"], json!(given));
        }
    }
}

/// `clusterIPs` follows `clusterIP` where a client changed only that.
fn follow_the_first_address(old: &Value, new: &mut Value) {
    let after = text(new, &["spec", "clusterIP"]).to_owned();
    let changed = text(old, &["spec", "clusterIP"]) != after;
    if !changed || list(old, &["spec", "clusterIPs"]) != list(new, &["spec", "clusterIPs"]) {
        return;
    }
    let addresses = if after.is_empty() {
        Value::Null
    } else {
        json!([after])
    };
    put(new, &["spec", "clusterIPs"], addresses);
}

/// What only the old type of a service needed goes, unless the client changed it: then it is told.
fn drop_what_the_type_needed(old: &Value, new: &mut Value) {
    let ended = |needs: fn(&Value) -> bool| needs(old) && !needs(new);
    let mut gone: Vec<&[&str]> = Vec::new();
    if ended(is_addressed) {
        gone.extend([
            &["clusterIP", "clusterIPs"][..],
            &["ipFamilies"],
            &["ipFamilyPolicy"],
        ]);
    }
    if ended(has_health_port) {
        gone.push(&["healthCheckNodePort"]);
    }
    if ended(is_balanced) {
        gone.extend([&["allocateLoadBalancerNodePorts"][..], &["loadBalancerClass"]]);
    }
    if ended(is_reached_from_outside) {
        gone.push(&["externalTrafficPolicy"]);
    }
    let ports_end = ended(has_node_ports);
    for fields in gone {
        if fields
            .iter()
            .all(|field| at(old, &["spec", field]) == at(new, &["spec", field]))
        {
            fields
                .iter()
                .for_each(|field| put(new, &["spec", field], Value::Null));
        }
    }
    let numbers = |service: &Value| -> HashSet<i64> {
        let numbers = list(service, &["spec", "ports"])
            .iter()
            .filter_map(|port| int(port, &["nodePort"]));
        numbers.filter(|number| *number != 0).collect()
    };
    // Ports may come and go with it, as long as none asks for a number.
    if ports_end && numbers(new).is_subset(&numbers(old)) {
        for port in new
            .pointer_mut("/spec/ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            put(port, &["nodePort"], Value::Null);
        }
    }
    const BALANCER: &[&str] = &["status", "loadBalancer"];
    if !is_balanced(new) && !is_zero(Some(at(new, BALANCER))) {
        put(new, BALANCER, json!({}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_what_was_given_and_follows_what_was_named() {
        let given = json!({
            "type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"],
            "ports": [{"name": "a", "port": 80, "nodePort": 30080}, {"name": "b", "port": 81, "nodePort": 30081}],
        });
        for (sent, path, kept) in [
            (json!({"type": "NodePort"}), "/clusterIP", json!("10.0.0.1")),
            (
                json!({"type": "ClusterIP"}),
                "/clusterIPs",
                json!(["10.0.0.1", "fd00::1"]),
            ),
            // Of another port number, and yet the port of that name.
            (
                json!({"type": "NodePort", "ports": [{"name": "b", "port": 90}]}),
                "/ports/0/nodePort",
                json!(30081),
            ),
            // The number went to another port.
            (
                json!({"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "c", "port": 82, "nodePort": 30080}]}),
                "/ports/0/nodePort",
                json!(null),
            ),
            // A client that knows only of one address changes it, or takes it away.
            (
                json!({"type": "NodePort", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.1", "fd00::1"]}),
                "/clusterIPs",
                json!(["10.0.0.9"]),
            ),
            (json!({"type": "ExternalName"}), "/clusterIPs", json!(null)),
        ] {
            let mut new = json!({"spec": sent.clone()});
            prepare_update(&json!({"spec": given.clone()}), &mut new);
            let found = new["spec"].pointer(path).cloned().unwrap_or_default();
            assert_eq!(found, kept, "{sent} {path}");
        }
    }

    #[test]
    fn another_type_lets_go_of_node_ports_and_of_a_balancer() {
        let port = |name: &str, number: i64| json!({"name": name, "port": 80, "nodePort": number});
        let service = |kind: &str, ports: Vec<Value>| {
            let status = json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}});
            json!({"spec": {"type": kind, "ports": ports}, "status": status})
        };
        let old = service("LoadBalancer", vec![port("a", 30080), port("b", 30081)]);
        for (kind, ports, numbers, balanced) in [
            ("LoadBalancer", vec![port("a", 30080)], true, true),
            ("NodePort", vec![port("a", 30080)], true, false),
            (
                "ClusterIP",
                vec![port("a", 30080), port("b", 30081)],
                false,
                false,
            ),
            // One port less, one that is new and asks for no number, another order.
            ("ClusterIP", vec![port("b", 30081)], false, false),
            (
                "ClusterIP",
                vec![port("c", 0), port("b", 30081), port("a", 30080)],
                false,
                false,
            ),
            // What is asked for is left to be refused.
            ("ClusterIP", vec![port("a", 30082)], true, false),
        ] {
            let mut new = service(kind, ports);
            prepare_update(&old, &mut new);
            let left = list(&new, &["spec", "ports"])
                .iter()
                .any(|port| !is_zero(port.get("nodePort")));
            assert_eq!(left, numbers, "{new}");
            assert_eq!(!is_zero(new["status"].get("loadBalancer")), balanced, "{new}");
        }
    }

    /// Regression: a service that was stored before v1.20 could not be changed.
    #[test]
    fn a_service_without_the_list_gets_it_with_its_next_change() {
        let old = json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1"}});
        let mut new = old.clone();
        prepare_update(&old, &mut new);
        assert_eq!(new["spec"]["clusterIPs"], json!(["10.0.0.1"]));
    }

    #[test]
    fn one_address_is_the_list_of_addresses() {
        let mut service = json!({"spec": {"clusterIP": "None"}});
        prepare_create(service.as_object_mut().unwrap());
        assert_eq!(service["spec"]["clusterIPs"], json!(["None"]));
    }
}
