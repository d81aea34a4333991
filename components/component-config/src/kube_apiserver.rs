//! Flags and configuration of kube-apiserver.

mod audit;
pub mod authentication;
pub mod authorization;
pub mod collector;
pub mod egress;
pub(crate) mod feature_gates;
mod identity;
mod observing;
mod overrides;
mod peers;
mod serving;
mod unused;

use clap::Parser;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::flags::parse_duration;
use crate::tls::TlsFlags;
use crate::versions::{EffectiveVersion, VersionFlags};
pub use audit::AuditFlags;
pub use feature_gates::{FeatureGate, GATES, Gate, Spec, Stage, is_on};
pub use identity::{AuthenticationFlags, AuthorizationFlags};
pub use observing::{LabelValues, ObservingFlags};
pub use overrides::ServersOverride;
pub use peers::PeerFlags;
pub use serving::{CacheSize, RuntimeSetting, ServingFlags, SniCertificate};
pub use unused::UNUSED_FLAGS;

/// The command line of kube-apiserver; names and defaults are upstream's.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "kube-apiserver",
    about = "Serves the Kubernetes API",
    display_name = "Kubernetes",
    version = crate::KUBERNETES_VERSION,
    args_override_self = true
)]
pub struct ApiServerFlags {
    // serving
    /// Address on which to listen.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Port of the HTTPS listener.
    #[arg(long, default_value_t = 6443, value_parser = serving::parse_secure_port)]
    pub secure_port: u16,
    /// Address under which other members of the cluster reach this server.
    #[arg(long)]
    pub advertise_address: Option<IpAddr>,
    #[arg(long)]
    pub tls_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub tls_private_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsFlags,
    /// Streams that one HTTP/2 connection may have; 0 is the default of 250.
    #[arg(long, default_value_t = 0)]
    pub http2_max_streams_per_connection: u32,
    #[arg(long, default_value_t = 0.0)]
    pub goaway_chance: f64,
    #[arg(long, value_parser = parse_duration, default_value = "1m")]
    pub request_timeout: Duration,
    /// Least seconds that a watch is kept open.
    #[arg(long, default_value_t = 1800)]
    pub min_request_timeout: u64,
    #[arg(long, default_value_t = 400)]
    pub max_requests_inflight: usize,
    #[arg(long, default_value_t = 200)]
    pub max_mutating_requests_inflight: usize,
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub enable_priority_and_fairness: bool,
    #[arg(long, value_parser = parse_duration, default_value = "0s")]
    pub shutdown_delay_duration: Duration,
    #[arg(long, value_parser = parse_duration, default_value = "0s")]
    pub shutdown_watch_termination_grace_period: Duration,
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub shutdown_send_retry_after: bool,
    #[arg(long, value_parser = parse_duration, default_value = "0s")]
    pub livez_grace_period: Duration,
    #[command(flatten)]
    pub serving: ServingFlags,
    /// `Name=true` or `Name=false`.
    #[arg(long, value_delimiter = ',', value_parser = feature_gates::parse)]
    pub feature_gates: Vec<FeatureGate>,
    #[command(flatten)]
    pub versions: VersionFlags,
    /// APIs that an older version of is served come in their newer versions as well, from whatever version on they are.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub emulation_forward_compatible: bool,
    /// --runtime-config may turn on APIs that came after the emulated version.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub runtime_config_emulation_forward_compatible: bool,
    /// What `versions` come to; [`parse`] fills it in.
    #[arg(skip)]
    pub version: EffectiveVersion,
    /// A Unix socket for what `/debug` has of the process, for everyone who may connect to it.
    #[arg(long)]
    pub debug_socket_path: Option<PathBuf>,

    // etcd
    #[arg(long, value_delimiter = ',', required_unless_present = "storage_directory")]
    pub etcd_servers: Vec<String>,
    /// Store everything in files of this directory instead of etcd: one API server, no high availability.
    #[arg(long, conflicts_with = "etcd_servers")]
    pub storage_directory: Option<PathBuf>,
    /// `group/resource#servers` with the servers' URLs separated by semicolons: where single resources are kept.
    #[arg(long, value_delimiter = ',', value_parser = overrides::parse, conflicts_with = "storage_directory")]
    pub etcd_servers_overrides: Vec<ServersOverride>,
    #[arg(long, default_value = "/registry")]
    pub etcd_prefix: String,
    #[arg(long)]
    pub etcd_cafile: Option<PathBuf>,
    #[arg(long)]
    pub etcd_certfile: Option<PathBuf>,
    #[arg(long)]
    pub etcd_keyfile: Option<PathBuf>,
    #[arg(long, value_parser = parse_duration, default_value = "5m")]
    pub etcd_compaction_interval: Duration,
    #[arg(long, value_parser = parse_duration, default_value = "2s")]
    pub etcd_healthcheck_timeout: Duration,
    #[arg(long, value_parser = parse_duration, default_value = "2s")]
    pub etcd_readycheck_timeout: Duration,
    #[arg(long)]
    pub encryption_provider_config: Option<PathBuf>,
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub encryption_provider_config_automatic_reload: bool,
    #[arg(long, value_parser = parse_duration, default_value = "1h")]
    pub event_ttl: Duration,
    /// Whether there is a garbage collector. Without one no deletion waits for it: what is asked for dependents is ignored.
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub enable_garbage_collector: bool,

