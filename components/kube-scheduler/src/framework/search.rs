//! Looks for feasible nodes and picks the best.

use std::sync::Arc;

use rand::Rng;

use super::cycle::Cycle;
use super::failure::{Failure, Reason, Reasons, Rejection, histogram, unavailable};
use super::plugin::{Plugin, PluginMask};
use super::profile::Profile;
use super::scoring;
use super::what_if::WhatIf;
use crate::cluster::{Cluster, NodeSlot};
use crate::model::Pod;
use crate::plugins::volumes::VolumePlan;

/// The search ends when this many nodes are feasible at least.
const FEWEST_TO_FIND: usize = 100;

/// Finds nodes for one pod after another; each search goes on where the last one ended.
#[derive(Default)]
pub struct Search {
    next_start: usize,
}

/// What became of one attempt.
pub enum Decision {
    Node {
        node: NodeSlot,
        feasible: usize,
        evaluated: usize,
        volumes: VolumePlan,
    },
    None(Box<Diagnosis>),
}

/// Why there is no node, for messages, preemption and queueing hints.
pub struct Diagnosis {
    pub total_nodes: usize,
    /// None when the pod was rejected as a whole.
    pub cycle: Option<Cycle>,
    pub failures: Vec<(NodeSlot, Failure)>,
    pub message: String,
    pub plugins: PluginMask,
}

impl Diagnosis {
    fn rejected(total_nodes: usize, rejection: Rejection) -> Self {
        Self {
            total_nodes,
            cycle: None,
            failures: Vec::new(),
            message: format!("{} {}.", unavailable(total_nodes), rejection.message),
            plugins: [rejection.plugin].into_iter().collect(),
        }
    }
}

impl Search {
    /// Decides for the pod. `random` breaks ties between equally good nodes.
    pub fn decide(
        &mut self,
        cluster: &mut Cluster,
        profile: &Profile,
        pod: &Arc<Pod>,
        random: &mut impl Rng,
    ) -> Decision {
        cluster.sweep_matchers();
        cluster.nodes.refresh_order();
        let total_nodes = cluster.nodes.order().len();
        if total_nodes == 0 {
            return Decision::None(Box::new(Diagnosis {
                total_nodes,
                cycle: None,
                failures: Vec::new(),
                message: "no nodes available to schedule pods".to_owned(),
                plugins: PluginMask::default(),
            }));
        }
        let cycle = match Cycle::prepare(cluster, profile, pod) {
            Ok(cycle) => cycle,
            Err(rejection) => {
                return Decision::None(Box::new(Diagnosis::rejected(total_nodes, rejection)));
            }
        };
        let (feasible, failures) = self.feasible(cluster, profile, &cycle);
        let evaluated = feasible.len() + failures.len();
        let best = match feasible[..] {
            [] => None,
            [only] => Some(only),
            _ => {
                let totals = scoring::totals(&cycle, cluster, profile, &feasible);
                pick(&feasible, &totals, random)
            }
        };
        match best {
            Some(node) => {
                let volumes = cycle.volumes.plan(cluster, node).unwrap_or_default();
                Decision::Node {
                    node,
                    feasible: feasible.len(),
                    evaluated,
                    volumes,
                }
            }
            None => Decision::None(Box::new(diagnose(total_nodes, cycle, failures))),
        }
    }

    /// Feasible nodes, enough of them, and why the others that were looked at are not.
    fn feasible(
        &mut self,
        cluster: &Cluster,
        profile: &Profile,
        cycle: &Cycle,
    ) -> (Vec<NodeSlot>, Vec<(NodeSlot, Failure)>) {
        let mut failures = Vec::new();
        // The node that was made free for the pod is taken whatever else would be better.
        let nominated = cycle
            .pod
            .nominated_node
            .as_deref()
            .or(cluster.nominated.node_of(&cycle.pod.uid));
        if let Some(node) = nominated.and_then(|name| cluster.nodes.slot(name))
            && cluster.nodes.get(node).is_some()
            && cycle.pinned.as_ref().is_none_or(|pinned| pinned.contains(&node))
            && check_with_nominated(cycle, cluster, node).is_ok()
        {
            return (vec![node], failures);
        }
        let order = cycle.pinned.as_deref().unwrap_or(cluster.nodes.order());
        if order.is_empty() {
            return (Vec::new(), failures);
        }
        let wanted = nodes_to_find(order.len(), profile.percentage_of_nodes_to_score);
        let start = self.next_start % order.len();
        let mut feasible = Vec::with_capacity(wanted);
        let (before, after) = order.split_at(start);
        let mut looked_at = 0;
        for node in after.iter().chain(before) {
            looked_at += 1;
            match check_with_nominated(cycle, cluster, *node) {
                Ok(()) => {
                    feasible.push(*node);
                    if feasible.len() >= wanted {
                        break;
                    }
                }
                Err(failure) => failures.push((*node, failure)),
            }
        }
        self.next_start = (start + looked_at) % order.len();
        (feasible, failures)
    }
}

