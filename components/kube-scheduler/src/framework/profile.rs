//! A profile: which plugins take part, in which order, with which weights and arguments.

use component_config::kube_scheduler::{
    InvalidConfiguration, KubeSchedulerConfiguration, PluginArguments, PluginSet, Plugins, SpreadDefaulting,
};
use k8s_openapi::api::core::v1;

use super::plugin::{Plugin, Point};
use crate::model::node_affinity::NodeSelection;

#[derive(Clone, Debug)]
pub struct Profile {
    pub scheduler_name: String,
    pub filters: Vec<Plugin>,
    pub post_filters: Vec<Plugin>,
    /// With their weights.
    pub scores: Vec<(Plugin, i64)>,
    pub honors_gates: bool,
    pub binds_volumes: bool,
    /// Share of the nodes to look for feasible ones among; 0 adapts to the cluster's size.
    pub percentage_of_nodes_to_score: i32,
    pub arguments: PluginArguments,
    pub added_affinity: Option<NodeSelection>,
    /// Constraints for pods without their own; None for upstream's by host and zone.
    pub default_spread: Option<Vec<v1::TopologySpreadConstraint>>,
}

impl Profile {
    /// The profiles of a configuration that has been checked.
    pub fn all(configuration: &KubeSchedulerConfiguration) -> Result<Vec<Self>, InvalidConfiguration> {
        let percentage = configuration.percentage_of_nodes_to_score;
        configuration
            .profiles
            .iter()
            .enumerate()
            .map(|(index, profile)| {
                let path = format!("profiles[{index}]");
                let arguments = PluginArguments::of(&profile.plugin_config, &path)?;
                let plugins = profile.plugins.clone().unwrap_or_default();
                let points = Points::read(&plugins, &path)?;
                let invalid = |field: &str, error: serde_json::Error| {
                    InvalidConfiguration::at(&format!("{path}.pluginConfig.{field}"), error.to_string())
                };
                let added_affinity = match &arguments.node_affinity.added_affinity {
                    None => None,
                    Some(value) => {
                        let affinity: v1::NodeAffinity = serde_json::from_value(value.clone())
                            .map_err(|error| invalid("addedAffinity", error))?;
                        Some(NodeSelection::of_affinity(Some(&affinity)))
                    }
                };
                let spread = &arguments.pod_topology_spread;
                let default_spread = match spread.defaulting_type {
                    SpreadDefaulting::System => None,
                    SpreadDefaulting::List => Some(
                        serde_json::from_value(serde_json::Value::Array(spread.default_constraints.clone()))
                            .map_err(|error| invalid("defaultConstraints", error))?,
                    ),
                };
                Ok(Self {
                    scheduler_name: profile.scheduler_name.clone(),
                    filters: points.plugins(Point::Filter),
                    post_filters: points.plugins(Point::PostFilter),
                    scores: points.of(Point::Score),
                    honors_gates: !points.of(Point::PreEnqueue).is_empty(),
                    binds_volumes: points.plugins(Point::PreBind).contains(&Plugin::VolumeBinding),
                    percentage_of_nodes_to_score: profile
                        .percentage_of_nodes_to_score
                        .or(percentage)
                        .unwrap_or(0),
                    arguments,
                    added_affinity,
                    default_spread,
                })
            })
            .collect()
    }
}

/// Plugins by extension point, worked out from `multiPoint` and the points' own sets.
struct Points<'a> {
    plugins: &'a Plugins,
    multi_point: Vec<(Plugin, i64)>,
}

