//! NodeResourcesFit as a filter: requests never exceed what a node has left.

use component_config::kube_scheduler::NodeResourcesFitArgs;

use crate::cluster::{Cluster, NodeSlot};
use crate::framework::failure::Reasons;
use crate::framework::{Cycle, Failure, Plugin, Reason, WhatIf};
use crate::model::Pod;

/// Which of the pod's scalar requests the arguments say to ignore.
pub fn ignored(arguments: &NodeResourcesFitArgs, pod: &Pod) -> Vec<bool> {
    pod.requests
        .actual
        .scalars
        .iter()
        .map(|(name, _)| {
            let group = name.split_once('/').map_or("", |(group, _)| group);
            name.contains('/')
                && (arguments.ignored_resources.contains(name)
                    || arguments.ignored_resource_groups.iter().any(|one| one == group))
        })
        .collect()
}

pub fn check(
    cycle: &Cycle,
    cluster: &Cluster,
    node: NodeSlot,
    what_if: Option<&WhatIf>,
) -> Result<(), Failure> {
    let slot = node as usize;
    let nodes = &cluster.nodes;
    let wanted = &cycle.pod.requests.actual;
    let mut reasons = Reasons::default();
    let mut hopeless = false;
    let pods = nodes.pods[slot].len() as i64 + what_if.map_or(0, |what_if| what_if.pods);
    if pods + 1 > nodes.allowed_pods[slot] {
        reasons.insert(Reason::TooManyPods);
    }
    let mut fit = |wanted: i64, allocatable: i64, requested: i64| {
        let short = wanted > 0 && wanted > allocatable - requested;
        hopeless |= short && wanted > allocatable;
        short
    };
    let delta = |of: fn(&WhatIf) -> i64| what_if.map_or(0, of);
    if fit(
        wanted.milli_cpu,
        nodes.allocatable.milli_cpu[slot],
        nodes.requested.milli_cpu[slot] + delta(|what_if| what_if.milli_cpu),
    ) {
        reasons.insert(Reason::Cpu);
    }
    if fit(
        wanted.memory,
        nodes.allocatable.memory[slot],
        nodes.requested.memory[slot] + delta(|what_if| what_if.memory),
    ) {
        reasons.insert(Reason::Memory);
    }
    if fit(
        wanted.ephemeral_storage,
        nodes.allocatable.ephemeral_storage[slot],
        nodes.requested.ephemeral_storage[slot] + delta(|what_if| what_if.ephemeral_storage),
    ) {
        reasons.insert(Reason::EphemeralStorage);
    }
    for (index, (name, amount)) in wanted.scalars.iter().enumerate() {
        if cycle.ignored_scalars[index] {
            continue;
        }
        let of = |column: Option<&[i64]>| column.map_or(0, |column| column[slot]);
        let requested = of(nodes.requested.column(name))
            + what_if.map_or(0, |what_if| what_if.scalars.get(index).copied().unwrap_or(0));
        if fit(*amount, of(nodes.allocatable.column(name)), requested) {
            reasons.insert_scalar(index);
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Failure {
        plugin: Plugin::NodeResourcesFit,
        resolvable: !hopeless,
        reasons,
    })
}
