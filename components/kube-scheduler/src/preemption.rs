//! DefaultPreemption: which pods of lower priority to delete so that a pod fits.

mod budgets;
mod candidates;

use rand::Rng;

pub use budgets::DisruptionBudget;
pub use candidates::Candidate;

use crate::cluster::{Cluster, NodeSlot, Uid};
use crate::framework::failure::{Reason, Reasons, histogram};
use crate::framework::search::Diagnosis;
use crate::framework::{Cycle, Profile};

/// What preemption comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Preemption {
    /// Delete the victims and nominate the node.
    Victims { node: NodeSlot, victims: Vec<Uid> },
    /// It does not help; the nomination that the pod may have is void.
    Useless { message: String },
    /// The pod is not to preempt anything now; a nomination stays.
    NotEligible { message: &'static str },
}

/// Decides for a pod that no node can take. Changes nothing.
pub fn preempt(
    cluster: &Cluster,
    profile: &Profile,
    diagnosis: &Diagnosis,
    random: &mut impl Rng,
) -> Preemption {
    let Some(cycle) = &diagnosis.cycle else {
        return useless(diagnosis.total_nodes, &[], None);
    };
    if let Some(message) = ineligible(cluster, cycle, diagnosis) {
        return Preemption::NotEligible { message };
    }
    let potential: Vec<NodeSlot> = diagnosis
        .failures
        .iter()
        .filter(|(_, failure)| failure.resolvable)
        .map(|(node, _)| *node)
        .collect();
    if potential.is_empty() {
        return useless(diagnosis.total_nodes, &[], Some(cycle));
    }
    let arguments = &profile.arguments.default_preemption;
    let share = potential.len() * arguments.min_candidate_nodes_percentage.max(0) as usize / 100;
    let wanted = share
        .max(arguments.min_candidate_nodes_absolute.max(0) as usize)
        .clamp(1, potential.len());
    let budgets: Vec<&DisruptionBudget> = cluster.disruption_budgets.values().collect();
    let start = random.random_range(0..potential.len());
    let (mut harmless, mut violating, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let (before, after) = potential.split_at(start);
    for node in after.iter().chain(before) {
        match candidates::on_node(cluster, cycle, *node, &budgets) {
            Ok(candidate) if candidate.violations == 0 => harmless.push(candidate),
            Ok(candidate) => violating.push(candidate),
            Err(reasons) => failed.push(reasons),
        }
        if !harmless.is_empty() && harmless.len() + violating.len() >= wanted {
            break;
        }
    }
    harmless.append(&mut violating);
    match candidates::best(cluster, harmless) {
        Some(candidate) => Preemption::Victims {
            node: candidate.node,
            victims: candidate.victims,
        },
        None => useless(diagnosis.total_nodes, &failed, Some(cycle)),
    }
}

fn ineligible(cluster: &Cluster, cycle: &Cycle, diagnosis: &Diagnosis) -> Option<&'static str> {
    if cycle.pod.never_preempts {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let nominated = cycle
        .pod
        .nominated_node
        .as_deref()
        .or(cluster.nominated.node_of(&cycle.pod.uid))?;
    let node = cluster.nodes.slot(nominated)?;
    let hopeless = diagnosis
        .failures
        .iter()
        .any(|(failed, failure)| *failed == node && !failure.resolvable);
    let leaving = cluster.pods_on(node).any(|placed| {
        placed.pod.deleting && placed.pod.priority < cycle.pod.priority && placed.pod.preempted_by_scheduler
    });
    (!hopeless && leaving).then_some("not eligible due to a terminating pod on the nominated node.")
}

fn useless(total_nodes: usize, failed: &[Reasons], cycle: Option<&Cycle>) -> Preemption {
    let others = total_nodes.saturating_sub(failed.len());
    let reasons = failed.iter().copied();
    let all = reasons.chain(std::iter::repeat_n(
        Reasons::from(Reason::PreemptionUseless),
        others,
    ));
    let nobody = Default::default();
    let message = histogram(total_nodes, all, cycle.map_or(&nobody, |cycle| &cycle.pod));
    Preemption::Useless { message }
}
