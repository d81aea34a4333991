//! What services and claims use, and how a quota's list is made from all usage.

use std::collections::BTreeMap;

use apimachinery::quantity::Quantity;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::pods::Usage;

const STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Resources whose plain name is a quota's too: name, group and plural.
const COUNTED: [(&str, &str, &str); 4] = [
    ("configmaps", "", "configmaps"),
    ("secrets", "", "secrets"),
    ("replicationcontrollers", "", "replicationcontrollers"),
    ("resourcequotas", "", "resourcequotas"),
];

fn number(count: usize) -> Quantity {
    count.to_string().parse().unwrap_or_default()
}

/// The group and resource whose objects a quota's name counts, when that is all it does.
pub fn counted(name: &str) -> Option<(String, String)> {
    if let Some((_, group, plural)) = COUNTED.iter().find(|(own, _, _)| *own == name) {
        return Some(((*group).to_owned(), (*plural).to_owned()));
    }
    let rest = name.strip_prefix("count/")?;
    let (plural, group) = rest.split_once('.').unwrap_or((rest, ""));
    Some((group.to_owned(), plural.to_owned()))
}

pub fn service(service: &Service) -> Usage {
    let spec = service.spec.clone().unwrap_or_default();
    let ports = spec.ports.unwrap_or_default();
    let mut usage = Usage::from([("services".to_owned(), number(1))]);
    match spec.type_.as_deref() {
        Some("NodePort") => {
            usage.insert("services.nodeports".to_owned(), number(ports.len()));
        }
        Some("LoadBalancer") => {
            usage.insert("services.loadbalancers".to_owned(), number(1));
            let allocated = spec.allocate_load_balancer_node_ports != Some(false);
            let with = ports
                .iter()
                .filter(|port| allocated || port.node_port.is_some_and(|port| port != 0))
                .count();
            usage.insert("services.nodeports".to_owned(), number(with));
        }
        _ => {}
    }
    usage
}

pub fn claim(claim: &PersistentVolumeClaim) -> Usage {
    let spec = claim.spec.clone().unwrap_or_default();
    let requests = spec
        .resources
        .and_then(|resources| resources.requests)
        .unwrap_or_default();
    let storage: Option<Quantity> = requests.get("storage").and_then(|text| text.0.parse().ok());
    let mut usage = Usage::from([("persistentvolumeclaims".to_owned(), number(1))]);
    if let Some(storage) = &storage {
        usage.insert("requests.storage".to_owned(), *storage);
    }
    if let Some(class) = spec.storage_class_name.filter(|class| !class.is_empty()) {
        usage.insert(format!("{class}{STORAGE_CLASS}persistentvolumeclaims"), number(1));
        if let Some(storage) = storage {
            usage.insert(format!("{class}{STORAGE_CLASS}requests.storage"), storage);
        }
    }
    usage
}

pub fn sum(all: impl IntoIterator<Item = Usage>) -> Usage {
    let mut total = Usage::new();
    for usage in all {
        for (name, quantity) in usage {
            *total.entry(name).or_default() += quantity;
        }
    }
    total
}

/// The part of `total` that a quota limits; what it limits and nobody uses is zero.
pub fn used(hard: &BTreeMap<String, Text>, total: &Usage) -> BTreeMap<String, Text> {
    hard.keys()
        .map(|name| {
            let quantity = total
                .get(name)
                .map_or_else(|| "0".to_owned(), ToString::to_string);
            (name.clone(), Text(quantity))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_lead_to_resources() {
        for (name, want) in [
            ("count/deployments.apps", Some(("apps", "deployments"))),
            ("count/secrets", Some(("", "secrets"))),
            ("configmaps", Some(("", "configmaps"))),
            ("requests.cpu", None),
        ] {
            assert_eq!(
                counted(name),
                want.map(|(group, plural)| (group.to_owned(), plural.to_owned()))
            );
        }
    }

    #[test]
    fn services_and_claims_count_what_they_hold() {
        let node_port: Service = serde_json::from_value(
            json!({"spec": {"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}}),
        )
        .unwrap();
        let volume: PersistentVolumeClaim = serde_json::from_value(
            json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "5Gi"}}}}),
        )
        .unwrap();
        let total = sum([service(&node_port), service(&node_port), claim(&volume)]);
        let hard: BTreeMap<String, Text> = [
            "services",
            "services.nodeports",
            "requests.storage",
            "fast.storageclass.storage.k8s.io/requests.storage",
            "pods",
        ]
        .map(|name| (name.to_owned(), Text("9".to_owned())))
        .into();
        let used: Vec<_> = used(&hard, &total).into_values().map(|text| text.0).collect();
        assert_eq!(used, ["5Gi", "0", "5Gi", "2", "4"]);
    }
}