impl<'a> Points<'a> {
    fn read(plugins: &'a Plugins, path: &str) -> Result<Self, InvalidConfiguration> {
        let sets = [
            ("multiPoint", &plugins.multi_point, None),
            ("preEnqueue", &plugins.pre_enqueue, Some(Point::PreEnqueue)),
            ("queueSort", &plugins.queue_sort, Some(Point::QueueSort)),
            ("preFilter", &plugins.pre_filter, Some(Point::PreFilter)),
            ("filter", &plugins.filter, Some(Point::Filter)),
            ("postFilter", &plugins.post_filter, Some(Point::PostFilter)),
            ("preScore", &plugins.pre_score, Some(Point::PreScore)),
            ("score", &plugins.score, Some(Point::Score)),
            ("reserve", &plugins.reserve, Some(Point::Reserve)),
            ("preBind", &plugins.pre_bind, Some(Point::PreBind)),
            ("bind", &plugins.bind, Some(Point::Bind)),
        ];
        for (name, set, point) in sets {
            for (index, plugin) in set.enabled.iter().enumerate() {
                let field = format!("{path}.plugins.{name}.enabled[{index}]");
                let Some(known) = Plugin::by_name(&plugin.name) else {
                    return Err(InvalidConfiguration::at(
                        &field,
                        format!("plugin {} is unknown", plugin.name),
                    ));
                };
                if point.is_some_and(|point| !known.extends(point)) {
                    let message = format!("plugin {} does not extend {name}", plugin.name);
                    return Err(InvalidConfiguration::at(&field, message));
                }
                if plugin.weight.is_some_and(|weight| weight < 0) {
                    return Err(InvalidConfiguration::at(&field, "weight must not be negative"));
                }
                if set.enabled[..index].iter().any(|one| one.name == plugin.name) {
                    return Err(InvalidConfiguration::at(&field, "plugin is enabled twice"));
                }
            }
        }
        let points = Self {
            plugins,
            multi_point: merge(&Plugin::DEFAULTS, &plugins.multi_point),
        };
        if points.of(Point::QueueSort).is_empty() {
            let field = format!("{path}.plugins.queueSort");
            return Err(InvalidConfiguration::at(
                &field,
                "one queue sort plugin is needed: PrioritySort",
            ));
        }
        if points.of(Point::Bind).is_empty() {
            let field = format!("{path}.plugins.bind");
            return Err(InvalidConfiguration::at(
                &field,
                "at least one bind plugin is needed: DefaultBinder",
            ));
        }
        Ok(points)
    }

    fn set(&self, point: Point) -> &PluginSet {
        match point {
            Point::PreEnqueue => &self.plugins.pre_enqueue,
            Point::QueueSort => &self.plugins.queue_sort,
            Point::PreFilter => &self.plugins.pre_filter,
            Point::Filter => &self.plugins.filter,
            Point::PostFilter => &self.plugins.post_filter,
            Point::PreScore => &self.plugins.pre_score,
            Point::Score => &self.plugins.score,
            Point::Reserve => &self.plugins.reserve,
            Point::PreBind => &self.plugins.pre_bind,
            Point::Bind => &self.plugins.bind,
        }
    }

    /// Plugins that the point's own set names and `multiPoint` has too come first, then those of
    /// `multiPoint`, then the other ones of the point's set.
    fn of(&self, point: Point) -> Vec<(Plugin, i64)> {
        let set = self.set(point);
        let own: Vec<(Plugin, i64)> = set
            .enabled
            .iter()
            .filter_map(|one| Some((Plugin::by_name(&one.name)?, weight(one.weight))))
            .collect();
        let disabled = |plugin: Plugin| {
            set.disabled
                .iter()
                .any(|one| one.name == "*" || one.name == plugin.name())
        };
        let shared = |plugin: Plugin| self.multi_point.iter().any(|(one, _)| *one == plugin);
        let mut plugins: Vec<(Plugin, i64)> = own
            .iter()
            .copied()
            .filter(|(plugin, _)| shared(*plugin))
            .collect();
        let named = |plugin: Plugin| own.iter().any(|(one, _)| *one == plugin);
        plugins.extend(
            self.multi_point
                .iter()
                .filter(|(plugin, _)| plugin.extends(point) && !disabled(*plugin) && !named(*plugin))
                .map(|(plugin, weight)| (*plugin, (*weight).max(1))),
        );
        plugins.extend(own.iter().filter(|(plugin, _)| !shared(*plugin)));
        plugins
    }

