//! Terms about other pods: affinity, anti-affinity and topology spread.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodAffinityTerm, TopologySpreadConstraint};

use super::selector::{Labels, Operator, Selector};

/// Which pods a term counts: those of the namespaces, or of the namespaces that the namespace selector
/// matches, whose labels match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodMatcher {
    pub namespaces: BTreeSet<String>,
    pub namespace_selector: Option<Selector>,
    pub labels: Selector,
}

impl PodMatcher {
    /// `namespace_labels` are the labels of `namespace`.
    pub fn matches(&self, namespace: &str, namespace_labels: &Labels, labels: &Labels) -> bool {
        (self.namespaces.contains(namespace)
            || self
                .namespace_selector
                .as_ref()
                .is_some_and(|selector| selector.matches(namespace_labels)))
            && self.labels.matches(labels)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AffinityTerm {
    pub pods: PodMatcher,
    pub topology_key: String,
}

impl AffinityTerm {
    /// The term of a pod in `namespace` with `labels`.
    pub fn of(term: &PodAffinityTerm, namespace: &str, labels: &Labels) -> Self {
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.insert(namespace.to_owned());
        }
        let selector = match &term.label_selector {
            None => Selector::Nothing,
            some => Selector::of(some.as_ref())
                .with_label_keys(term.match_label_keys.as_ref(), Operator::In, labels)
                .with_label_keys(term.mismatch_label_keys.as_ref(), Operator::NotIn, labels),
        };
        Self {
            pods: PodMatcher {
                namespaces,
                namespace_selector: term
                    .namespace_selector
                    .as_ref()
                    .map(|one| Selector::of(Some(one))),
                labels: selector,
            },
            topology_key: term.topology_key.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpreadConstraint {
    pub pods: PodMatcher,
    pub topology_key: String,
    pub max_skew: i64,
    pub min_domains: i64,
    /// `DoNotSchedule`; otherwise `ScheduleAnyway`.
    pub required: bool,
    /// Count only nodes that the pod's node selector and affinity admit.
    pub honor_affinity: bool,
    /// Count only nodes whose taints the pod tolerates.
    pub honor_taints: bool,
}

impl SpreadConstraint {
    pub fn of(constraint: &TopologySpreadConstraint, namespace: &str, labels: &Labels) -> Self {
        let selector = match &constraint.label_selector {
            None => Selector::Nothing,
            some => Selector::of(some.as_ref()).with_label_keys(
                constraint.match_label_keys.as_ref(),
                Operator::In,
                labels,
            ),
        };
        Self {
            pods: PodMatcher {
                namespaces: [namespace.to_owned()].into(),
                namespace_selector: None,
                labels: selector,
            },
            topology_key: constraint.topology_key.clone(),
            max_skew: i64::from(constraint.max_skew),
            min_domains: constraint.min_domains.map_or(1, i64::from),
            required: constraint.when_unsatisfiable == "DoNotSchedule",
            honor_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }
}
