//! "What if these pods were gone from the node, or there too": differences that one node's check applies.

use crate::cluster::{Cluster, NodeSlot, PlacedPod, Uid};
use crate::framework::Cycle;
use crate::model::Pod;
use crate::model::ports::HostPort;

/// Differences on one node. The default is the node as it is.
#[derive(Clone, Debug, Default)]
pub struct WhatIf {
    pub removed: Vec<Uid>,
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// By the index of the pod's scalar requests.
    pub scalars: Vec<i64>,
    pub pods: i64,
    pub added_ports: Vec<HostPort>,
    /// Pods that match the required affinity terms.
    pub affinity: i64,
    /// Pods that match each required anti-affinity term.
    pub anti_affinity: Vec<i64>,
    /// Holders of each term that placed pods have against the pod.
    pub existing_anti_affinity: Vec<i64>,
    /// An added pod has a term against the pod.
    pub added_anti_affinity: bool,
    /// Pods that each required spread constraint counts.
    pub spread: Vec<i64>,
}

impl WhatIf {
    pub fn new(cycle: &Cycle) -> Self {
        Self {
            scalars: vec![0; cycle.pod.requests.actual.scalars.len()],
            anti_affinity: vec![0; cycle.anti_affinity.len()],
            existing_anti_affinity: vec![0; cycle.existing_anti_affinity.len()],
            spread: vec![0; cycle.spread.len()],
            ..Self::default()
        }
    }

    pub fn is_removed(&self, uid: &str) -> bool {
        self.removed.iter().any(|one| &**one == uid)
    }

    /// As if the placed pod were gone.
    pub fn remove(&mut self, cluster: &Cluster, cycle: &Cycle, placed: &PlacedPod) {
        self.removed.push(placed.pod.uid.clone());
        self.count_placed(cluster, cycle, placed, -1);
    }

    /// As if a removed pod were back.
    pub fn restore(&mut self, cluster: &Cluster, cycle: &Cycle, placed: &PlacedPod) {
        self.removed.retain(|uid| *uid != placed.pod.uid);
        self.count_placed(cluster, cycle, placed, 1);
    }

    fn count_placed(&mut self, cluster: &Cluster, cycle: &Cycle, placed: &PlacedPod, sign: i64) {
        self.count_requests(cycle, &placed.pod, sign);
        let counted = |matcher| i64::from(cluster.counts_class(matcher, placed.class)) * sign;
        if let Some(matcher) = cycle.affinity_matcher {
            self.affinity += counted(matcher);
        }
        for (delta, term) in self.anti_affinity.iter_mut().zip(&cycle.anti_affinity) {
            *delta += counted(term.matcher);
        }
        if !placed.pod.deleting {
            for (delta, constraint) in self.spread.iter_mut().zip(&cycle.spread) {
                *delta += counted(constraint.matcher);
            }
        }
        for (delta, (term, _)) in self
            .existing_anti_affinity
            .iter_mut()
            .zip(&cycle.existing_anti_affinity)
        {
            *delta += i64::from(Cluster::has_term(placed, *term)) * sign;
        }
    }

    /// As if a pod that waits for this node were on it.
    pub fn add(&mut self, cluster: &Cluster, cycle: &Cycle, node: NodeSlot, pod: &Pod) {
        self.count_requests(cycle, pod, 1);
        self.added_ports.extend(pod.host_ports.iter().cloned());
        let none = Default::default();
        let labels = cluster.namespace_labels(&pod.namespace).unwrap_or(&none);
        let counted = |spec: &[crate::model::PodMatcher]| {
            i64::from(
                spec.iter()
                    .all(|one| one.matches(&pod.namespace, labels, &pod.labels)),
            )
        };
        let required = &cycle.pod.affinity.required;
        if !required.is_empty() {
            let all = required
                .iter()
                .all(|term| term.pods.matches(&pod.namespace, labels, &pod.labels));
            self.affinity += i64::from(all);
        }
        for (delta, term) in self
            .anti_affinity
            .iter_mut()
            .zip(&cycle.pod.anti_affinity.required)
        {
            *delta += counted(std::slice::from_ref(&term.pods));
        }
        for (delta, constraint) in self.spread.iter_mut().zip(&cycle.spread) {
            let spec = cluster
                .counts(constraint.matcher)
                .map(|matcher| matcher.spec.clone());
            *delta += spec.map_or(0, |spec| counted(&spec));
        }
        let about_us = cluster.namespace_labels(&cycle.pod.namespace).unwrap_or(&none);
        self.added_anti_affinity |= pod.anti_affinity.required.iter().any(|term| {
            term.pods
                .matches(&cycle.pod.namespace, about_us, &cycle.pod.labels)
                && cluster.nodes.label(node, &term.topology_key).is_some()
        });
    }

    fn count_requests(&mut self, cycle: &Cycle, pod: &Pod, sign: i64) {
        let requests = &pod.requests.actual;
        self.milli_cpu += sign * requests.milli_cpu;
        self.memory += sign * requests.memory;
        self.ephemeral_storage += sign * requests.ephemeral_storage;
        self.pods += sign;
        for (delta, (name, _)) in self.scalars.iter_mut().zip(&cycle.pod.requests.actual.scalars) {
            *delta += sign * requests.scalar(name);
        }
    }
}
