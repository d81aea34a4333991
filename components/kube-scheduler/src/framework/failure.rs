//! Why a node or a whole attempt was rejected, in upstream's words.

use super::plugin::{Plugin, PluginMask};
use crate::model::Pod;

/// One reason; a node can have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    Unschedulable,
    NodeName,
    Taints,
    NodeAffinity,
    AddedNodeAffinity,
    Ports,
    TooManyPods,
    Cpu,
    Memory,
    EphemeralStorage,
    Spread,
    SpreadLabelMissing,
    PodAffinity,
    PodAntiAffinity,
    ExistingAntiAffinity,
    Disk,
    ReadWriteOncePod,
    VolumeLimit,
    VolumeZone,
    VolumeNodeAffinity,
    VolumeMissing,
    NoVolumeToBind,
    NotPinned,
    NoVictims,
    PreemptionUseless,
    /// Features that the node does not declare.
    WithoutRestartAll,
    WithoutOwnUsers,
    WithoutEither,
}

/// From this bit on, reasons are the pod's scalar resources in order.
const FIRST_SCALAR: u32 = 32;

const ALL: [Reason; 28] = [
    Reason::Unschedulable,
    Reason::NodeName,
    Reason::Taints,
    Reason::NodeAffinity,
    Reason::AddedNodeAffinity,
    Reason::Ports,
    Reason::TooManyPods,
    Reason::Cpu,
    Reason::Memory,
    Reason::EphemeralStorage,
    Reason::Spread,
    Reason::SpreadLabelMissing,
    Reason::PodAffinity,
    Reason::PodAntiAffinity,
    Reason::ExistingAntiAffinity,
    Reason::Disk,
    Reason::ReadWriteOncePod,
    Reason::VolumeLimit,
    Reason::VolumeZone,
    Reason::VolumeNodeAffinity,
    Reason::VolumeMissing,
    Reason::NoVolumeToBind,
    Reason::NotPinned,
    Reason::NoVictims,
    Reason::PreemptionUseless,
    Reason::WithoutRestartAll,
    Reason::WithoutOwnUsers,
    Reason::WithoutEither,
];

impl Reason {
    pub fn text(self) -> &'static str {
        match self {
            Self::Unschedulable => "node(s) were unschedulable",
            Self::NodeName => "node(s) didn't match the requested node name",
            Self::Taints => "node(s) had untolerated taint(s)",
            Self::NodeAffinity => "node(s) didn't match Pod's node affinity/selector",
            Self::AddedNodeAffinity => "node(s) didn't match scheduler-enforced node affinity",
            Self::Ports => "node(s) didn't have free ports for the requested pod ports",
            Self::TooManyPods => "Too many pods",
            Self::Cpu => "Insufficient cpu",
            Self::Memory => "Insufficient memory",
            Self::EphemeralStorage => "Insufficient ephemeral-storage",
            Self::Spread => "node(s) didn't match pod topology spread constraints",
            Self::SpreadLabelMissing => {
                "node(s) didn't match pod topology spread constraints (missing required label)"
            }
            Self::PodAffinity => "node(s) didn't match pod affinity rules",
            Self::PodAntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Self::ExistingAntiAffinity => "node(s) didn't satisfy existing pods anti-affinity rules",
            Self::Disk => "node(s) had no available disk",
            Self::ReadWriteOncePod => {
                "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
            }
            Self::VolumeLimit => "node(s) exceed max volume count",
            Self::VolumeZone => "node(s) had no available volume zone",
            Self::VolumeNodeAffinity => "node(s) didn't match PersistentVolume's node affinity",
            Self::VolumeMissing => {
                "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
            }
            Self::NoVolumeToBind => "node(s) didn't find available persistent volumes to bind",
            Self::NotPinned => "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            Self::NoVictims => "No preemption victims found for incoming pod",
            Self::PreemptionUseless => "Preemption is not helpful for scheduling",
            Self::WithoutRestartAll => {
                "node declared features check failed - unsatisfied requirements: RestartAllContainersOnContainerExits"
            }
            Self::WithoutOwnUsers => {
                "node declared features check failed - unsatisfied requirements: UserNamespacesHostNetworkSupport"
            }
            Self::WithoutEither => {
                "node declared features check failed - unsatisfied requirements: RestartAllContainersOnContainerExits, UserNamespacesHostNetworkSupport"
            }
        }
    }
}

