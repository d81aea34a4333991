//! The controller manager's command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use ipnet::IpNet;

use crate::flags::{Unused, parse_duration};
use crate::kube_apiserver::feature_gates::{self, FeatureGate};
use crate::tls::TlsFlags;
use crate::versions::VersionFlags;

/// Flags of kube-controller-manager.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "kube-controller-manager",
    about = "Runs the controllers of the cluster"
)]
pub struct ControllerManagerFlags {
    /// `Name=true` or `Name=false`. Controllers look at those that change what they do.
    #[arg(long, value_delimiter = ',', value_parser = feature_gates::parse)]
    pub feature_gates: Vec<FeatureGate>,
    /// Kubeconfig for the API server.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Address of the API server; overrides the kubeconfig's.
    #[arg(long)]
    pub master: Option<String>,
    /// Kubeconfig with which tokens of requests to this server are reviewed.
    #[arg(long)]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Kubeconfig with which access of requests to this server is reviewed.
    #[arg(long)]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// Paths that need no authorization.
    #[arg(long, value_delimiter = ',', default_value = "/healthz,/readyz,/livez")]
    pub authorization_always_allow_paths: Vec<String>,
    /// Authorities of client certificates of requests to this server.
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Port to serve health and metrics on; 0 serves nothing.
    #[arg(long, default_value_t = 10257)]
    pub secure_port: u16,
    #[arg(long)]
    pub tls_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub tls_private_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsFlags,

    /// Start controllers only while holding the leader lease.
    #[arg(long, num_args = 0..=1, default_value = "true", default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub leader_elect_lease_duration: Duration,
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub leader_elect_renew_deadline: Duration,
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub leader_elect_retry_period: Duration,
    #[arg(long, default_value = "kube-controller-manager")]
    pub leader_elect_resource_name: String,
    #[arg(long, default_value = "kube-system")]
    pub leader_elect_resource_namespace: String,

    /// Controllers to run: names, `-name` to leave one out, `*` for all that are on by default.
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    pub controllers: Vec<String>,
    /// Act as a service account of its own in every controller.
    #[arg(long, num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub use_service_account_credentials: bool,
    /// Key with which legacy service account tokens are signed.
    #[arg(long)]
    pub service_account_private_key_file: Option<PathBuf>,
    /// Authority that is published to every namespace.
    #[arg(long)]
    pub root_ca_file: Option<PathBuf>,
    #[arg(long, default_value = "kubernetes")]
    pub cluster_name: String,

    #[command(flatten)]
    pub versions: VersionFlags,
    #[command(flatten)]
    pub signing: SigningFlags,
    #[command(flatten)]
    pub nodes: NodeFlags,
    #[command(flatten)]
    pub hpa: HorizontalPodAutoscalerFlags,

    #[arg(long, num_args = 0..=1, default_value = "true", default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub enable_garbage_collector: bool,
    #[arg(long, default_value_t = 20)]
    pub concurrent_gc_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_deployment_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_replicaset_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_rc_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_statefulset_syncs: usize,
    #[arg(long, default_value_t = 2)]
    pub concurrent_daemonset_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_job_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_cron_job_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_endpoint_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_service_endpoint_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub mirroring_concurrent_service_endpoint_syncs: usize,
    #[arg(long, default_value_t = 1000)]
    pub mirroring_max_endpoints_per_subset: usize,
    #[arg(long, default_value_t = 100)]
    pub max_endpoints_per_slice: usize,
    #[arg(long, default_value_t = 10)]
    pub concurrent_namespace_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_serviceaccount_token_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_resource_quota_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_ttl_after_finished_syncs: usize,
    #[arg(long, default_value_t = 5)]
    pub concurrent_horizontal_pod_autoscaler_syncs: usize,
    #[arg(long, default_value = "5m", value_parser = parse_duration)]
    pub namespace_sync_period: Duration,
    #[arg(long, default_value = "5m", value_parser = parse_duration)]
    pub resource_quota_sync_period: Duration,
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub pvclaimbinder_sync_period: Duration,
    #[arg(long, default_value_t = 12500)]
    pub terminated_pod_gc_threshold: i64,
}

