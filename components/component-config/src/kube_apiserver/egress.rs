//! EgressSelectorConfiguration of `--egress-selector-config-file`: which proxies connections go through.

use serde::Deserialize;
use std::path::PathBuf;

/// apiserver.k8s.io EgressSelectorConfiguration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressSelectorConfiguration {
    #[serde(default)]
    pub api_version: String,
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub egress_selections: Vec<EgressSelection>,
}

/// The way to a part of the network: `cluster`, `controlplane` or `etcd`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressSelection {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub connection: Connection,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connection {
    /// `GRPC`, `HTTPConnect` or `Direct`.
    #[serde(default)]
    pub proxy_protocol: String,
    #[serde(default)]
    pub transport: Option<Transport>,
}

/// One of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Transport {
    #[serde(default)]
    pub tcp: Option<TcpTransport>,
    #[serde(default)]
    pub uds: Option<UdsTransport>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpTransport {
    #[serde(default)]
    pub url: String,
    #[serde(default)]
    pub tls_config: Option<TlsConfig>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UdsTransport {
    /// Path of a Unix socket.
    #[serde(default)]
    pub uds_name: String,
}

/// Files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsConfig {
    #[serde(default)]
    pub ca_bundle: Option<PathBuf>,
    #[serde(default)]
    pub client_key: Option<PathBuf>,
    #[serde(default)]
    pub client_cert: Option<PathBuf>,
}
