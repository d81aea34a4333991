//! InterPodAffinity: terms of the pod about placed pods, and of placed pods about the pod.

use crate::cluster::{Cluster, KeyId, MatcherId, NO_DOMAIN, NodeSlot, TermKind};
use crate::framework::{Cycle, Failure, Plugin, Reason, WhatIf};
use crate::model::PodMatcher;
use crate::model::selector::Labels;

/// A required term of the pod: how many pods the matcher counts in the node's domain of the key.
#[derive(Clone, Copy, Debug)]
pub struct CheckedTerm {
    pub matcher: MatcherId,
    pub key: KeyId,
}

/// Registers the pod's required terms and finds the terms of placed pods against it.
pub fn prepare(cluster: &mut Cluster, cycle: &mut Cycle) {
    let pod = cycle.pod.clone();
    if !pod.affinity.required.is_empty() {
        // A pod counts for affinity when it matches all terms, whatever their keys.
        let all: Vec<PodMatcher> = pod
            .affinity
            .required
            .iter()
            .map(|term| term.pods.clone())
            .collect();
        let matcher = cluster.matcher(&all);
        cycle.affinity_matcher = Some(matcher);
        cycle.affinity = pod
            .affinity
            .required
            .iter()
            .map(|term| CheckedTerm {
                matcher,
                key: cluster.key(&term.topology_key),
            })
            .collect();
        for term in &cycle.affinity {
            cluster.tabulate(matcher, term.key);
        }
        let none = Labels::new();
        let labels = cluster.namespace_labels(&pod.namespace).unwrap_or(&none);
        cycle.matches_own_affinity = all
            .iter()
            .all(|one| one.matches(&pod.namespace, labels, &pod.labels));
        cycle.affinity_unmatched = cluster.counts(matcher).is_none_or(|counts| {
            cycle
                .affinity
                .iter()
                .all(|term| counts.table(term.key).iter().all(|count| count.all == 0))
        });
    }
    cycle.anti_affinity = pod
        .anti_affinity
        .required
        .iter()
        .map(|term| {
            let matcher = cluster.matcher(std::slice::from_ref(&term.pods));
            let key = cluster.key(&term.topology_key);
            cluster.tabulate(matcher, key);
            CheckedTerm { matcher, key }
        })
        .collect();
    cycle.existing_anti_affinity = cluster
        .terms_about(cycle.class)
        .filter(|(_, row)| row.kind == TermKind::RequiredAnti)
        .map(|(id, row)| (id, row.key))
        .collect();
}

pub fn check(
    cycle: &Cycle,
    cluster: &Cluster,
    node: NodeSlot,
    what_if: Option<&WhatIf>,
) -> Result<(), Failure> {
    if !cycle.affinity.is_empty() && !affinity_holds(cycle, cluster, node, what_if) {
        return Err(Failure::unresolvable(
            Plugin::InterPodAffinity,
            Reason::PodAffinity,
        ));
    }
    for (index, term) in cycle.anti_affinity.iter().enumerate() {
        let delta = what_if.map_or(0, |what_if| what_if.anti_affinity[index]);
        if in_domain(cluster, term, node).is_some_and(|count| count + delta > 0) {
            return Err(Failure::resolvable(
                Plugin::InterPodAffinity,
                Reason::PodAntiAffinity,
            ));
        }
    }
    let existing = Failure::resolvable(Plugin::InterPodAffinity, Reason::ExistingAntiAffinity);
    for (index, (term, key)) in cycle.existing_anti_affinity.iter().enumerate() {
        let domain = cluster.topology.row(*key).domain(node);
        if domain == NO_DOMAIN {
            continue;
        }
        let holders = cluster
            .term(*term)
            .and_then(|row| row.sums.get(domain as usize))
            .copied()
            .unwrap_or(0);
        if holders + what_if.map_or(0, |what_if| what_if.existing_anti_affinity[index]) > 0 {
            return Err(existing);
        }
    }
    if what_if.is_some_and(|what_if| what_if.added_anti_affinity) {
        return Err(existing);
    }
    Ok(())
}

