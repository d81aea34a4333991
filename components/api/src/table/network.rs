use super::words::{age, name, selector, some};
use crate::value::{at, int, list, text};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Cells of networking and discovery kinds.
pub(super) fn cells(kind: (&str, &str), value: &Value, now: Timestamp) -> Option<Vec<Value>> {
    Some(match kind {
        ("discovery.k8s.io", "EndpointSlice") => slice(value, now),
        ("networking.k8s.io", "Ingress") => ingress(value, now),
        ("networking.k8s.io", "IngressClass") => {
            let parameters = at(value, &["spec", "parameters"]);
            let group = text(parameters, &["apiGroup"]);
            let shown = match (parameters.is_object(), group) {
                (false, _) => "<none>".to_owned(),
                (true, "") => format!("{}/{}", text(parameters, &["kind"]), text(parameters, &["name"])),
                (true, group) => format!(
                    "{}.{group}/{}",
                    text(parameters, &["kind"]),
                    text(parameters, &["name"])
                ),
            };
            vec![
                name(value),
                json!(text(value, &["spec", "controller"])),
                json!(shown),
                age(value, now),
            ]
        }
        ("networking.k8s.io", "NetworkPolicy") => vec![
            name(value),
            json!(selector(at(value, &["spec", "podSelector"]))),
            age(value, now),
        ],
        ("networking.k8s.io", "IPAddress") => {
            let parent = at(value, &["spec", "parentRef"]);
            let group = Some(text(parent, &["group"]))
                .filter(|group| !group.is_empty())
                .map(|group| format!(".{group}"))
                .unwrap_or_default();
            let namespace = Some(text(parent, &["namespace"]))
                .filter(|namespace| !namespace.is_empty())
                .map(|namespace| format!("{namespace}/"))
                .unwrap_or_default();
            let shown = format!(
                "{}{group}/{namespace}{}",
                text(parent, &["resource"]),
                text(parent, &["name"])
            );
            vec![name(value), json!(shown), age(value, now)]
        }
        ("networking.k8s.io", "ServiceCIDR") => {
            let cidrs: Vec<&str> = list(value, &["spec", "cidrs"])
                .iter()
                .filter_map(Value::as_str)
                .collect();
            vec![name(value), json!(cidrs.join(",")), age(value, now)]
        }
        _ => return None,
    })
}

fn slice(slice: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = list(slice, &["ports"])
        .iter()
        .map(|port| match (int(port, &["port"]), at(port, &["name"])) {
            (Some(number), _) => number.to_string(),
            (None, Value::String(name)) => name.clone(),
            (None, _) => "*".to_owned(),
        })
        .collect();
    let addresses: Vec<String> = list(slice, &["endpoints"])
        .iter()
        .flat_map(|endpoint| list(endpoint, &["addresses"]))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let shown = |texts: &[String]| match some(texts, 3) {
        none if none.is_empty() => "<unset>".to_owned(),
        shown => shown,
    };
    vec![
        name(slice),
        json!(text(slice, &["addressType"])),
        json!(shown(&ports)),
        json!(shown(&addresses)),
        age(slice, now),
    ]
}

/// The hosts of the rules; those that are too many are counted in rules, with a host or without.
fn hosts(rules: &[Value]) -> String {
    const MOST: usize = 3;
    let hosts: Vec<&str> = rules.iter().map(|rule| text(rule, &["host"])).collect();
    let shown: Vec<&str> = hosts
        .iter()
        .copied()
        .filter(|host| !host.is_empty())
        .take(MOST)
        .collect();
    // Whether there is a rule after as many hosts as are shown.
    let full = hosts
        .iter()
        .enumerate()
        .filter(|(_, host)| !host.is_empty())
        .nth(MOST - 1)
        .is_some_and(|(last, _)| last + 1 < hosts.len());
    match shown.join(",") {
        none if none.is_empty() => "*".into(),
        shown if full => format!("{shown} + {} more...", hosts.len() - MOST),
        shown => shown,
    }
}

fn ingress(ingress: &Value, now: Timestamp) -> Vec<Value> {
    let addresses = list(ingress, &["status", "loadBalancer", "ingress"]).iter();
    let addresses: BTreeSet<&str> = addresses
        .map(|address| {
            if text(address, &["ip"]).is_empty() {
                text(address, &["hostname"])
            } else {
                text(address, &["ip"])
            }
        })
        .filter(|address| !address.is_empty())
        .collect();
    let class = Some(text(ingress, &["spec", "ingressClassName"]))
        .filter(|class| !class.is_empty())
        .unwrap_or("<none>");
    vec![
        name(ingress),
        json!(class),
        json!(hosts(list(ingress, &["spec", "rules"]))),
        json!(addresses.into_iter().collect::<Vec<_>>().join(",")),
        json!(if list(ingress, &["spec", "tls"]).is_empty() {
            "80"
        } else {
            "80, 443"
        }),
        age(ingress, now),
    ]
}
