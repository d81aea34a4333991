//! Arguments of the plugins that take any (`pluginConfig[].args`).

use serde::{Deserialize, Serialize};

use super::configuration::PluginConfig;
use super::load::InvalidConfiguration;

/// The arguments of every plugin of a profile, absent ones at their defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginArguments {
    pub default_preemption: DefaultPreemptionArgs,
    pub inter_pod_affinity: InterPodAffinityArgs,
    pub node_affinity: NodeAffinityArgs,
    pub node_resources_fit: NodeResourcesFitArgs,
    pub node_resources_balanced_allocation: NodeResourcesBalancedAllocationArgs,
    pub pod_topology_spread: PodTopologySpreadArgs,
    pub volume_binding: VolumeBindingArgs,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultPreemptionArgs {
    pub min_candidate_nodes_percentage: i32,
    pub min_candidate_nodes_absolute: i32,
}

impl Default for DefaultPreemptionArgs {
    fn default() -> Self {
        Self {
            min_candidate_nodes_percentage: 10,
            min_candidate_nodes_absolute: 100,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InterPodAffinityArgs {
    pub hard_pod_affinity_weight: i32,
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinityArgs {
    fn default() -> Self {
        Self {
            hard_pod_affinity_weight: 1,
            ignore_preferred_terms_of_existing_pods: false,
        }
    }
}

/// `addedAffinity` is a core/v1 NodeAffinity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeAffinityArgs {
    pub added_affinity: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeResourcesFitArgs {
    pub ignored_resources: Vec<String>,
    pub ignored_resource_groups: Vec<String>,
    pub scoring_strategy: ScoringStrategy,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScoringStrategy {
    #[serde(rename = "type")]
    pub kind: ScoringStrategyType,
    pub resources: Vec<ResourceSpec>,
    pub requested_to_capacity_ratio: Option<RequestedToCapacityRatioParam>,
}

impl Default for ScoringStrategy {
    fn default() -> Self {
        Self {
            kind: ScoringStrategyType::LeastAllocated,
            resources: default_resources(),
            requested_to_capacity_ratio: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScoringStrategyType {
    #[default]
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceSpec {
    pub name: String,
    /// 0 or absent means 1.
    #[serde(default)]
    pub weight: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestedToCapacityRatioParam {
    pub shape: Vec<UtilizationShapePoint>,
}

/// Utilization in percent, score from 0 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UtilizationShapePoint {
    pub utilization: i32,
    pub score: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeResourcesBalancedAllocationArgs {
    pub resources: Vec<ResourceSpec>,
}

impl Default for NodeResourcesBalancedAllocationArgs {
    fn default() -> Self {
        Self {
            resources: default_resources(),
        }
    }
}

/// `defaultConstraints` are core/v1 TopologySpreadConstraints without a label selector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTopologySpreadArgs {
    pub default_constraints: Vec<serde_json::Value>,
    pub defaulting_type: SpreadDefaulting,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpreadDefaulting {
    #[default]
    System,
    List,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeBindingArgs {
    pub bind_timeout_seconds: i64,
    pub shape: Vec<UtilizationShapePoint>,
}

impl Default for VolumeBindingArgs {
    fn default() -> Self {
        Self {
            bind_timeout_seconds: 600,
            shape: Vec::new(),
        }
    }
}

fn default_resources() -> Vec<ResourceSpec> {
    ["cpu", "memory"]
        .map(|name| ResourceSpec {
            name: name.to_owned(),
            weight: 1,
        })
        .into()
}

impl PluginArguments {
    /// Reads a profile's `pluginConfig` and checks it; `path` names the profile in messages.
    pub fn of(configured: &[PluginConfig], path: &str) -> Result<Self, InvalidConfiguration> {
        let mut arguments = Self::default();
        let mut seen = Vec::new();
        for (index, plugin) in configured.iter().enumerate() {
            let path = format!("{path}.pluginConfig[{index}]");
            if seen.contains(&plugin.name.as_str()) {
                return Err(InvalidConfiguration::at(
                    &path,
                    format!("repeated config for plugin {}", plugin.name),
                ));
            }
            seen.push(&plugin.name);
            let args = &plugin.args;
            match plugin.name.as_str() {
                "DefaultPreemption" => arguments.default_preemption = decode(args, &path)?,
                "InterPodAffinity" => arguments.inter_pod_affinity = decode(args, &path)?,
                "NodeAffinity" => arguments.node_affinity = decode(args, &path)?,
                "NodeResourcesFit" => arguments.node_resources_fit = decode(args, &path)?,
                "NodeResourcesBalancedAllocation" => {
                    arguments.node_resources_balanced_allocation = decode(args, &path)?;
                }
                "PodTopologySpread" => arguments.pod_topology_spread = decode(args, &path)?,
                "VolumeBinding" => arguments.volume_binding = decode(args, &path)?,
                "DynamicResources" => {}
                other => {
                    return Err(InvalidConfiguration::at(
                        &path,
                        format!("plugin {other} takes no arguments or is unknown; remove the entry"),
                    ));
                }
            }
        }
        arguments.check(path)?;
        for resource in arguments
            .node_resources_fit
            .scoring_strategy
            .resources
            .iter_mut()
            .chain(&mut arguments.node_resources_balanced_allocation.resources)
        {
            resource.weight = resource.weight.max(1);
        }
        Ok(arguments)
    }

    fn check(&self, path: &str) -> Result<(), InvalidConfiguration> {
        let fail = |field: &str, message: String| {
            Err(InvalidConfiguration::at(
                &format!("{path}.pluginConfig.{field}"),
                message,
            ))
        };
        let preemption = &self.default_preemption;
        if !(0..=100).contains(&preemption.min_candidate_nodes_percentage) {
            return fail("minCandidateNodesPercentage", "must be from 0 to 100".to_owned());
        }
        if preemption.min_candidate_nodes_absolute < 0 {
            return fail("minCandidateNodesAbsolute", "must not be negative".to_owned());
        }
        if preemption.min_candidate_nodes_absolute == 0 && preemption.min_candidate_nodes_percentage == 0 {
            return fail(
                "minCandidateNodesAbsolute",
                "cannot be zero at the same time as minCandidateNodesPercentage".to_owned(),
            );
        }
        if !(0..=100).contains(&self.inter_pod_affinity.hard_pod_affinity_weight) {
            return fail("hardPodAffinityWeight", "must be from 0 to 100".to_owned());
        }
        let strategy = &self.node_resources_fit.scoring_strategy;
        for resource in strategy
            .resources
            .iter()
            .chain(&self.node_resources_balanced_allocation.resources)
        {
            if !(0..=100).contains(&resource.weight) {
                return fail(
                    "resources",
                    format!("weight of {} must be from 1 to 100", resource.name),
                );
            }
        }
        if strategy.kind == ScoringStrategyType::RequestedToCapacityRatio {
            let shape = strategy
                .requested_to_capacity_ratio
                .as_ref()
                .map_or(&[][..], |ratio| &ratio.shape);
            check_shape(shape).or_else(|message| fail("requestedToCapacityRatio.shape", message))?;
        }
        let spread = &self.pod_topology_spread;
        if spread.defaulting_type == SpreadDefaulting::System && !spread.default_constraints.is_empty() {
            return fail(
                "defaultConstraints",
                "must be empty when defaultingType is System".to_owned(),
            );
        }
        Ok(())
    }
}

fn check_shape(shape: &[UtilizationShapePoint]) -> Result<(), String> {
    if shape.is_empty() {
        return Err("at least one point must be specified".to_owned());
    }
    for (index, point) in shape.iter().enumerate() {
        if !(0..=100).contains(&point.utilization) {
            return Err(format!("point {index}: utilization must be from 0 to 100"));
        }
        if !(0..=10).contains(&point.score) {
            return Err(format!("point {index}: score must be from 0 to 10"));
        }
        if index > 0 && point.utilization <= shape[index - 1].utilization {
            return Err(format!(
                "point {index}: utilization values must be strictly increasing"
            ));
        }
    }
    Ok(())
}

fn decode<T: serde::de::DeserializeOwned + Default>(
    args: &serde_json::Value,
    path: &str,
) -> Result<T, InvalidConfiguration> {
    if args.is_null() {
        return Ok(T::default());
    }
    serde_json::from_value(args.clone()).map_err(|error| InvalidConfiguration::at(path, error.to_string()))
}
