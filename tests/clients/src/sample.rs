use anyhow::{Context, Result};
use serde_json::Value;

/// One object of a kind, as a user would write it.
pub struct Sample(pub Value);

impl Sample {
    pub fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or_default()
    }

    pub fn api_version(&self) -> &str {
        self.0["apiVersion"].as_str().unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Group and version; the core group is empty.
    pub fn group_version(&self) -> (&str, &str) {
        self.api_version()
            .split_once('/')
            .unwrap_or(("", self.api_version()))
    }
}

/// The objects of `samples.yaml`.
pub fn all() -> Result<Vec<Sample>> {
    use serde::Deserialize as _;
    serde_yaml_ng::Deserializer::from_str(include_str!("../samples.yaml"))
        .map(|document| {
            Value::deserialize(document)
                .map(Sample)
                .context("a document of samples.yaml")
        })
        .collect()
}