    // authentication
    /// On if not given. A file that says who may come without credentials is not overruled.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub anonymous_auth: Option<bool>,
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    #[arg(long)]
    pub requestheader_client_ca_file: Option<PathBuf>,
    #[arg(long, value_delimiter = ',')]
    pub requestheader_allowed_names: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub requestheader_username_headers: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub requestheader_uid_headers: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub requestheader_group_headers: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub requestheader_extra_headers_prefix: Vec<String>,
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub enable_bootstrap_token_auth: bool,
    /// Files with public or private keys that verify service-account tokens; may be repeated.
    #[arg(long, value_delimiter = ',')]
    pub service_account_key_file: Vec<PathBuf>,
    #[arg(long)]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// Unix socket of a service that signs tokens and gives the keys that verify them; `@name` is an abstract one.
    #[arg(long, conflicts_with_all = ["service_account_signing_key_file", "service_account_key_file"])]
    pub service_account_signing_endpoint: Option<String>,
    /// Issuers of service-account tokens; the first one signs, all are accepted.
    #[arg(long, required = true)]
    pub service_account_issuer: Vec<String>,
    #[arg(long)]
    pub service_account_jwks_uri: Option<String>,
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub service_account_lookup: bool,
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub service_account_extend_token_expiration: bool,
    #[arg(long, value_parser = parse_duration, default_value = "0s")]
    pub service_account_max_token_expiration: Duration,
    #[arg(long, value_delimiter = ',')]
    pub api_audiences: Vec<String>,

    #[command(flatten)]
    pub authentication: AuthenticationFlags,

    // authorization
    #[arg(long, value_delimiter = ',')]
    pub authorization_mode: Vec<String>,
    #[command(flatten)]
    pub authorization: AuthorizationFlags,

    // admission
    /// AdmissionConfiguration: what plugins are told.
    #[arg(long)]
    pub admission_control_config_file: Option<PathBuf>,
    /// Deprecated: all plugins that run.
    #[arg(long, value_delimiter = ',')]
    pub admission_control: Option<Vec<String>>,
    #[arg(long, value_delimiter = ',')]
    pub enable_admission_plugins: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub disable_admission_plugins: Vec<String>,
    #[arg(long, default_value_t = 300)]
    pub default_not_ready_toleration_seconds: i64,
    #[arg(long, default_value_t = 300)]
    pub default_unreachable_toleration_seconds: i64,
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub allow_privileged: bool,

    /// Services behind webhooks and aggregated APIs are reached by their endpoints only.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub enable_aggregator_routing: bool,
    /// An aggregated API server can't send a client elsewhere, whose credentials the client would take along.
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub aggregator_reject_forwarding_redirect: bool,

    // services
    #[arg(long, value_delimiter = ',', default_value = "10.0.0.0/24", action = clap::ArgAction::Set)]
    pub service_cluster_ip_range: Vec<ipnet::IpNet>,
    /// Ports given to services of type NodePort, `first-last` or `first+count`.
    #[arg(long, default_value = "30000-32767", value_parser = parse_port_range)]
    pub service_node_port_range: PortRange,
    #[arg(long, default_value_t = 0)]
    pub kubernetes_service_node_port: u16,
    /// `lease`, `master-count` or `none`.
    #[arg(long, default_value = "lease")]
    pub endpoint_reconciler_type: String,
    /// How many API servers there are, for the reconciler `master-count`.
    #[arg(long, default_value_t = 1)]
    pub apiserver_count: usize,

    /// EgressSelectorConfiguration: proxies on the way to nodes and to webhooks.
    #[arg(long)]
    pub egress_selector_config_file: Option<PathBuf>,
    /// TracingConfiguration: which OpenTelemetry collector is told spans of requests.
    #[arg(long)]
    pub tracing_config_file: Option<PathBuf>,

