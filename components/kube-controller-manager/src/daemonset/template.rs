//! The pod that a DaemonSet makes for a node.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration,
};

use crate::owner::Meta as _;
use crate::workload::pod_control::pod_from_template;
use crate::workload::pods;

pub const HASH_LABEL: &str = "controller-revision-hash";
const GENERATION_LABEL: &str = "pod-template-generation";
pub const GENERATION: &str = "deprecated.daemonset.template.generation";

/// Taints that daemons bear: key and effect.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

pub fn generation(set: &DaemonSet) -> String {
    set.annotation(GENERATION)
        .map_or_else(|| set.generation().to_string(), str::to_owned)
}

/// The pod without a node yet, with the tolerations that daemons have.
pub fn pod(set: &DaemonSet, hash: &str) -> Pod {
    let template = set
        .spec
        .as_ref()
        .map(|spec| spec.template.clone())
        .unwrap_or_default();
    let mut pod = pod_from_template(&template, set);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(GENERATION_LABEL.to_owned(), generation(set));
    labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
    let spec = pod.spec.get_or_insert_default();
    let host_network = spec
        .host_network
        .unwrap_or(false)
        .then_some(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in TOLERATED.into_iter().chain(host_network) {
        let same = |toleration: &Toleration| {
            toleration.key.as_deref() == Some(key) && toleration.effect.as_deref() == Some(effect)
        };
        tolerations.retain(|toleration| !same(toleration));
        tolerations.push(Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        });
    }
    pod
}

fn name_term(node: &str) -> NodeSelectorTerm {
    NodeSelectorTerm {
        match_expressions: None,
        match_fields: Some(vec![NodeSelectorRequirement {
            key: "metadata.name".to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![node.to_owned()]),
        }]),
    }
}

/// Binds the pod to a node by affinity, so that the scheduler still decides when. The template's own
/// required terms have been checked by us and are replaced.
pub fn pin(spec: &mut PodSpec, node: &str) {
    let affinity = spec
        .affinity
        .get_or_insert_default()
        .node_affinity
        .get_or_insert_with(NodeAffinity::default);
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
        node_selector_terms: vec![name_term(node)],
    });
}

/// The node that a daemon pod is on or was made for.
pub fn target_node(pod: &Pod) -> Option<String> {
    if let Some(node) = pods::node_name(pod) {
        return Some(node.to_owned());
    }
    let required = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &required
        .required_during_scheduling_ignored_during_execution
        .as_ref()?
        .node_selector_terms;
    terms
        .iter()
        .flat_map(|term| term.match_fields.iter().flatten())
        .find(|field| field.key == "metadata.name" && field.operator == "In")
        .and_then(|field| field.values.as_ref()?.first().cloned())
}
