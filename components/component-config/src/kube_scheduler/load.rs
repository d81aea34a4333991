//! Reads and checks a configuration file.

use std::path::Path;

use super::arguments::PluginArguments;
use super::configuration::{KubeSchedulerConfiguration, Profile};

/// Why a configuration was refused: the field, and what is wrong with it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{field}: {message}")]
pub struct InvalidConfiguration {
    pub field: String,
    pub message: String,
}

impl InvalidConfiguration {
    pub fn at(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            message: message.into(),
        }
    }
}

/// Reads the configuration in `path`.
pub fn load(path: &Path) -> Result<KubeSchedulerConfiguration, InvalidConfiguration> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| InvalidConfiguration::at(&file, format!("cannot be read: {error}")))?;
    parse(&text).map_err(|error| InvalidConfiguration::at(&format!("{file}: {}", error.field), error.message))
}

/// Reads a configuration from YAML or JSON, sets defaults and checks it.
pub fn parse(text: &str) -> Result<KubeSchedulerConfiguration, InvalidConfiguration> {
    let mut configuration: KubeSchedulerConfiguration = serde_yaml_ng::from_str(text)
        .map_err(|error| InvalidConfiguration::at("KubeSchedulerConfiguration", error.to_string()))?;
    if configuration.profiles.is_empty() {
        configuration.profiles.push(Profile::default());
    }
    check(&configuration)?;
    Ok(configuration)
}

pub(super) fn check(configuration: &KubeSchedulerConfiguration) -> Result<(), InvalidConfiguration> {
    let fail = |field: &str, message: &str| Err(InvalidConfiguration::at(field, message));
    if configuration.api_version != "kubescheduler.config.k8s.io/v1" {
        return fail("apiVersion", "must be kubescheduler.config.k8s.io/v1");
    }
    if configuration.kind != "KubeSchedulerConfiguration" {
        return fail("kind", "must be KubeSchedulerConfiguration");
    }
    if configuration.parallelism <= 0 {
        return fail("parallelism", "should be an integer value greater than zero");
    }
    let election = &configuration.leader_election;
    if election.leader_elect {
        if election.resource_lock != "leases" {
            return fail("leaderElection.resourceLock", "must be leases");
        }
        if election.lease_duration <= election.renew_deadline {
            return fail(
                "leaderElection.leaseDuration",
                "must be greater than renewDeadline",
            );
        }
        if election.renew_deadline <= election.retry_period || election.retry_period.0.is_zero() {
            return fail(
                "leaderElection.renewDeadline",
                "must be greater than retryPeriod, which must not be 0",
            );
        }
        if election.resource_name.is_empty() || election.resource_namespace.is_empty() {
            return fail(
                "leaderElection",
                "resourceName and resourceNamespace are required",
            );
        }
    }
    if configuration.pod_initial_backoff_seconds <= 0 {
        return fail("podInitialBackoffSeconds", "must be greater than 0");
    }
    if configuration.pod_max_backoff_seconds < configuration.pod_initial_backoff_seconds {
        return fail(
            "podMaxBackoffSeconds",
            "must not be less than podInitialBackoffSeconds",
        );
    }
    if !configuration.extenders.is_empty() {
        return fail(
            "extenders",
            "HTTP extenders are not supported; remove them or use plugins",
        );
    }
    check_percentage(
        "percentageOfNodesToScore",
        configuration.percentage_of_nodes_to_score,
    )?;
    let mut names = Vec::new();
    for (index, profile) in configuration.profiles.iter().enumerate() {
        let path = format!("profiles[{index}]");
        if profile.scheduler_name.is_empty() {
            return fail(&format!("{path}.schedulerName"), "is required");
        }
        if names.contains(&&profile.scheduler_name) {
            return fail(
                &format!("{path}.schedulerName"),
                "is used by another profile already",
            );
        }
        names.push(&profile.scheduler_name);
        check_percentage(
            &format!("{path}.percentageOfNodesToScore"),
            profile.percentage_of_nodes_to_score,
        )?;
        PluginArguments::of(&profile.plugin_config, &path)?;
    }
    Ok(())
}

fn check_percentage(field: &str, percentage: Option<i32>) -> Result<(), InvalidConfiguration> {
    match percentage {
        Some(value) if !(0..=100).contains(&value) => Err(InvalidConfiguration::at(
            field,
            format!("is {value}; must be from 0 to 100"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

    #[test]
    fn an_empty_configuration_is_the_default() {
        assert_eq!(parse(HEAD), Ok(KubeSchedulerConfiguration::default()));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let written = serde_yaml_ng::to_string(&KubeSchedulerConfiguration::default()).expect("serializes");
        assert_eq!(parse(&written), Ok(KubeSchedulerConfiguration::default()));
    }

    #[test]
    fn mistakes_are_named_by_field() {
        for (body, field) in [
            ("parallelism: 0", "parallelism"),
            ("extenders: [{urlPrefix: 'http://x'}]", "extenders"),
            ("percentageOfNodesToScore: 101", "percentageOfNodesToScore"),
            (
                "profiles: [{schedulerName: a}, {schedulerName: a}]",
                "profiles[1].schedulerName",
            ),
            (
                "leaderElection: {leaseDuration: 5s}",
                "leaderElection.leaseDuration",
            ),
            ("podInitialBackoffSeconds: 20", "podMaxBackoffSeconds"),
            (
                "profiles: [{pluginConfig: [{name: NodePorts, args: {}}]}]",
                "profiles[0].pluginConfig[0]",
            ),
            (
                "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]",
                "profiles[0].pluginConfig.hardPodAffinityWeight",
            ),
            ("typo: 1", "KubeSchedulerConfiguration"),
        ] {
            let error = parse(&format!("{HEAD}{body}\n")).expect_err(body);
            assert_eq!(error.field, field, "{body}: {error}");
        }
    }
}