    fn plugins(&self, point: Point) -> Vec<Plugin> {
        self.of(point).into_iter().map(|(plugin, _)| plugin).collect()
    }
}

fn weight(configured: Option<i32>) -> i64 {
    i64::from(configured.unwrap_or(0)).max(1)
}

/// The defaults without what the set disables, with the weights that it gives, and what it adds.
fn merge(defaults: &[(Plugin, i64)], set: &PluginSet) -> Vec<(Plugin, i64)> {
    let disabled = |plugin: Plugin| {
        set.disabled
            .iter()
            .any(|one| one.name == "*" || one.name == plugin.name())
    };
    let mut merged: Vec<(Plugin, i64)> = defaults
        .iter()
        .copied()
        .filter(|(plugin, _)| !disabled(*plugin))
        .collect();
    for configured in &set.enabled {
        let Some(plugin) = Plugin::by_name(&configured.name) else {
            continue;
        };
        match merged.iter_mut().find(|(one, _)| *one == plugin) {
            Some(entry) => entry.1 = weight(configured.weight),
            None => merged.push((plugin, weight(configured.weight))),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use component_config::kube_scheduler::parse;

    use super::*;

    fn profile(plugins: &str) -> Result<Profile, InvalidConfiguration> {
        let text = format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles: [{{plugins: {plugins}}}]\n"
        );
        Profile::all(&parse(&text)?).map(|mut profiles| profiles.remove(0))
    }

    #[test]
    fn the_default_plugins_have_upstreams_order_and_weights() {
        let profile = profile("{}").expect("valid");
        assert_eq!(profile.filters.first(), Some(&NodeUnschedulable));
        assert_eq!(
            profile.scores,
            [
                (TaintToleration, 3),
                (NodeAffinity, 2),
                (NodeResourcesFit, 1),
                (PodTopologySpread, 2),
                (InterPodAffinity, 2),
                (NodeResourcesBalancedAllocation, 1),
                (ImageLocality, 1),
            ]
        );
        assert_eq!(profile.post_filters, [DynamicResources, DefaultPreemption]);
    }

    use Plugin::*;

    #[test]
    fn plugins_are_disabled_and_weighted_by_point_or_by_multi_point() {
        for (plugins, scores) in [
            (
                "{score: {disabled: [{name: '*'}], enabled: [{name: ImageLocality, weight: 5}]}}",
                vec![(ImageLocality, 5)],
            ),
            (
                "{multiPoint: {disabled: [{name: InterPodAffinity}, {name: PodTopologySpread}, {name: NodeAffinity}, {name: ImageLocality}]}}",
                vec![
                    (TaintToleration, 3),
                    (NodeResourcesFit, 1),
                    (NodeResourcesBalancedAllocation, 1),
                ],
            ),
            (
                "{multiPoint: {disabled: [{name: '*'}], enabled: [{name: PrioritySort}, {name: DefaultBinder}, {name: NodeResourcesFit, weight: 4}]}}",
                vec![(NodeResourcesFit, 4)],
            ),
        ] {
            assert_eq!(profile(plugins).expect(plugins).scores, scores, "{plugins}");
        }
    }

    #[test]
    fn unknown_and_misplaced_plugins_are_refused() {
        for (plugins, field) in [
            (
                "{score: {enabled: [{name: Nonsense}]}}",
                "profiles[0].plugins.score.enabled[0]",
            ),
            (
                "{score: {enabled: [{name: NodePorts}]}}",
                "profiles[0].plugins.score.enabled[0]",
            ),
            (
                "{queueSort: {disabled: [{name: '*'}]}}",
                "profiles[0].plugins.queueSort",
            ),
            (
                "{multiPoint: {disabled: [{name: DefaultBinder}]}}",
                "profiles[0].plugins.bind",
            ),
        ] {
            assert_eq!(profile(plugins).expect_err(plugins).field, field, "{plugins}");
        }
    }
}
