//! Flags and configuration of kube-scheduler: `kubescheduler.config.k8s.io/v1`.

mod arguments;
mod configuration;
mod duration;
mod flags;
mod load;

pub use arguments::{
    DefaultPreemptionArgs, InterPodAffinityArgs, NodeAffinityArgs, NodeResourcesBalancedAllocationArgs,
    NodeResourcesFitArgs, PluginArguments, PodTopologySpreadArgs, RequestedToCapacityRatioParam,
    ResourceSpec, ScoringStrategy, ScoringStrategyType, SpreadDefaulting, UtilizationShapePoint,
    VolumeBindingArgs,
};
pub use configuration::{
    ClientConnection, Extender, KubeSchedulerConfiguration, LeaderElection, Plugin, PluginConfig, PluginSet,
    Plugins, Profile,
};
pub use duration::GoDuration;
pub use flags::{Flags, UNUSED_FLAGS};
pub use load::{InvalidConfiguration, load, parse};
