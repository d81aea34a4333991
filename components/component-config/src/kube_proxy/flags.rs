//! Flags, and what they and the file mean together.

use std::path::PathBuf;

use super::configuration::{API_VERSION, DetectLocalMode, KIND, KubeProxyConfiguration, ProxyMode};
use crate::flags::Unused;

/// Flags of kube-proxy. With --config all but --hostname-override, --cleanup and the logging flags come
/// from the file, as upstream has it.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "kube-proxy", display_name = "Kubernetes", version = crate::KUBERNETES_VERSION, about)]
pub struct Flags {
    /// Configuration file.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Write the configuration with its defaults to this file and exit.
    #[arg(long)]
    pub write_config_to: Option<PathBuf>,
    /// Remove all rules and exit.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, default_value = "false")]
    pub cleanup: bool,
    #[arg(long)]
    pub kubeconfig: Option<String>,
    #[arg(long)]
    pub hostname_override: Option<String>,
    #[arg(long)]
    pub bind_address: Option<String>,
    #[arg(long)]
    pub healthz_bind_address: Option<String>,
    #[arg(long)]
    pub metrics_bind_address: Option<String>,
    #[arg(long)]
    pub proxy_mode: Option<ProxyMode>,
    #[arg(long)]
    pub cluster_cidr: Option<String>,
    #[arg(long)]
    pub detect_local_mode: Option<DetectLocalMode>,
    #[arg(long)]
    pub pod_bridge_interface: Option<String>,
    #[arg(long)]
    pub pod_interface_name_prefix: Option<String>,
    #[arg(long, value_delimiter = ',')]
    pub nodeport_addresses: Vec<String>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub masquerade_all: Option<bool>,
    #[arg(long)]
    pub iptables_masquerade_bit: Option<u32>,
    #[arg(long)]
    pub iptables_sync_period: Option<String>,
    #[arg(long)]
    pub iptables_min_sync_period: Option<String>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub iptables_localhost_nodeports: Option<bool>,
    #[arg(long)]
    pub conntrack_max_per_core: Option<u32>,
    #[arg(long)]
    pub conntrack_min: Option<u32>,
    #[arg(long)]
    pub oom_score_adj: Option<i32>,
    /// Log verbosity.
    #[arg(long = "v", short = 'v', default_value_t = 0)]
    pub verbosity: u8,
}

/// Upstream's flags that have no meaning here.
pub const UNUSED: &[(&str, Unused)] = &[
    ("bind-address-hard-fail", Unused::Harmless),
    ("config-sync-period", Unused::Harmless),
    ("conntrack-tcp-be-liberal", Unused::Harmless),
    ("conntrack-tcp-timeout-close-wait", Unused::Harmless),
    ("conntrack-tcp-timeout-established", Unused::Harmless),
    ("conntrack-udp-timeout", Unused::Harmless),
    ("conntrack-udp-timeout-stream", Unused::Harmless),
    ("feature-gates", Unused::Harmless),
    ("init-only", Unused::Refused),
    ("kube-api-burst", Unused::Harmless),
    ("kube-api-content-type", Unused::Harmless),
    ("kube-api-qps", Unused::Harmless),
    ("log-flush-frequency", Unused::Harmless),
    ("log-json-info-buffer-size", Unused::Harmless),
    ("log-json-split-stream", Unused::Harmless),
    ("log-text-info-buffer-size", Unused::Harmless),
    ("log-text-split-stream", Unused::Harmless),
    ("logging-format", Unused::Harmless),
    ("master", Unused::Refused),
    ("pod-network", Unused::Refused),
    ("profiling", Unused::Harmless),
    ("proxy-port-range", Unused::Harmless),
    ("show-hidden-metrics-for-version", Unused::Harmless),
    ("vmodule", Unused::Harmless),
];

/// Why flags and file are refused.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfiguration {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is not a {KIND}")]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_yaml_ng::Error,
    },
    #[error("{path}: apiVersion {api_version:?}, kind {kind:?}; expected {API_VERSION}, {KIND}")]
    OtherKind {
        path: PathBuf,
        api_version: String,
        kind: String,
    },
    #[error("{field}: {value:?} is not valid: {reason}")]
    Field {
        field: &'static str,
        value: String,
        reason: String,
    },
}

impl Flags {
    /// The configuration that the flags and the file, if one is named, give.
    pub fn configuration(&self) -> Result<KubeProxyConfiguration, InvalidConfiguration> {
        let mut configuration = match &self.config {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| InvalidConfiguration::Read {
                    path: path.clone(),
                    source,
                })?;
                let configuration: KubeProxyConfiguration =
                    serde_yaml_ng::from_str(&text).map_err(|source| InvalidConfiguration::Parse {
                        path: path.clone(),
                        source,
                    })?;
                if configuration.api_version != API_VERSION || configuration.kind != KIND {
                    return Err(InvalidConfiguration::OtherKind {
                        path: path.clone(),
                        api_version: configuration.api_version,
                        kind: configuration.kind,
                    });
                }
                configuration
            }
            None => self.without_file(),
        };
        if let Some(name) = &self.hostname_override {
            configuration.hostname_override.clone_from(name);
        }
        Ok(configuration)
    }

    fn without_file(&self) -> KubeProxyConfiguration {
        fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
            if let Some(value) = flag {
                field.clone_from(value);
            }
        }
        let mut configuration = KubeProxyConfiguration::default();
        let to = &mut configuration;
        set(&mut to.client_connection.kubeconfig, &self.kubeconfig);
        set(&mut to.bind_address, &self.bind_address);
        set(&mut to.healthz_bind_address, &self.healthz_bind_address);
        set(&mut to.metrics_bind_address, &self.metrics_bind_address);
        set(&mut to.mode, &self.proxy_mode);
        set(&mut to.cluster_cidr, &self.cluster_cidr);
        set(&mut to.detect_local_mode, &self.detect_local_mode);
        set(&mut to.detect_local.bridge_interface, &self.pod_bridge_interface);
        set(
            &mut to.detect_local.interface_name_prefix,
            &self.pod_interface_name_prefix,
        );
        set(&mut to.iptables.masquerade_all, &self.masquerade_all);
        set(&mut to.nftables.masquerade_all, &self.masquerade_all);
        set(&mut to.iptables.masquerade_bit, &self.iptables_masquerade_bit);
        set(&mut to.iptables.sync_period, &self.iptables_sync_period);
        set(&mut to.iptables.min_sync_period, &self.iptables_min_sync_period);
        to.node_port_addresses.clone_from(&self.nodeport_addresses);
        to.iptables.localhost_node_ports = self
            .iptables_localhost_nodeports
            .or(to.iptables.localhost_node_ports);
        to.conntrack.max_per_core = self.conntrack_max_per_core.or(to.conntrack.max_per_core);
        to.conntrack.min = self.conntrack_min.or(to.conntrack.min);
        to.oom_score_adj = self.oom_score_adj.or(to.oom_score_adj);
        configuration
    }
}
