//! The command line. A configuration file wins over the deprecated flags, the leader election flags win over it.

use std::net::IpAddr;
use std::path::PathBuf;

use super::configuration::KubeSchedulerConfiguration;
use super::duration::GoDuration;
use super::load::{InvalidConfiguration, load};
use crate::flags::Unused::{self, Harmless, Refused};
use crate::tls::TlsFlags;
use crate::versions::VersionFlags;

/// Flags of kube-scheduler; names and defaults are upstream's.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "kube-scheduler",
    about = "Assigns pods to nodes.",
    disable_version_flag = true
)]
pub struct Flags {
    /// Path of a KubeSchedulerConfiguration file.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Write the configuration in effect to this file and exit.
    #[arg(long)]
    pub write_config_to: Option<PathBuf>,
    /// Address of the API server, in place of the kubeconfig's.
    #[arg(long)]
    pub master: Option<String>,

    /// Address to serve HTTPS on.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Port to serve HTTPS on; 0 for none.
    #[arg(long, default_value_t = 10259)]
    pub secure_port: u16,
    /// Directory of the serving certificate when --tls-cert-file is not given.
    #[arg(long)]
    pub cert_dir: Option<PathBuf>,
    /// Serving certificate, with its chain; one is made in memory when absent.
    #[arg(long)]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of --tls-cert-file.
    #[arg(long)]
    pub tls_private_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsFlags,
    /// Kubeconfig to ask the API server about callers' tokens with.
    #[arg(long)]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Kubeconfig to ask the API server about callers' rights with.
    #[arg(long)]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// CA of client certificates that authenticate callers.
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    /// Paths that anyone may read.
    #[arg(long, value_delimiter = ',', default_value = "/healthz,/readyz,/livez")]
    pub authorization_always_allow_paths: Vec<String>,

    /// Kubeconfig to reach the API server with (deprecated in favour of --config).
    #[arg(long)]
    pub kubeconfig: Option<String>,
    /// How long a pod may stay among the unschedulable ones before it is tried again.
    #[arg(long, default_value = "5m0s")]
    pub pod_max_in_unschedulable_pods_duration: GoDuration,

    /// Elect a leader before scheduling.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub leader_elect: Option<bool>,
    #[arg(long)]
    pub leader_elect_lease_duration: Option<GoDuration>,
    #[arg(long)]
    pub leader_elect_renew_deadline: Option<GoDuration>,
    #[arg(long)]
    pub leader_elect_retry_period: Option<GoDuration>,
    #[arg(long)]
    pub leader_elect_resource_lock: Option<String>,
    #[arg(long)]
    pub leader_elect_resource_name: Option<String>,
    #[arg(long)]
    pub leader_elect_resource_namespace: Option<String>,

    #[command(flatten)]
    pub versions: VersionFlags,

    /// Log verbosity: 2 is info, 4 and more debug, 6 and more trace.
    #[arg(short = 'v', long = "v", default_value_t = 0)]
    pub verbosity: i32,
    /// Log format: text or json.
    #[arg(long, default_value = "text")]
    pub logging_format: String,
    /// Print the version and exit.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub version: Option<String>,
}

impl Flags {
    /// The configuration that the flags and the file they name amount to.
    pub fn configuration(&self) -> Result<KubeSchedulerConfiguration, InvalidConfiguration> {
        let mut configuration = match &self.config {
            Some(path) => load(path)?,
            None => KubeSchedulerConfiguration::default(),
        };
        if let (None, Some(kubeconfig)) = (&self.config, &self.kubeconfig) {
            configuration.client_connection.kubeconfig = kubeconfig.clone();
        }
        let election = &mut configuration.leader_election;
        set(&mut election.leader_elect, &self.leader_elect);
        set(&mut election.lease_duration, &self.leader_elect_lease_duration);
        set(&mut election.renew_deadline, &self.leader_elect_renew_deadline);
        set(&mut election.retry_period, &self.leader_elect_retry_period);
        set(&mut election.resource_lock, &self.leader_elect_resource_lock);
        set(&mut election.resource_name, &self.leader_elect_resource_name);
        set(
            &mut election.resource_namespace,
            &self.leader_elect_resource_namespace,
        );
        super::load::check(&configuration)?;
        Ok(configuration)
    }
}

fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
    if let Some(value) = flag {
        field.clone_from(value);
    }
}

/// Upstream's flags that are not in [`Flags`].
pub const UNUSED_FLAGS: &[(&str, Unused)] = &[
    ("allow-metric-labels", Harmless),
    ("allow-metric-labels-manifest", Harmless),
    ("authentication-skip-lookup", Harmless),
    ("authentication-token-webhook-cache-ttl", Harmless),
    ("authentication-tolerate-lookup-failure", Harmless),
    ("authorization-webhook-cache-authorized-ttl", Harmless),
    ("authorization-webhook-cache-unauthorized-ttl", Harmless),
    ("contention-profiling", Harmless),
    ("disable-http2-serving", Harmless),
    ("disabled-metrics", Harmless),
    ("emulation-forward-compatible", Harmless),
    ("feature-gates", Refused),
    ("http2-max-streams-per-connection", Harmless),
    ("kube-api-burst", Harmless),
    ("kube-api-content-type", Harmless),
    ("kube-api-qps", Harmless),
    ("log-flush-frequency", Harmless),
    ("log-json-info-buffer-size", Harmless),
    ("log-json-split-stream", Harmless),
    ("log-text-info-buffer-size", Harmless),
    ("log-text-split-stream", Harmless),
    ("permit-address-sharing", Harmless),
    ("permit-port-sharing", Harmless),
    ("profiling", Harmless),
    ("requestheader-allowed-names", Refused),
    ("requestheader-client-ca-file", Refused),
    ("requestheader-extra-headers-prefix", Harmless),
    ("requestheader-group-headers", Harmless),
    ("requestheader-uid-headers", Harmless),
    ("requestheader-username-headers", Harmless),
    ("runtime-config-emulation-forward-compatible", Harmless),
    ("show-hidden-metrics-for-version", Harmless),
    ("tls-sni-cert-key", Refused),
    ("vmodule", Harmless),
];

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn leader_election_flags_win_over_the_defaults() {
        let flags = Flags::try_parse_from([
            "kube-scheduler",
            "--kubeconfig=/etc/k",
            "--leader-elect=false",
            "--leader-elect-lease-duration=20s",
        ])
        .expect("parses");
        let configuration = flags.configuration().expect("valid");
        assert_eq!(configuration.client_connection.kubeconfig, "/etc/k");
        assert!(!configuration.leader_election.leader_elect);
        assert_eq!(
            configuration.leader_election.lease_duration,
            GoDuration::from_secs(20)
        );
    }

    #[test]
    fn a_bare_boolean_is_true() {
        let flags = Flags::try_parse_from(["kube-scheduler", "--leader-elect"]).expect("parses");
        assert_eq!(flags.leader_elect, Some(true));
    }
}
