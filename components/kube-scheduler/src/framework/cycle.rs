//! What is worked out once per pod before nodes are looked at, and the check of one node.

use std::sync::Arc;

use super::failure::{Failure, Reason, Rejection};
use super::plugin::Plugin;
use super::profile::Profile;
use super::what_if::WhatIf;
use crate::cluster::{ClassId, Cluster, KeyId, MatcherId, NodeSlot};
use crate::model::Pod;
use crate::model::taints::{Effect, Taint, tolerated};
use crate::plugins::inter_pod_affinity::CheckedTerm;
use crate::plugins::pod_topology_spread::CheckedConstraint;
use crate::plugins::volumes::CheckedVolumes;
use crate::plugins::{
    inter_pod_affinity, node_declared_features, node_resources_fit, pod_topology_spread, volumes,
};

/// One pod's scheduling attempt. Holds for the state of the cluster that it was prepared from.
pub struct Cycle {
    pub pod: Arc<Pod>,
    pub class: ClassId,
    /// Filters that have something to check for this pod.
    filters: Vec<Plugin>,
    /// By taint set: whether the pod tolerates all taints that repel.
    pub tolerated: Vec<bool>,
    tolerates_unschedulable: bool,
    /// The only nodes to look at.
    pub pinned: Option<Vec<NodeSlot>>,
    pub affinity: Vec<CheckedTerm>,
    /// Counts pods that match all required affinity terms.
    pub affinity_matcher: Option<MatcherId>,
    /// No pod matches the affinity terms yet but this one does: it may be the first.
    pub affinity_unmatched: bool,
    pub matches_own_affinity: bool,
    pub anti_affinity: Vec<CheckedTerm>,
    pub existing_anti_affinity: Vec<(crate::cluster::TermId, KeyId)>,
    pub spread: Vec<CheckedConstraint>,
    pub volumes: CheckedVolumes,
    pub added_affinity: Option<crate::model::node_affinity::NodeSelection>,
    pub ignored_scalars: Vec<bool>,
}

impl Cycle {
    /// Works out everything that does not depend on a node. Fails when no node can take the pod.
    pub fn prepare(cluster: &mut Cluster, profile: &Profile, pod: &Arc<Pod>) -> Result<Self, Rejection> {
        cluster.nodes.refresh_order();
        let enabled = |plugin| profile.filters.contains(&plugin);
        let taints = |set: u32| cluster.nodes.taints(set).iter();
        let mut cycle = Self {
            pod: pod.clone(),
            class: 0,
            filters: Vec::new(),
            tolerated: (0..cluster.nodes.taint_set_count() as u32)
                .map(|set| taints(set).all(|one| !one.effect.repels() || tolerated(one, &pod.tolerations)))
                .collect(),
            tolerates_unschedulable: tolerated(
                &Taint {
                    key: "node.kubernetes.io/unschedulable".to_owned(),
                    value: String::new(),
                    effect: Effect::NoSchedule,
                },
                &pod.tolerations,
            ),
            pinned: None,
            affinity: Vec::new(),
            affinity_matcher: None,
            affinity_unmatched: false,
            matches_own_affinity: false,
            anti_affinity: Vec::new(),
            existing_anti_affinity: Vec::new(),
            spread: Vec::new(),
            volumes: CheckedVolumes::default(),
            added_affinity: profile.added_affinity.clone(),
            ignored_scalars: node_resources_fit::ignored(&profile.arguments.node_resources_fit, pod),
        };
        if enabled(Plugin::NodeAffinity)
            && let Some(names) = pod.nodes.pinned_names()
        {
            if names.is_empty() {
                let message = "pod affinity terms conflict".to_owned();
                return Err(Rejection {
                    plugin: Plugin::NodeAffinity,
                    message,
                });
            }
            let slots = names.into_iter().filter_map(|name| cluster.nodes.slot(name));
            cycle.pinned = Some(slots.filter(|slot| cluster.nodes.get(*slot).is_some()).collect());
        }
        if enabled(Plugin::DynamicResources) && pod.has_resource_claims {
            return Err(Rejection {
                plugin: Plugin::DynamicResources,
                message: "resource claims of pods are not supported by this scheduler".to_owned(),
            });
        }
        cycle.volumes = volumes::prepare(cluster, pod, &enabled)?;
        cycle.class = cluster.class_of(pod);
        if enabled(Plugin::InterPodAffinity) {
            inter_pod_affinity::prepare(cluster, &mut cycle);
        }
        if enabled(Plugin::PodTopologySpread) {
            pod_topology_spread::prepare(cluster, &mut cycle, profile);
        }
        cycle.filters = profile
            .filters
            .iter()
            .copied()
            .filter(|plugin| cycle.has_something_to_check(*plugin))
            .collect();
        Ok(cycle)
    }

