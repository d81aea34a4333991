//! The configuration file, with upstream's names and defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// apiVersion of the file.
pub const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
/// kind of the file.
pub const KIND: &str = "KubeProxyConfiguration";

/// How services are put into the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ProxyMode {
    #[default]
    #[serde(alias = "")]
    Iptables,
    Nftables,
}

/// How it is told whether traffic comes from a pod of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum DetectLocalMode {
    #[default]
    #[serde(alias = "")]
    #[value(name = "ClusterCIDR")]
    ClusterCIDR,
    #[value(name = "NodeCIDR")]
    NodeCIDR,
    #[value(name = "BridgeInterface")]
    BridgeInterface,
    #[value(name = "InterfaceNamePrefix")]
    InterfaceNamePrefix,
}

/// The file. Fields of other modes and platforms are kept so that any upstream file is understood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KubeProxyConfiguration {
    pub api_version: String,
    pub kind: String,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub feature_gates: BTreeMap<String, bool>,
    pub client_connection: ClientConnection,
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub logging: serde_json::Value,
    pub hostname_override: String,
    pub bind_address: String,
    pub healthz_bind_address: String,
    pub metrics_bind_address: String,
    pub bind_address_hard_fail: bool,
    pub enable_profiling: bool,
    pub show_hidden_metrics_for_version: String,
    pub mode: ProxyMode,
    pub iptables: Iptables,
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub ipvs: serde_json::Value,
    pub nftables: Nftables,
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub winkernel: serde_json::Value,
    pub detect_local_mode: DetectLocalMode,
    pub detect_local: DetectLocal,
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    #[serde(deserialize_with = "null_is_default")]
    pub node_port_addresses: Vec<String>,
    pub oom_score_adj: Option<i32>,
    pub conntrack: Conntrack,
    pub config_sync_period: String,
    pub port_range: String,
    pub windows_run_as_service: bool,
}

impl Default for KubeProxyConfiguration {
    fn default() -> Self {
        KubeProxyConfiguration {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            feature_gates: BTreeMap::new(),
            client_connection: ClientConnection::default(),
            logging: serde_json::Value::Null,
            hostname_override: String::new(),
            bind_address: "0.0.0.0".to_owned(),
            healthz_bind_address: "127.0.0.1:10256".to_owned(),
            metrics_bind_address: "127.0.0.1:10249".to_owned(),
            bind_address_hard_fail: false,
            enable_profiling: false,
            show_hidden_metrics_for_version: String::new(),
            mode: ProxyMode::default(),
            iptables: Iptables::default(),
            ipvs: serde_json::Value::Null,
            nftables: Nftables::default(),
            winkernel: serde_json::Value::Null,
            detect_local_mode: DetectLocalMode::default(),
            detect_local: DetectLocal::default(),
            cluster_cidr: String::new(),
            node_port_addresses: Vec::new(),
            oom_score_adj: None,
            conntrack: Conntrack::default(),
            config_sync_period: "15m0s".to_owned(),
            port_range: String::new(),
            windows_run_as_service: false,
        }
    }
}

/// How the API server is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClientConnection {
    pub kubeconfig: String,
    pub accept_content_types: String,
    pub content_type: String,
    pub qps: f64,
    pub burst: i64,
}

/// Settings of the iptables mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Iptables {
    #[serde(deserialize_with = "null_is_masquerade_bit")]
    pub masquerade_bit: u32,
    pub masquerade_all: bool,
    pub localhost_node_ports: Option<bool>,
    pub sync_period: String,
    pub min_sync_period: String,
}

/// Settings of the nftables mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Nftables {
    #[serde(deserialize_with = "null_is_masquerade_bit")]
    pub masquerade_bit: u32,
    pub masquerade_all: bool,
    pub sync_period: String,
    pub min_sync_period: String,
}

const MASQUERADE_BIT: u32 = 14;

impl Default for Iptables {
    fn default() -> Self {
        Iptables {
            masquerade_bit: MASQUERADE_BIT,
            masquerade_all: false,
            localhost_node_ports: None,
            sync_period: "30s".to_owned(),
            min_sync_period: "1s".to_owned(),
        }
    }
}

impl Default for Nftables {
    fn default() -> Self {
        Nftables {
            masquerade_bit: MASQUERADE_BIT,
            masquerade_all: false,
            sync_period: "30s".to_owned(),
            min_sync_period: "1s".to_owned(),
        }
    }
}

/// Settings of the detection by interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DetectLocal {
    pub bridge_interface: String,
    pub interface_name_prefix: String,
}

/// Settings of connection tracking; null leaves the kernel's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Conntrack {
    pub max_per_core: Option<u32>,
    pub min: Option<u32>,
    pub tcp_established_timeout: Option<String>,
    pub tcp_close_wait_timeout: Option<String>,
    pub tcp_be_liberal: bool,
    pub udp_timeout: Option<String>,
    pub udp_stream_timeout: Option<String>,
}

impl Default for Conntrack {
    fn default() -> Self {
        Conntrack {
            max_per_core: Some(32 * 1024),
            min: Some(128 * 1024),
            tcp_established_timeout: Some("24h0m0s".to_owned()),
            tcp_close_wait_timeout: Some("1h0m0s".to_owned()),
            tcp_be_liberal: false,
            udp_timeout: None,
            udp_stream_timeout: None,
        }
    }
}

fn null_is_default<'de, T: Default + Deserialize<'de>, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

fn null_is_masquerade_bit<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    Ok(Option::<u32>::deserialize(from)?.unwrap_or(MASQUERADE_BIT))
}
