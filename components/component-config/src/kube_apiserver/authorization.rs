//! AuthorizationConfiguration of `--authorization-config`: the chain of authorizers.

use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// apiserver.config.k8s.io AuthorizationConfiguration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizationConfiguration {
    #[serde(default)]
    pub api_version: String,
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub authorizers: Vec<AuthorizerConfiguration>,
}

/// One authorizer of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizerConfiguration {
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Names it in metrics and logs.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub webhook: Option<WebhookConfiguration>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookConfiguration {
    /// How long an allowed answer is kept; not to keep it is for `cacheAuthorizedRequests` to say.
    #[serde(
        rename = "authorizedTTL",
        deserialize_with = "time_or_five_minutes",
        default = "five_minutes"
    )]
    pub authorized_ttl: Duration,
    #[serde(default = "yes")]
    pub cache_authorized_requests: bool,
    /// How long any other answer is kept.
    #[serde(
        rename = "unauthorizedTTL",
        deserialize_with = "time_or_half_a_minute",
        default = "half_a_minute"
    )]
    pub unauthorized_ttl: Duration,
    #[serde(default = "yes")]
    pub cache_unauthorized_requests: bool,
    #[serde(deserialize_with = "duration", default)]
    pub timeout: Duration,
    #[serde(default)]
    pub subject_access_review_version: String,
    #[serde(default)]
    pub match_condition_subject_access_review_version: String,
    /// `NoOpinion` or `Deny`.
    #[serde(default)]
    pub failure_policy: String,
    pub connection_info: ConnectionInfo,
    #[serde(default)]
    pub match_conditions: Vec<MatchCondition>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionInfo {
    /// `KubeConfigFile` or `InClusterConfig`.
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub kube_config_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatchCondition {
    #[serde(default)]
    pub expression: String,
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

fn yes() -> bool {
    true
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::flags::parse_duration(&text).map_err(serde::de::Error::custom)
}

fn time_or_five_minutes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let given = duration(deserializer)?;
    Ok(if given.is_zero() { five_minutes() } else { given })
}

fn time_or_half_a_minute<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let given = duration(deserializer)?;
    Ok(if given.is_zero() { half_a_minute() } else { given })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_the_usual_time() {
        for (ttl, expected) in [
            ("", (300, 30)),
            ("authorizedTTL: 0s, unauthorizedTTL: 0s,", (300, 30)),
            ("authorizedTTL: 1s, unauthorizedTTL: 2s,", (1, 2)),
        ] {
            let text = format!("{{{ttl} connectionInfo: {{}}}}");
            let config: WebhookConfiguration = serde_yaml_ng::from_str(&text).unwrap();
            let found = (config.authorized_ttl.as_secs(), config.unauthorized_ttl.as_secs());
            assert_eq!(found, expected, "{ttl}");
        }
    }
}