    // kubelets and aggregated servers
    #[arg(long)]
    pub kubelet_certificate_authority: Option<PathBuf>,
    #[arg(long)]
    pub kubelet_client_certificate: Option<PathBuf>,
    #[arg(long)]
    pub kubelet_client_key: Option<PathBuf>,
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP"
    )]
    pub kubelet_preferred_address_types: Vec<String>,
    #[arg(long, value_parser = parse_duration, default_value = "5s")]
    pub kubelet_timeout: Duration,
    /// Bytes a second that a connection which has changed its protocol (exec, attach, port-forward, proxies) may carry in each
    /// direction; 0 is as many as there are.
    #[arg(long, default_value_t = 0)]
    pub max_connection_bytes_per_sec: u64,
    #[arg(long)]
    pub proxy_client_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub proxy_client_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub peers: PeerFlags,

    // audit
    #[arg(long)]
    pub audit_policy_file: Option<PathBuf>,
    /// File that audit events are written to; `-` is standard output.
    #[arg(long)]
    pub audit_log_path: Option<String>,
    /// Days that rotated audit logs are kept; 0 is for ever.
    #[arg(long, default_value_t = 0)]
    pub audit_log_maxage: u64,
    #[arg(long, default_value_t = 0)]
    pub audit_log_maxbackup: usize,
    /// Megabytes at which the audit log is rotated; 0 is the usual 100.
    #[arg(long, default_value_t = 0)]
    pub audit_log_maxsize: u64,
    #[command(flatten)]
    pub audit: AuditFlags,

    #[command(flatten)]
    pub observing: ObservingFlags,

    /// Verbosity of the log.
    #[arg(short = 'v', long = "v", default_value_t = 0)]
    pub v: u32,
}

/// An inclusive range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl PortRange {
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.first, self.last)
    }
}

/// Parses upstream's port range: `first-last`, `first+count` or one port.
pub fn parse_port_range(text: &str) -> Result<PortRange, String> {
    let port = |part: &str| {
        part.trim()
            .parse::<u16>()
            .map_err(|_| format!("invalid port range {text:?}; write for example 30000-32767"))
    };
    let range = if let Some((first, last)) = text.split_once('-') {
        PortRange {
            first: port(first)?,
            last: port(last)?,
        }
    } else if let Some((first, count)) = text.split_once('+') {
        let first = port(first)?;
        PortRange {
            first,
            last: first
                .checked_add(port(count)?)
                .ok_or_else(|| format!("port range {text:?} exceeds 65535"))?,
        }
    } else {
        let only = port(text)?;
        PortRange {
            first: only,
            last: only,
        }
    };
    if range.first == 0 || range.last < range.first {
        return Err(format!(
            "invalid port range {text:?}; the first port must be at least 1 and not above the last"
        ));
    }
    Ok(range)
}

/// Parses a command line after removing the upstream flags that this server has no use for.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<ApiServerFlags, ParseError> {
    let words = crate::flags::normalize(args, UNUSED_FLAGS)?;
    let mut flags = ApiServerFlags::try_parse_from(words)?;
    flags.version = flags.versions.effective().map_err(ParseError::Versions)?;
    flags.check_versions().map_err(ParseError::Versions)?;
    Ok(flags)
}

impl ApiServerFlags {
    /// Whether a feature of upstream's is on: as --feature-gates say, or by default in the version that is emulated.
    pub fn has_feature(&self, name: &str) -> bool {
        feature_gates::is_on(&self.feature_gates, name, self.version.emulated)
    }

    /// How long events live; `None` is for ever.
    pub fn event_life(&self) -> Option<Duration> {
        (!self.event_ttl.is_zero()).then_some(self.event_ttl)
    }

    /// Whether what depends on the version fits it; the errors are upstream's.
    fn check_versions(&self) -> Result<(), String> {
        if !self.version.is_emulation() {
            for (name, given) in [
                ("EmulationForwardCompatible", self.emulation_forward_compatible),
                (
                    "RuntimeConfigEmulationForwardCompatible",
                    self.runtime_config_emulation_forward_compatible,
                ),
            ] {
                if given {
                    return Err(format!(
                        "ServerRunOptions.{name} cannot be set to true if the emulation version is the same as the binary version"
                    ));
                }
            }
        }
        feature_gates::check(&self.feature_gates, &self.version)
    }
}