fn affinity_holds(cycle: &Cycle, cluster: &Cluster, node: NodeSlot, what_if: Option<&WhatIf>) -> bool {
    let delta = what_if.map_or(0, |what_if| what_if.affinity);
    let mut matched = true;
    for term in &cycle.affinity {
        match in_domain(cluster, term, node) {
            None => return false,
            Some(count) => matched &= count + delta > 0,
        }
    }
    // The first pod of a group that wants to be together cannot wait for another one.
    matched || (cycle.matches_own_affinity && nobody_matches(cycle, cluster, delta))
}

fn nobody_matches(cycle: &Cycle, cluster: &Cluster, delta: i64) -> bool {
    if delta == 0 {
        return cycle.affinity_unmatched;
    }
    cycle
        .affinity_matcher
        .and_then(|matcher| cluster.counts(matcher))
        .is_none_or(|counts| {
            cycle.affinity.iter().all(|term| {
                counts
                    .table(term.key)
                    .iter()
                    .map(|count| i64::from(count.all))
                    .sum::<i64>()
                    + delta
                    <= 0
            })
        })
}

/// Pods that the term counts in the node's domain; None when the node lacks the key.
fn in_domain(cluster: &Cluster, term: &CheckedTerm, node: NodeSlot) -> Option<i64> {
    let domain = cluster.topology.row(term.key).domain(node);
    if domain == NO_DOMAIN {
        return None;
    }
    let table = cluster
        .counts(term.matcher)
        .map_or(&[][..], |counts| counts.table(term.key));
    Some(table.get(domain as usize).map_or(0, |count| i64::from(count.all)))
}

/// What the terms add up to per node, before it is brought to 0..=100. None when no term says anything.
pub fn scores(
    cycle: &Cycle,
    cluster: &mut Cluster,
    nodes: &[NodeSlot],
    hard_weight: i64,
    ignore_preferred_of_existing: bool,
) -> Option<Vec<i64>> {
    let pod = cycle.pod.clone();
    let mut own: Vec<(CheckedTerm, i64)> = Vec::new();
    let preferred = pod
        .affinity
        .preferred
        .iter()
        .map(|(weight, term)| (*weight, term));
    let avoided = pod
        .anti_affinity
        .preferred
        .iter()
        .map(|(weight, term)| (-*weight, term));
    for (weight, term) in preferred.chain(avoided) {
        let matcher = cluster.matcher(std::slice::from_ref(&term.pods));
        let key = cluster.key(&term.topology_key);
        cluster.tabulate(matcher, key);
        own.push((CheckedTerm { matcher, key }, weight));
    }
    if ignore_preferred_of_existing && own.is_empty() {
        return None;
    }
    let theirs: Vec<(&[i64], KeyId, i64)> = cluster
        .terms_about(cycle.class)
        .filter_map(|(_, row)| {
            let weight = match row.kind {
                TermKind::RequiredAnti => 0,
                TermKind::Required => hard_weight,
                TermKind::Preferred => 1,
            };
            (weight != 0).then_some((&row.sums[..], row.key, weight))
        })
        .collect();
    if own.is_empty() && theirs.is_empty() {
        return None;
    }
    let score = |node: NodeSlot| {
        let ours: i64 = own
            .iter()
            .map(|(term, weight)| weight * in_domain(cluster, term, node).unwrap_or(0))
            .sum();
        let from_them: i64 = theirs
            .iter()
            .map(|(sums, key, weight)| {
                let domain = cluster.topology.row(*key).domain(node);
                weight * sums.get(domain as usize).copied().unwrap_or(0)
            })
            .sum();
        ours + from_them
    };
    Some(nodes.iter().map(|node| score(*node)).collect())
}

/// Brings the sums to 0..=100, the smallest to 0 and the largest to 100; all alike is 0.
pub fn normalize(scores: &mut [i64]) {
    let (Some(least), Some(most)) = (scores.iter().min().copied(), scores.iter().max().copied()) else {
        return;
    };
    let range = most - least;
    for score in scores {
        *score = if range > 0 {
            (100.0 * ((*score - least) as f64 / range as f64)) as i64
        } else {
            0
        };
    }
}
