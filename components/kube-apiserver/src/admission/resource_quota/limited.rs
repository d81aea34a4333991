//! Resources that nobody may use without a quota that covers them: the plugin's configuration.

use crate::nulls;
use anyhow::bail;
use serde::Deserialize;
use serde_json::Value;

/// Versions and kinds in which the configuration may come.
pub const TYPES: [(&str, &str); 3] = [
    ("apiserver.config.k8s.io/v1", "ResourceQuotaConfiguration"),
    ("resourcequota.admission.k8s.io/v1beta1", "Configuration"),
    ("resourcequota.admission.k8s.io/v1alpha1", "Configuration"),
];

/// One resource, and what of it is limited.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limited {
    #[serde(default)]
    pub api_group: String,
    #[serde(default)]
    pub resource: String,
    /// Parts of names, as a quota has them.
    #[serde(default)]
    pub match_contains: Vec<String>,
    /// As in a quota's `scopeSelector`.
    #[serde(default)]
    pub match_scopes: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Configuration {
    #[serde(default)]
    limited_resources: Vec<Limited>,
}

/// Reads a configuration without its type.
pub fn read(told: Value) -> anyhow::Result<Vec<Limited>> {
    let told: Configuration = nulls::from_json(told)?;
    for (index, limited) in told.limited_resources.iter().enumerate() {
        if limited.resource.is_empty() {
            bail!("limitedResources[{index}].resource: Required value");
        }
    }
    Ok(told.limited_resources)
}