/// Which authority signs certificate signing requests.
#[derive(Clone, Debug, clap::Args)]
pub struct SigningFlags {
    #[arg(long)]
    pub cluster_signing_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_key_file: Option<PathBuf>,
    #[arg(long, default_value = "8760h", value_parser = parse_duration)]
    pub cluster_signing_duration: Duration,
    #[arg(long)]
    pub cluster_signing_kube_apiserver_client_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_kube_apiserver_client_key_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_kubelet_client_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_kubelet_client_key_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_kubelet_serving_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_kubelet_serving_key_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_legacy_unknown_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub cluster_signing_legacy_unknown_key_file: Option<PathBuf>,
}

/// Nodes' address ranges and health.
#[derive(Clone, Debug, clap::Args)]
pub struct NodeFlags {
    /// Give every node a range of pod addresses out of --cluster-cidr.
    #[arg(long, num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub allocate_node_cidrs: bool,
    /// Range of pod addresses; one of each family for dual-stack.
    #[arg(long, value_delimiter = ',')]
    pub cluster_cidr: Vec<IpNet>,
    #[arg(long, value_delimiter = ',')]
    pub service_cluster_ip_range: Vec<IpNet>,
    #[arg(long)]
    pub node_cidr_mask_size: Option<u8>,
    #[arg(long)]
    pub node_cidr_mask_size_ipv4: Option<u8>,
    #[arg(long)]
    pub node_cidr_mask_size_ipv6: Option<u8>,
    /// A node that has not been heard of for this long is not ready.
    #[arg(long, default_value = "50s", value_parser = parse_duration)]
    pub node_monitor_grace_period: Duration,
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    pub node_monitor_period: Duration,
    #[arg(long, default_value = "1m", value_parser = parse_duration)]
    pub node_startup_grace_period: Duration,
    /// Nodes per second whose pods are evicted in a healthy zone.
    #[arg(long, default_value_t = 0.1)]
    pub node_eviction_rate: f32,
    /// The same in a zone where too many nodes are not ready; 0 in small zones.
    #[arg(long, default_value_t = 0.01)]
    pub secondary_node_eviction_rate: f32,
    #[arg(long, default_value_t = 50)]
    pub large_cluster_size_threshold: usize,
    #[arg(long, default_value_t = 0.55)]
    pub unhealthy_zone_threshold: f32,
}

impl ControllerManagerFlags {
    /// Whether a feature of upstream's is on: as --feature-gates say, or by default in the version that is emulated.
    pub fn has_feature(&self, name: &str) -> bool {
        let version = self.versions.effective().unwrap_or_default();
        feature_gates::is_on(&self.feature_gates, name, version.emulated)
    }
}

/// Horizontal pod autoscaling.
#[derive(Clone, Debug, clap::Args)]
pub struct HorizontalPodAutoscalerFlags {
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub horizontal_pod_autoscaler_sync_period: Duration,
    #[arg(long, default_value = "5m", value_parser = parse_duration)]
    pub horizontal_pod_autoscaler_downscale_stabilization: Duration,
    #[arg(long, default_value_t = 0.1)]
    pub horizontal_pod_autoscaler_tolerance: f64,
    #[arg(long, default_value = "5m", value_parser = parse_duration)]
    pub horizontal_pod_autoscaler_cpu_initialization_period: Duration,
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub horizontal_pod_autoscaler_initial_readiness_delay: Duration,
}

