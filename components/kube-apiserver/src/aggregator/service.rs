//! APIService objects, as far as the aggregator reads them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

/// One group and version, and who serves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ApiService {
    pub metadata: Metadata,
    pub spec: Spec,
    pub status: Status,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Metadata {
    pub name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    pub group: String,
    pub version: String,
    pub group_priority_minimum: i32,
    pub version_priority: i32,
    /// `None` is this server itself.
    pub service: Option<Reference>,
    /// PEM.
    #[serde(deserialize_with = "from_base64")]
    pub ca_bundle: Vec<u8>,
    #[serde(rename = "insecureSkipTLSVerify")]
    pub insecure: bool,
}

/// The Service of an aggregated server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Reference {
    pub namespace: String,
    pub name: String,
    pub port: u16,
}

impl Default for Reference {
    fn default() -> Self {
        Self {
            namespace: String::new(),
            name: String::new(),
            port: 443,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
}

impl ApiService {
    /// Whether requests may be sent to it.
    pub fn is_available(&self) -> bool {
        self.status
            .conditions
            .iter()
            .any(|condition| condition.kind == "Available" && condition.status == "True")
    }
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
