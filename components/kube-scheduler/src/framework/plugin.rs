//! The plugins, by upstream's names, and where each of them takes part.

/// In upstream's default order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Plugin {
    SchedulingGates,
    PrioritySort,
    NodeUnschedulable,
    NodeName,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    VolumeRestrictions,
    NodeVolumeLimits,
    VolumeBinding,
    VolumeZone,
    PodTopologySpread,
    InterPodAffinity,
    DynamicResources,
    DefaultPreemption,
    NodeResourcesBalancedAllocation,
    ImageLocality,
    DefaultBinder,
    NodeDeclaredFeatures,
}

/// An extension point of the framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    PreEnqueue,
    QueueSort,
    PreFilter,
    Filter,
    PostFilter,
    PreScore,
    Score,
    Reserve,
    PreBind,
    Bind,
}

use Plugin::*;

impl Plugin {
    /// All, with the weight that each has by default (0 for those that do not score).
    pub const DEFAULTS: [(Self, i64); 20] = [
        (SchedulingGates, 0),
        (PrioritySort, 0),
        (NodeUnschedulable, 0),
        (NodeName, 0),
        (TaintToleration, 3),
        (NodeAffinity, 2),
        (NodePorts, 0),
        (NodeResourcesFit, 1),
        (VolumeRestrictions, 0),
        (NodeVolumeLimits, 0),
        (VolumeBinding, 0),
        (VolumeZone, 0),
        (PodTopologySpread, 2),
        (InterPodAffinity, 2),
        (DynamicResources, 0),
        (DefaultPreemption, 0),
        (NodeResourcesBalancedAllocation, 1),
        (ImageLocality, 1),
        (DefaultBinder, 0),
        (NodeDeclaredFeatures, 0),
    ];

    pub fn name(self) -> &'static str {
        match self {
            SchedulingGates => "SchedulingGates",
            PrioritySort => "PrioritySort",
            NodeUnschedulable => "NodeUnschedulable",
            NodeName => "NodeName",
            TaintToleration => "TaintToleration",
            NodeAffinity => "NodeAffinity",
            NodePorts => "NodePorts",
            NodeResourcesFit => "NodeResourcesFit",
            VolumeRestrictions => "VolumeRestrictions",
            NodeVolumeLimits => "NodeVolumeLimits",
            VolumeBinding => "VolumeBinding",
            VolumeZone => "VolumeZone",
            PodTopologySpread => "PodTopologySpread",
            InterPodAffinity => "InterPodAffinity",
            DynamicResources => "DynamicResources",
            DefaultPreemption => "DefaultPreemption",
            NodeResourcesBalancedAllocation => "NodeResourcesBalancedAllocation",
            ImageLocality => "ImageLocality",
            DefaultBinder => "DefaultBinder",
            NodeDeclaredFeatures => "NodeDeclaredFeatures",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::DEFAULTS
            .iter()
            .map(|(plugin, _)| *plugin)
            .find(|plugin| plugin.name() == name)
    }

    /// Whether it takes part at the extension point.
    pub fn extends(self, point: Point) -> bool {
        match point {
            Point::PreEnqueue => self == SchedulingGates,
            Point::QueueSort => self == PrioritySort,
            Point::PreFilter => matches!(
                self,
                NodeAffinity
                    | NodePorts
                    | NodeResourcesFit
                    | VolumeRestrictions
                    | NodeVolumeLimits
                    | VolumeBinding
                    | VolumeZone
                    | PodTopologySpread
                    | InterPodAffinity
                    | DynamicResources
                    | NodeDeclaredFeatures
            ),
            Point::Filter => {
                matches!(self, NodeUnschedulable | NodeName | TaintToleration)
                    || self.extends(Point::PreFilter)
            }
            Point::PostFilter => matches!(self, DynamicResources | DefaultPreemption),
            Point::PreScore | Point::Score => matches!(
                self,
                TaintToleration
                    | NodeAffinity
                    | NodeResourcesFit
                    | PodTopologySpread
                    | InterPodAffinity
                    | NodeResourcesBalancedAllocation
                    | ImageLocality
            ),
            Point::Reserve | Point::PreBind => matches!(self, VolumeBinding | DynamicResources),
            Point::Bind => self == DefaultBinder,
        }
    }
}

/// A set of plugins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginMask(u32);

impl PluginMask {
    pub fn insert(&mut self, plugin: Plugin) {
        self.0 |= 1 << plugin as u8;
    }

    pub fn contains(self, plugin: Plugin) -> bool {
        self.0 & (1 << plugin as u8) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Plugin> {
        Plugin::DEFAULTS
            .into_iter()
            .map(|(plugin, _)| plugin)
            .filter(move |plugin| self.contains(*plugin))
    }
}

impl FromIterator<Plugin> for PluginMask {
    fn from_iter<I: IntoIterator<Item = Plugin>>(plugins: I) -> Self {
        let mut mask = Self::default();
        plugins.into_iter().for_each(|plugin| mask.insert(plugin));
        mask
    }
}