/// Reasons as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasons(u64);

impl Reasons {
    pub fn insert(&mut self, reason: Reason) {
        self.0 |= 1 << reason as u8;
    }

    /// The pod's scalar resource at `index` is short.
    pub fn insert_scalar(&mut self, index: usize) {
        self.0 |= 1 << (FIRST_SCALAR + index.min(31) as u32);
    }

    pub fn contains(self, reason: Reason) -> bool {
        self.0 & (1 << reason as u8) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn bits(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |bit| self.0 & (1 << bit) != 0)
    }
}

impl From<Reason> for Reasons {
    fn from(reason: Reason) -> Self {
        let mut reasons = Self::default();
        reasons.insert(reason);
        reasons
    }
}

/// Why one node cannot take the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub plugin: Plugin,
    /// Whether it may go away when pods leave the node.
    pub resolvable: bool,
    pub reasons: Reasons,
}

impl Failure {
    pub fn resolvable(plugin: Plugin, reason: Reason) -> Self {
        Self {
            plugin,
            resolvable: true,
            reasons: reason.into(),
        }
    }

    pub fn unresolvable(plugin: Plugin, reason: Reason) -> Self {
        Self {
            plugin,
            resolvable: false,
            reasons: reason.into(),
        }
    }
}

/// Why the pod cannot be placed at all, whatever the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub plugin: Plugin,
    pub message: String,
}

/// `0/5 nodes are available: 3 node(s) …, 2 Insufficient cpu.`
pub fn histogram(total_nodes: usize, failures: impl IntoIterator<Item = Reasons>, pod: &Pod) -> String {
    let mut counts = [0usize; 64];
    for reasons in failures {
        for bit in reasons.bits() {
            counts[bit as usize] += 1;
        }
    }
    let mut lines: Vec<String> = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(bit, count)| match bit.checked_sub(FIRST_SCALAR as usize) {
            None => format!("{count} {}", ALL.get(bit).map_or("", |reason| reason.text())),
            Some(index) => {
                let name = pod
                    .requests
                    .actual
                    .scalars
                    .get(index)
                    .map_or("", |(name, _)| name.as_str());
                format!("{count} Insufficient {name}")
            }
        })
        .collect();
    lines.sort();
    if lines.is_empty() {
        return unavailable(total_nodes);
    }
    format!("{} {}.", unavailable(total_nodes), lines.join(", "))
}

/// `0/5 nodes are available:`
pub fn unavailable(total_nodes: usize) -> String {
    format!("0/{total_nodes} nodes are available:")
}

/// The plugins that rejected nodes.
pub fn plugins(failures: impl IntoIterator<Item = Failure>) -> PluginMask {
    failures.into_iter().map(|failure| failure.plugin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_and_sorted_as_text() {
        let mut both = Reasons::from(Reason::Cpu);
        both.insert(Reason::Memory);
        let mut pod = Pod::default();
        pod.requests.actual.scalars = vec![("example.com/gpu".to_owned(), 1)];
        let mut gpu = Reasons::default();
        gpu.insert_scalar(0);
        assert_eq!(
            histogram(12, [both, Reason::Cpu.into(), Reason::Taints.into(), gpu], &pod),
            "0/12 nodes are available: 1 Insufficient example.com/gpu, 1 Insufficient memory, \
             1 node(s) had untolerated taint(s), 2 Insufficient cpu."
        );
    }

    #[test]
    fn every_reason_has_its_bit() {
        for (bit, reason) in ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, bit);
        }
    }
}
