//! Scores of the feasible nodes, weighted and added up.

use super::cycle::Cycle;
use super::plugin::Plugin;
use super::profile::Profile;
use crate::cluster::{Cluster, NodeSlot};
use crate::model::taints::{Effect, Toleration, tolerated};
use crate::plugins::{image_locality, inter_pod_affinity, pod_topology_spread, resource_scores};

/// The total of every node.
pub fn totals(cycle: &Cycle, cluster: &mut Cluster, profile: &Profile, nodes: &[NodeSlot]) -> Vec<i64> {
    let mut totals = vec![0i64; nodes.len()];
    for (plugin, weight) in &profile.scores {
        if let Some(scores) = scores(*plugin, cycle, cluster, profile, nodes) {
            for (total, score) in totals.iter_mut().zip(scores) {
                *total += score * weight;
            }
        }
    }
    totals
}

/// One plugin's scores in 0..=100; None when it has nothing to say about this pod.
pub fn scores(
    plugin: Plugin,
    cycle: &Cycle,
    cluster: &mut Cluster,
    profile: &Profile,
    nodes: &[NodeSlot],
) -> Option<Vec<i64>> {
    let arguments = &profile.arguments;
    match plugin {
        Plugin::TaintToleration => Some(taint_toleration(cycle, cluster, nodes)),
        Plugin::NodeAffinity => node_affinity(cycle, cluster, nodes),
        Plugin::NodeResourcesFit => {
            let strategy = &arguments.node_resources_fit.scoring_strategy;
            Some(resource_scores::fit(cluster, &cycle.pod, strategy, nodes))
        }
        Plugin::NodeResourcesBalancedAllocation => {
            let resources = &arguments.node_resources_balanced_allocation.resources;
            resource_scores::balanced(cluster, &cycle.pod, resources, nodes)
        }
        Plugin::PodTopologySpread => pod_topology_spread::scores(cycle, cluster, profile, nodes),
        Plugin::InterPodAffinity => {
            let affinity = &arguments.inter_pod_affinity;
            let mut scores = inter_pod_affinity::scores(
                cycle,
                cluster,
                nodes,
                i64::from(affinity.hard_pod_affinity_weight),
                affinity.ignore_preferred_terms_of_existing_pods,
            )?;
            inter_pod_affinity::normalize(&mut scores);
            Some(scores)
        }
        Plugin::ImageLocality => image_locality::scores(&cycle.pod, cluster, nodes),
        _ => None,
    }
}

/// Fewer taints of effect PreferNoSchedule that the pod does not tolerate is better.
fn taint_toleration(cycle: &Cycle, cluster: &Cluster, nodes: &[NodeSlot]) -> Vec<i64> {
    let tolerations: Vec<Toleration> = cycle
        .pod
        .tolerations
        .iter()
        .filter(|one| matches!(one.effect, None | Some(Effect::PreferNoSchedule)))
        .cloned()
        .collect();
    let by_set: Vec<i64> = (0..cluster.nodes.taint_set_count() as u32)
        .map(|set| {
            let taints = cluster.nodes.taints(set).iter();
            taints
                .filter(|taint| !taint.effect.repels() && !tolerated(taint, &tolerations))
                .count() as i64
        })
        .collect();
    let mut scores: Vec<i64> = nodes
        .iter()
        .map(|node| by_set[cluster.nodes.taint_set[*node as usize] as usize])
        .collect();
    normalize(&mut scores, true);
    scores
}

/// The weights of the preferred terms that admit the node.
fn node_affinity(cycle: &Cycle, cluster: &Cluster, nodes: &[NodeSlot]) -> Option<Vec<i64>> {
    let added = cycle.added_affinity.iter().flat_map(|added| &added.preferred);
    let preferred: Vec<_> = cycle.pod.nodes.preferred.iter().chain(added).collect();
    if preferred.is_empty() {
        return None;
    }
    let score = |node: &NodeSlot| {
        let label = |key: &str| cluster.nodes.label(*node, key);
        let admitting = preferred
            .iter()
            .filter(|(_, term)| term.admits(cluster.nodes.name(*node), label));
        admitting.map(|(weight, _)| weight).sum::<i64>()
    };
    let mut scores: Vec<i64> = nodes.iter().map(score).collect();
    normalize(&mut scores, false);
    Some(scores)
}

/// Brings scores to 0..=100 by the largest one; `reverse` makes the largest the worst.
fn normalize(scores: &mut [i64], reverse: bool) {
    let most = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let scaled = if most == 0 { 0 } else { *score * 100 / most };
        *score = if reverse { 100 - scaled } else { scaled };
    }
}
