//! Victims on one node, and which node's victims hurt least.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::budgets::{DisruptionBudget, violations};
use crate::cluster::{Cluster, NodeSlot, PlacedPod, Uid};
use crate::framework::failure::{Reason, Reasons};
use crate::framework::search::check_what_if;
use crate::framework::{Cycle, WhatIf};

/// A node that can take the pod when the victims are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub node: NodeSlot,
    /// The most important first.
    pub victims: Vec<Uid>,
    /// Victims whose deletion violates a budget.
    pub violations: usize,
}

/// The fewest victims on the node: all pods of lower priority are taken off and as many as possible put
/// back, those protected by a budget first, then by importance.
pub fn on_node(
    cluster: &Cluster,
    cycle: &Cycle,
    node: NodeSlot,
    budgets: &[&DisruptionBudget],
) -> Result<Candidate, Reasons> {
    let mut lower: Vec<&PlacedPod> = cluster
        .pods_on(node)
        .filter(|placed| placed.pod.priority < cycle.pod.priority)
        .collect();
    if lower.is_empty() {
        return Err(Reason::NoVictims.into());
    }
    let mut what_if = WhatIf::new(cycle);
    for placed in &lower {
        what_if.remove(cluster, cycle, placed);
    }
    check_what_if(cycle, cluster, node, Some(&what_if)).map_err(|failure| failure.reasons)?;
    lower.sort_by_key(|placed| importance(placed));
    let pods: Vec<&crate::model::Pod> = lower.iter().map(|placed| &*placed.pod).collect();
    let violates = violations(&pods, budgets);
    let (mut victims, mut broken): (Vec<&PlacedPod>, usize) = (Vec::new(), 0);
    let protected = lower.iter().zip(&violates).filter(|(_, violates)| **violates);
    let others = lower.iter().zip(&violates).filter(|(_, violates)| !**violates);
    for (placed, violates) in protected.chain(others) {
        what_if.restore(cluster, cycle, placed);
        if check_what_if(cycle, cluster, node, Some(&what_if)).is_err() {
            what_if.remove(cluster, cycle, placed);
            victims.push(placed);
            broken += usize::from(*violates);
        }
    }
    victims.sort_by_key(|placed| importance(placed));
    let victims = victims.into_iter().map(|placed| placed.pod.uid.clone()).collect();
    Ok(Candidate {
        node,
        victims,
        violations: broken,
    })
}

/// Sorts the most important pod first: higher priority, then longer running.
fn importance(placed: &PlacedPod) -> (Reverse<i32>, Timestamp) {
    (
        Reverse(placed.pod.priority),
        placed.pod.started.unwrap_or(Timestamp::MAX),
    )
}

/// The candidate with the fewest violated budgets, then the lowest highest priority, then the lowest sum of
/// priorities, then the fewest victims, then whose most important victims started last.
pub fn best(cluster: &Cluster, candidates: Vec<Candidate>) -> Option<Candidate> {
    candidates.into_iter().min_by_key(|candidate| {
        let victims: Vec<&PlacedPod> = candidate
            .victims
            .iter()
            .filter_map(|uid| cluster.pod(uid))
            .collect();
        let highest = victims
            .iter()
            .map(|placed| placed.pod.priority)
            .max()
            .unwrap_or(i32::MIN);
        // Shifted so that pods of negative priority do not make more victims look cheaper.
        let sum: i128 = victims
            .iter()
            .map(|placed| i128::from(placed.pod.priority) + i128::from(i32::MAX) + 1)
            .sum();
        let most_important = victims.iter().filter(|placed| placed.pod.priority == highest);
        let earliest = most_important.filter_map(|placed| placed.pod.started).min();
        (
            candidate.violations,
            highest,
            sum,
            victims.len(),
            Reverse(earliest.unwrap_or(Timestamp::MAX)),
        )
    })
}
