//! The Node object as it is registered.

use std::collections::BTreeMap;

use component_config::kubelet::configuration::Taint as ConfiguredTaint;
use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Makes the object. Labels that every node has win over those given.
pub fn initial_node(
    name: &str,
    host_name: &str,
    labels: &BTreeMap<String, String>,
    taints: &[ConfiguredTaint],
    provider_id: &str,
    status: NodeStatus,
) -> Node {
    let mut all = labels.clone();
    let info = status.node_info.clone().unwrap_or_default();
    for (key, value) in [
        ("kubernetes.io/hostname", host_name),
        ("kubernetes.io/os", info.operating_system.as_str()),
        ("kubernetes.io/arch", info.architecture.as_str()),
        ("beta.kubernetes.io/os", info.operating_system.as_str()),
        ("beta.kubernetes.io/arch", info.architecture.as_str()),
    ] {
        all.insert(key.to_owned(), value.to_owned());
    }
    let taints: Vec<Taint> = taints
        .iter()
        .map(|taint| Taint {
            key: taint.key.clone(),
            value: (!taint.value.is_empty()).then(|| taint.value.clone()),
            effect: taint.effect.clone(),
            time_added: None,
        })
        .collect();
    Node {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(all),
            annotations: Some(
                [(
                    "volumes.kubernetes.io/controller-managed-attach-detach".to_owned(),
                    "true".to_owned(),
                )]
                .into(),
            ),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: (!taints.is_empty()).then_some(taints),
            provider_id: (!provider_id.is_empty()).then(|| provider_id.to_owned()),
            ..NodeSpec::default()
        }),
        status: Some(status),
    }
}
