//! What the scheduler knows of the cluster, in flat arrays that are updated by deltas.
//!
//! A node is a slot number. Pods are grouped by namespace and labels into classes; which matchers count a
//! class is worked out once. Counts per node and per topology domain are kept as pods come and go, so that
//! a decision never walks over pods.

mod classes;
mod counts;
mod images;
mod nodes;
mod nominated;
mod pods;
mod storage;
mod terms;
mod topology;
mod workloads;

use ahash::AHashMap;

pub use classes::{ClassId, MatcherId, TermId};
pub use images::Images;
pub use nodes::{NodeSlot, Nodes};
pub use nominated::Nominated;
pub use pods::{PlacedPod, Uid};
pub use storage::{Claim, ClaimKey, ClaimPhase, Storage, StorageClass, Volume, claim_keys};
pub use terms::{TermKind, TermRow};
pub use topology::{Domain, KeyId, NO_DOMAIN, Topology};
pub use workloads::Workloads;

use crate::model::selector::Labels;

/// All state that decisions are made from.
#[derive(Default)]
pub struct Cluster {
    pub nodes: Nodes,
    pub topology: Topology,
    pub nominated: Nominated,
    pub images: Images,
    pub workloads: Workloads,
    pub storage: Storage,
    pub disruption_budgets: AHashMap<(String, String), crate::preemption::DisruptionBudget>,
    namespaces: AHashMap<String, Labels>,
    classes: classes::Classes,
    matchers: counts::Matchers,
    terms: terms::Terms,
    pods: AHashMap<Uid, PlacedPod>,
}

#[cfg(test)]
mod tests;