    fn has_something_to_check(&self, plugin: Plugin) -> bool {
        match plugin {
            Plugin::NodeUnschedulable => !self.tolerates_unschedulable,
            Plugin::NodeName => self.pod.node_name.is_some(),
            Plugin::TaintToleration => self.tolerated.iter().any(|tolerated| !tolerated),
            Plugin::NodeAffinity => !self.pod.nodes.is_unrestricted() || self.added_affinity.is_some(),
            Plugin::NodePorts => !self.pod.host_ports.is_empty(),
            Plugin::NodeResourcesFit => true,
            Plugin::VolumeRestrictions => self.volumes.checks_restrictions(),
            Plugin::NodeVolumeLimits => self.volumes.checks_limits(),
            Plugin::VolumeBinding | Plugin::VolumeZone => self.volumes.checks_binding(),
            Plugin::PodTopologySpread => !self.spread.is_empty(),
            Plugin::NodeDeclaredFeatures => !self.pod.needs.is_empty(),
            // Pods that wait for a node may have terms against any pod.
            Plugin::InterPodAffinity => true,
            _ => false,
        }
    }

    /// Whether the node can take the pod.
    pub fn check(&self, cluster: &Cluster, node: NodeSlot, what_if: Option<&WhatIf>) -> Result<(), Failure> {
        for plugin in &self.filters {
            match plugin {
                Plugin::NodeUnschedulable if cluster.nodes.unschedulable[node as usize] => {
                    return Err(Failure::unresolvable(*plugin, Reason::Unschedulable));
                }
                Plugin::NodeName if self.pod.node_name.as_deref() != Some(cluster.nodes.name(node)) => {
                    return Err(Failure::unresolvable(*plugin, Reason::NodeName));
                }
                Plugin::TaintToleration
                    if !self.tolerated[cluster.nodes.taint_set[node as usize] as usize] =>
                {
                    return Err(Failure::unresolvable(*plugin, Reason::Taints));
                }
                Plugin::NodeAffinity => self.check_node_affinity(cluster, node)?,
                Plugin::NodePorts => self.check_ports(cluster, node, what_if)?,
                Plugin::NodeResourcesFit => node_resources_fit::check(self, cluster, node, what_if)?,
                Plugin::VolumeRestrictions => {
                    self.volumes.check_restrictions(self, cluster, node, what_if)?
                }
                Plugin::NodeVolumeLimits => self.volumes.check_limits(self, cluster, node, what_if)?,
                Plugin::VolumeBinding => self.volumes.check_binding(cluster, node)?,
                Plugin::VolumeZone => self.volumes.check_zone(cluster, node)?,
                Plugin::PodTopologySpread => pod_topology_spread::check(self, cluster, node, what_if)?,
                Plugin::InterPodAffinity => inter_pod_affinity::check(self, cluster, node, what_if)?,
                Plugin::NodeDeclaredFeatures => {
                    let declared = cluster.nodes.get(node).map(|node| node.declared);
                    node_declared_features::check(self.pod.needs, declared.unwrap_or_default())?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the node is among those that the pod's selector and affinity admit.
    pub fn selects(&self, cluster: &Cluster, node: NodeSlot) -> bool {
        self.pod.nodes.is_unrestricted()
            || self
                .pod
                .nodes
                .admits(cluster.nodes.name(node), |key| cluster.nodes.label(node, key))
    }

    fn check_node_affinity(&self, cluster: &Cluster, node: NodeSlot) -> Result<(), Failure> {
        let label = |key: &str| cluster.nodes.label(node, key);
        let admits = |added: &crate::model::node_affinity::NodeSelection| {
            added.admits(cluster.nodes.name(node), label)
        };
        if !self.added_affinity.as_ref().is_none_or(admits) {
            return Err(Failure::unresolvable(
                Plugin::NodeAffinity,
                Reason::AddedNodeAffinity,
            ));
        }
        if !self.selects(cluster, node) {
            return Err(Failure::unresolvable(Plugin::NodeAffinity, Reason::NodeAffinity));
        }
        Ok(())
    }

    fn check_ports(
        &self,
        cluster: &Cluster,
        node: NodeSlot,
        what_if: Option<&WhatIf>,
    ) -> Result<(), Failure> {
        let claimed = cluster.nodes.ports.get(&node).into_iter().flatten();
        let taken = claimed
            .filter(|(uid, _)| what_if.is_none_or(|what_if| !what_if.is_removed(uid)))
            .map(|(_, port)| port)
            .chain(what_if.into_iter().flat_map(|what_if| &what_if.added_ports));
        for port in taken {
            if self.pod.host_ports.iter().any(|ours| ours.collides(port)) {
                return Err(Failure::resolvable(Plugin::NodePorts, Reason::Ports));
            }
        }
        Ok(())
    }
}