/// Upstream flags without a field above.
pub const UNUSED: &[(&str, Unused)] = {
    use Unused::{Harmless, Refused};
    &[
        ("allow-metric-labels", Harmless),
        ("allow-metric-labels-manifest", Harmless),
        ("allow-untagged-cloud", Refused),
        ("attach-detach-reconcile-sync-period", Harmless),
        ("authentication-skip-lookup", Harmless),
        ("authentication-token-webhook-cache-ttl", Harmless),
        ("authentication-tolerate-lookup-failure", Harmless),
        ("authorization-webhook-cache-authorized-ttl", Harmless),
        ("authorization-webhook-cache-unauthorized-ttl", Harmless),
        ("cert-dir", Harmless),
        ("cidr-allocator-type", Harmless),
        ("cloud-config", Refused),
        ("cloud-provider", Refused),
        ("concurrent-device-taint-eviction-syncs", Harmless),
        ("concurrent-ephemeralvolume-syncs", Harmless),
        ("concurrent-service-syncs", Harmless),
        ("concurrent-validating-admission-policy-status-syncs", Harmless),
        ("configure-cloud-routes", Harmless),
        ("contention-profiling", Harmless),
        ("controller-start-interval", Harmless),
        ("disable-attach-detach-reconcile-sync", Harmless),
        ("disable-force-detach-on-timeout", Harmless),
        ("disable-http2-serving", Harmless),
        ("disabled-metrics", Harmless),
        ("emulation-forward-compatible", Harmless),
        ("enable-dynamic-provisioning", Harmless),
        ("enable-hostpath-provisioner", Refused),
        ("enable-leader-migration", Refused),
        ("endpoint-updates-batch-period", Harmless),
        ("endpointslice-updates-batch-period", Harmless),
        ("external-cloud-volume-plugin", Refused),
        ("flex-volume-plugin-dir", Harmless),
        ("http2-max-streams-per-connection", Harmless),
        ("kube-api-burst", Harmless),
        ("kube-api-content-type", Harmless),
        ("kube-api-qps", Harmless),
        ("leader-elect-resource-lock", Harmless),
        ("leader-migration-config", Refused),
        ("legacy-service-account-token-clean-up-period", Harmless),
        ("log-flush-frequency", Harmless),
        ("log-json-info-buffer-size", Harmless),
        ("log-json-split-stream", Harmless),
        ("log-text-info-buffer-size", Harmless),
        ("log-text-split-stream", Harmless),
        ("max-endpoints-per-slice-mirroring", Harmless),
        ("min-resync-period", Harmless),
        ("mirroring-endpointslice-updates-batch-period", Harmless),
        ("node-sync-period", Harmless),
        ("permit-address-sharing", Harmless),
        ("permit-port-sharing", Harmless),
        ("profiling", Harmless),
        ("pv-recycler-increment-timeout-nfs", Harmless),
        ("pv-recycler-minimum-timeout-hostpath", Harmless),
        ("pv-recycler-minimum-timeout-nfs", Harmless),
        ("pv-recycler-pod-template-filepath-hostpath", Refused),
        ("pv-recycler-pod-template-filepath-nfs", Refused),
        ("pv-recycler-timeout-increment-hostpath", Harmless),
        ("requestheader-allowed-names", Harmless),
        ("requestheader-client-ca-file", Harmless),
        ("requestheader-extra-headers-prefix", Harmless),
        ("requestheader-group-headers", Harmless),
        ("requestheader-uid-headers", Harmless),
        ("requestheader-username-headers", Harmless),
        ("route-reconciliation-period", Harmless),
        ("shutdown-delay-duration", Harmless),
        ("tls-sni-cert-key", Refused),
        ("vmodule", Harmless),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::normalize;

    #[test]
    fn a_usual_command_line_is_understood() {
        let line = "kube-controller-manager --controllers=*,-ttl,tokencleaner --leader-elect=false --allocate-node-cidrs \
            --cluster-cidr=10.200.0.0/16,fd00::/48 --node-monitor-grace-period=6s --profiling=false --kube-api-qps 20 --tls-min-version=VersionTLS13 \
            --tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_AES_128_GCM_SHA256";
        let words = normalize(line.split_whitespace().map(str::to_owned), UNUSED).unwrap();
        let flags = ControllerManagerFlags::try_parse_from(words).unwrap();
        assert_eq!(flags.controllers, ["*", "-ttl", "tokencleaner"]);
        assert!(!flags.leader_elect && flags.nodes.allocate_node_cidrs);
        assert_eq!(flags.nodes.cluster_cidr.len(), 2);
        assert_eq!(flags.nodes.node_monitor_grace_period, Duration::from_secs(6));
        assert_eq!(flags.tls.tls_min_version, "VersionTLS13");
        assert_eq!(flags.tls.tls_cipher_suites.len(), 2);
        assert!(normalize(["--cloud-provider=aws".to_owned()], UNUSED).is_err());
    }
}