/// Whether the node can take the pod, also when the pods that wait for it with at least the same priority
/// are on it.
pub fn check_with_nominated(cycle: &Cycle, cluster: &Cluster, node: NodeSlot) -> Result<(), Failure> {
    check_what_if(cycle, cluster, node, None)
}

/// As [`check_with_nominated`], with other pods gone or there.
pub fn check_what_if(
    cycle: &Cycle,
    cluster: &Cluster,
    node: NodeSlot,
    what_if: Option<&WhatIf>,
) -> Result<(), Failure> {
    if !cluster.nominated.is_empty() {
        let waiting = || {
            let on = cluster.nominated.on(cluster.nodes.name(node)).iter();
            on.filter(|other| other.priority >= cycle.pod.priority && other.uid != cycle.pod.uid)
        };
        if waiting().next().is_some() {
            let mut crowded = what_if.cloned().unwrap_or_else(|| WhatIf::new(cycle));
            waiting().for_each(|other| crowded.add(cluster, cycle, node, other));
            cycle.check(cluster, node, Some(&crowded))?;
        }
    }
    cycle.check(cluster, node, what_if)
}

/// How many feasible nodes are enough: a share that shrinks from 50 % to 5 % as the cluster grows.
fn nodes_to_find(nodes: usize, percentage: i32) -> usize {
    if nodes < FEWEST_TO_FIND {
        return nodes;
    }
    let share = match percentage {
        0 => (50usize.saturating_sub(nodes / 125)).max(5),
        percentage => percentage.clamp(1, 100) as usize,
    };
    (nodes * share / 100).max(FEWEST_TO_FIND)
}

fn pick(nodes: &[NodeSlot], totals: &[i64], random: &mut impl Rng) -> Option<NodeSlot> {
    let best = totals.iter().copied().max()?;
    let mut chosen = None;
    let mut ties = 0u32;
    for (node, total) in nodes.iter().zip(totals) {
        if *total == best {
            ties += 1;
            if random.random_range(0..ties) == 0 {
                chosen = Some(*node);
            }
        }
    }
    chosen
}

fn diagnose(total_nodes: usize, cycle: Cycle, failures: Vec<(NodeSlot, Failure)>) -> Diagnosis {
    let unvisited = total_nodes.saturating_sub(failures.len());
    let not_pinned = std::iter::repeat_n(Reasons::from(Reason::NotPinned), unvisited);
    let reasons = failures.iter().map(|(_, failure)| failure.reasons);
    let message = histogram(total_nodes, reasons.chain(not_pinned), &cycle.pod);
    let mut plugins = super::failure::plugins(failures.iter().map(|(_, failure)| *failure));
    if unvisited > 0 {
        plugins.insert(Plugin::NodeAffinity);
    }
    Diagnosis {
        total_nodes,
        cycle: Some(cycle),
        failures,
        message,
        plugins,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_nodes_shrinks_with_the_cluster() {
        for (nodes, percentage, wanted) in [
            (50, 0, 50),
            (100, 0, 100),
            (1000, 0, 420),
            (5000, 0, 500),
            (6000, 0, 300),
            (15000, 0, 750),
            (5000, 100, 5000),
            (5000, 1, 100),
            (90, 10, 90),
        ] {
            assert_eq!(nodes_to_find(nodes, percentage), wanted, "{nodes} {percentage}");
        }
    }
}
