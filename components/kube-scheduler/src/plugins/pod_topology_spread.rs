//! PodTopologySpread: pods of a kind spread evenly over the domains of a topology key.

use crate::cluster::{Cluster, KeyId, MatcherId, NO_DOMAIN, NodeSlot};
use crate::framework::{Cycle, Failure, Plugin, Profile, Reason, WhatIf};
use crate::model::SpreadConstraint;
use crate::model::selector::{Labels, Selector};

/// A `DoNotSchedule` constraint with the counts that hold for the pod.
pub struct CheckedConstraint {
    pub matcher: MatcherId,
    key: KeyId,
    max_skew: i64,
    min_domains: i64,
    /// 1 when the pod itself will be counted.
    own: i64,
    counts: Counts,
    least: i64,
    domains: i64,
}

/// Counts by domain.
enum Counts {
    /// Those that are kept anyway: every node is eligible.
    Kept,
    /// Summed for this pod over the nodes that are eligible for it; None without an eligible node.
    Summed(Vec<Option<i64>>),
}

/// The pod's constraints, or the defaults for pods that a Service or controller selects.
fn constraints(cluster: &Cluster, cycle: &Cycle, profile: &Profile) -> (Vec<SpreadConstraint>, bool) {
    let pod = &cycle.pod;
    if !pod.spread.is_empty() {
        return (pod.spread.clone(), false);
    }
    let Some(selector) = cluster.workloads.selector_of(pod) else {
        return (Vec::new(), false);
    };
    let made = |mut constraint: SpreadConstraint, selector: &Selector| {
        constraint.pods.labels = selector.clone();
        constraint
    };
    let listed = match &profile.default_spread {
        Some(list) => list
            .iter()
            .map(|one| made(SpreadConstraint::of(one, &pod.namespace, &pod.labels), &selector))
            .collect(),
        None => [("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5)]
            .map(|(key, max_skew)| SpreadConstraint {
                pods: crate::model::PodMatcher {
                    namespaces: [pod.namespace.clone()].into(),
                    namespace_selector: None,
                    labels: selector.clone(),
                },
                topology_key: key.to_owned(),
                max_skew,
                min_domains: 1,
                required: false,
                honor_affinity: true,
                honor_taints: false,
            })
            .into(),
    };
    (listed, profile.default_spread.is_none())
}

/// Registers the required constraints and works out the smallest count of each.
pub fn prepare(cluster: &mut Cluster, cycle: &mut Cycle, profile: &Profile) {
    if cycle.pod.spread.is_empty() && profile.default_spread.as_ref().is_none_or(Vec::is_empty) {
        // The system's default constraints are preferences.
        return;
    }
    let required: Vec<SpreadConstraint> = constraints(cluster, cycle, profile)
        .0
        .into_iter()
        .filter(|one| one.required)
        .collect();
    if required.is_empty() {
        return;
    }
    let registered: Vec<(MatcherId, KeyId)> = required.iter().map(|one| register(cluster, one)).collect();
    let everywhere = required.len() == 1 || registered.iter().all(|(_, key)| all_nodes_have(cluster, *key));
    let cluster = &*cluster;
    let checked = required
        .iter()
        .zip(registered.iter().copied())
        .map(|(constraint, (matcher, key))| {
            let eligible = |node: NodeSlot| {
                registered
                    .iter()
                    .all(|(_, key)| cluster.topology.row(*key).domain(node) != NO_DOMAIN)
                    && is_eligible(constraint, cluster, cycle, node)
            };
            let plain = everywhere
                && (!constraint.honor_affinity || cycle.pod.nodes.is_unrestricted())
                && (!constraint.honor_taints || cycle.tolerated.iter().all(|tolerated| *tolerated));
            let counts = if plain {
                Counts::Kept
            } else {
                Counts::Summed(sum(cluster, matcher, key, eligible))
            };
            let mut checked = CheckedConstraint {
                matcher,
                key,
                max_skew: constraint.max_skew,
                min_domains: constraint.min_domains,
                own: i64::from(matches_itself(constraint, cycle)),
                counts,
                least: 0,
                domains: 0,
            };
            (checked.least, checked.domains) = checked.least_and_domains(cluster, None);
            checked
        });
    cycle.spread = checked.collect();
}

fn register(cluster: &mut Cluster, constraint: &SpreadConstraint) -> (MatcherId, KeyId) {
    let matcher = cluster.matcher(std::slice::from_ref(&constraint.pods));
    let key = cluster.key(&constraint.topology_key);
    cluster.tabulate(matcher, key);
    (matcher, key)
}

fn all_nodes_have(cluster: &Cluster, key: KeyId) -> bool {
    cluster.topology.row(key).nodes_with_key == cluster.nodes.order().len()
}

fn matches_itself(constraint: &SpreadConstraint, cycle: &Cycle) -> bool {
    constraint
        .pods
        .matches(&cycle.pod.namespace, &Labels::new(), &cycle.pod.labels)
}

fn is_eligible(constraint: &SpreadConstraint, cluster: &Cluster, cycle: &Cycle, node: NodeSlot) -> bool {
    (!constraint.honor_affinity || cycle.selects(cluster, node))
        && (!constraint.honor_taints || cycle.tolerated[cluster.nodes.taint_set[node as usize] as usize])
}

fn sum(
    cluster: &Cluster,
    matcher: MatcherId,
    key: KeyId,
    eligible: impl Fn(NodeSlot) -> bool,
) -> Vec<Option<i64>> {
    let row = cluster.topology.row(key);
    let mut sums = vec![None; row.domain_limit()];
    let Some(counts) = cluster.counts(matcher) else {
        return sums;
    };
    for node in cluster.nodes.order() {
        let domain = row.domain(*node);
        if domain != NO_DOMAIN && eligible(*node) {
            let sum = &mut sums[domain as usize];
            *sum = Some(sum.unwrap_or(0) + i64::from(counts.on_node(*node).staying()));
        }
    }
    sums
}

impl CheckedConstraint {
    /// The count of a domain; None when no eligible node is in it.
    fn count(&self, cluster: &Cluster, domain: u32) -> Option<i64> {
        match &self.counts {
            Counts::Summed(sums) => sums.get(domain as usize).copied().flatten(),
            Counts::Kept => {
                if cluster
                    .topology
                    .row(self.key)
                    .nodes_in
                    .get(domain as usize)
                    .is_none_or(|nodes| *nodes == 0)
                {
                    return None;
                }
                let table = cluster
                    .counts(self.matcher)
                    .map_or(&[][..], |counts| counts.table(self.key));
                Some(
                    table
                        .get(domain as usize)
                        .map_or(0, |count| i64::from(count.staying())),
                )
            }
        }
    }

    /// The smallest count, with one domain's count changed, and the number of domains.
    fn least_and_domains(&self, cluster: &Cluster, change: Option<(u32, i64)>) -> (i64, i64) {
        if let (Counts::Kept, None) = (&self.counts, change) {
            return self.least_of_kept(cluster);
        }
        let (mut least, mut domains) = (i64::MAX, 0);
        for domain in 0..cluster.topology.row(self.key).domain_limit() as u32 {
            if let Some(mut count) = self.count(cluster, domain) {
                if let Some((changed, by)) = change
                    && changed == domain
                {
                    count += by;
                }
                least = least.min(count);
                domains += 1;
            }
        }
        (if domains == 0 { 0 } else { least }, domains)
    }
}

impl CheckedConstraint {
    /// As [`Self::least_and_domains`] for counts that are kept: two arrays side by side.
    fn least_of_kept(&self, cluster: &Cluster) -> (i64, i64) {
        let nodes_in = &cluster.topology.row(self.key).nodes_in;
        let table = cluster
            .counts(self.matcher)
            .map_or(&[][..], |counts| counts.table(self.key));
        let (mut least, mut domains) = (u32::MAX, 0);
        for (domain, nodes) in nodes_in.iter().enumerate() {
            if *nodes > 0 {
                least = least.min(table.get(domain).map_or(0, |count| count.staying()));
                domains += 1;
            }
        }
        (if domains == 0 { 0 } else { i64::from(least) }, domains)
    }
}

pub fn check(
    cycle: &Cycle,
    cluster: &Cluster,
    node: NodeSlot,
    what_if: Option<&WhatIf>,
) -> Result<(), Failure> {
    for (index, constraint) in cycle.spread.iter().enumerate() {
        let domain = cluster.topology.row(constraint.key).domain(node);
        if domain == NO_DOMAIN {
            return Err(Failure::unresolvable(
                Plugin::PodTopologySpread,
                Reason::SpreadLabelMissing,
            ));
        }
        let delta = what_if.map_or(0, |what_if| what_if.spread[index]);
        let least = match (delta, constraint.domains < constraint.min_domains) {
            (_, true) => 0,
            (0, false) => constraint.least,
            (delta, false) => constraint.least_and_domains(cluster, Some((domain, delta))).0,
        };
        let count = constraint.count(cluster, domain).unwrap_or(0) + delta;
        if count + constraint.own - least > constraint.max_skew {
            return Err(Failure::resolvable(Plugin::PodTopologySpread, Reason::Spread));
        }
    }
    Ok(())
}

/// Scores of the feasible nodes in 0..=100; fewer pods of the kind in the node's domains is better. None when
/// no preference applies.
pub fn scores(
    cycle: &Cycle,
    cluster: &mut Cluster,
    profile: &Profile,
    nodes: &[NodeSlot],
) -> Option<Vec<i64>> {
    let (all, system_default) = constraints(cluster, cycle, profile);
    let preferred: Vec<SpreadConstraint> = all.into_iter().filter(|one| !one.required).collect();
    if preferred.is_empty() {
        return None;
    }
    let registered: Vec<(MatcherId, KeyId)> = preferred.iter().map(|one| register(cluster, one)).collect();
    let cluster = &*cluster;
    let has_all_keys = |node: NodeSlot| {
        registered
            .iter()
            .all(|(_, key)| cluster.topology.row(*key).domain(node) != NO_DOMAIN)
    };
    let ignored: Vec<bool> = nodes
        .iter()
        .map(|node| !system_default && !has_all_keys(*node))
        .collect();
    let scored = || {
        nodes
            .iter()
            .zip(&ignored)
            .filter(|(_, ignored)| !**ignored)
            .map(|(node, _)| *node)
    };
    let mut sums = vec![0f64; nodes.len()];
    for (constraint, (matcher, key)) in preferred.iter().zip(&registered) {
        let row = cluster.topology.row(*key);
        let is_hostname = row.key == "kubernetes.io/hostname";
        let Some(counts) = cluster.counts(*matcher) else {
            continue;
        };
        let plain = (system_default || registered.iter().all(|(_, key)| all_nodes_have(cluster, *key)))
            && (!constraint.honor_affinity || cycle.pod.nodes.is_unrestricted())
            && !constraint.honor_taints;
        let mut seen = vec![false; row.domain_limit()];
        let mut size = 0usize;
        for node in scored() {
            let domain = row.domain(node);
            if domain != NO_DOMAIN && !std::mem::replace(&mut seen[domain as usize], true) {
                size += 1;
            }
        }
        if is_hostname {
            size = scored().count();
        }
        let weight = ((size + 2) as f64).ln();
        let summed = (!plain && !is_hostname).then(|| {
            sum(cluster, *matcher, *key, |node| {
                (system_default || has_all_keys(node)) && is_eligible(constraint, cluster, cycle, node)
            })
        });
        for (at, node) in nodes.iter().enumerate() {
            let domain = row.domain(*node);
            if ignored[at] || domain == NO_DOMAIN {
                continue;
            }
            let count = if is_hostname {
                i64::from(counts.on_node(*node).staying())
            } else if let Some(summed) = &summed {
                summed[domain as usize].unwrap_or(0)
            } else {
                counts
                    .table(*key)
                    .get(domain as usize)
                    .map_or(0, |count| i64::from(count.staying()))
            };
            sums[at] += count as f64 * weight + (constraint.max_skew - 1) as f64;
        }
    }
    let rounded: Vec<i64> = sums.iter().map(|sum| sum.round() as i64).collect();
    Some(normalize(&rounded, &ignored))
}

/// The fewest pods become 100, the most the least; ignored nodes get 0.
fn normalize(sums: &[i64], ignored: &[bool]) -> Vec<i64> {
    let scored = || {
        sums.iter()
            .zip(ignored)
            .filter(|(_, ignored)| !**ignored)
            .map(|(sum, _)| *sum)
    };
    let (least, most) = (scored().min().unwrap_or(0), scored().max().unwrap_or(0));
    sums.iter()
        .zip(ignored)
        .map(|(sum, ignored)| match (ignored, most) {
            (true, _) => 0,
            (false, 0) => 100,
            (false, _) => 100 * (most + least - sum) / most,
        })
        .collect()
}