/// Why a command line was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error(transparent)]
    Refused(#[from] crate::flags::RefusedFlag),
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// About versions, or about features in them.
    #[error("{0}")]
    Versions(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<ApiServerFlags, ParseError> {
        parse(std::iter::once("kube-apiserver".to_owned()).chain(line.split_whitespace().map(str::to_owned)))
    }

    const LEAST: &str = "--etcd-servers=http://127.0.0.1:2379 --service-account-issuer=https://x";

    #[test]
    fn definition_is_consistent_and_disjoint_from_the_unused_table() {
        use clap::CommandFactory;
        let command = ApiServerFlags::command();
        command.clone().debug_assert();
        for argument in command.get_arguments() {
            let Some(name) = argument.get_long() else { continue };
            assert!(
                !UNUSED_FLAGS.iter().any(|(unused, _)| *unused == name),
                "--{name} is both implemented and unused"
            );
        }
    }

    /// A list in one text, as pflag has it: the last counts.
    #[test]
    fn ranges_of_services_that_are_given_twice_are_those_given_last() {
        let line = format!("{LEAST} --service-cluster-ip-range=10.1.0.0/24,fd00::/112");
        let ranges = |line: &str| {
            let ranges = parse_line(line).unwrap().service_cluster_ip_range;
            ranges.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(ranges(&line), ["10.1.0.0/24", "fd00::/112"]);
        assert_eq!(
            ranges(&format!("{line} --service-cluster-ip-range=10.2.0.0/24")),
            ["10.2.0.0/24"]
        );
        assert_eq!(ranges(LEAST), ["10.0.0.0/24"]);
    }

    #[test]
    fn booleans_are_pflag_booleans() {
        for (line, expected) in [
            ("", None),
            ("--anonymous-auth=false", Some(false)),
            ("--anonymous-auth", Some(true)),
            ("--anonymous-auth=true", Some(true)),
        ] {
            assert_eq!(
                parse_line(&format!("{LEAST} {line}")).unwrap().anonymous_auth,
                expected,
                "{line}"
            );
        }
        for (line, expected) in [
            ("", true),
            ("--watch-cache=false", false),
            ("--watch-cache", true),
            ("--watch-cache=true", true),
        ] {
            let flags = parse_line(&format!("{LEAST} {line}")).unwrap();
            assert_eq!(flags.serving.watch_cache, expected, "{line}");
        }
        for (line, expected) in [
            ("", false),
            ("--allow-privileged=false", false),
            ("--allow-privileged", true),
            ("--allow-privileged=true", true),
        ] {
            assert_eq!(
                parse_line(&format!("{LEAST} {line}")).unwrap().allow_privileged,
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn harmless_flags_are_taken_and_refused_ones_named() {
        let flags = parse_line(&format!("{LEAST} --profiling=false --default-watch-cache-size=0"));
        assert!(flags.is_ok(), "{flags:?}");
        let error = parse_line(&format!("{LEAST} --kubelet-port=10250"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("--kubelet-port"), "{error}");
    }

    #[test]
    fn versions_and_gates_are_taken_together() {
        let own = "cannot be set to true if the emulation version is the same as the binary version";
        for (line, said) in [
            ("--emulated-version=1.33 --feature-gates=NodeSwap=false", ""),
            ("--feature-gates=NodeSwap=false --emulated-version=kube=1.33", ""),
            (
                "--emulated-version=1.35 --emulation-forward-compatible --runtime-config-emulation-forward-compatible=true",
                "",
            ),
            ("--emulation-forward-compatible=false", ""),
            ("--emulation-forward-compatible", own),
            ("--runtime-config-emulation-forward-compatible", own),
            (
                "--emulated-version=1.34 --feature-gates=NodeSwap=false",
                "locked to true",
            ),
            ("--emulated-version=1.37", "emulation version 1.37 is not between"),
            (
                "--emulated-version=1.35 --feature-gates=AtomicFIFO=true",
                "PreAlpha at emulated version 1.35",
            ),
        ] {
            let parsed = parse_line(&format!("{LEAST} {line}"));
            match parsed {
                Ok(_) => assert_eq!(said, "", "{line}"),
                Err(error) => assert!(
                    !said.is_empty() && error.to_string().contains(said),
                    "{line}: {error}"
                ),
            }
        }
        let flags = parse_line(&format!("{LEAST} --emulated-version=1.33")).unwrap();
        assert!(!flags.has_feature("WatchList") && flags.has_feature("APIServerIdentity"));
    }

    #[test]
    fn port_ranges() {
        for (text, first, last) in [("30000-32767", 30000, 32767), ("80+5", 80, 85), ("443", 443, 443)] {
            assert_eq!(parse_port_range(text), Ok(PortRange { first, last }), "{text}");
        }
        for text in ["", "0", "5-4", "x-9", "65535+1", "70000"] {
            assert!(parse_port_range(text).is_err(), "{text}");
        }
    }
}
