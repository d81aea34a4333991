//! The kubelet's command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Parser;

use super::configuration::{KubeletConfiguration, Taint};
use crate::flags::Unused;

/// Flags of kubelet. Those that upstream also has in the configuration file win over the file.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "kubelet",
    about = "Runs the pods that are bound to this node",
    disable_version_flag = true
)]
pub struct KubeletFlags {
    /// Configuration file (KubeletConfiguration, kubelet.config.k8s.io/v1beta1).
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Kubeconfig for the API server. Without one the kubelet runs static pods only.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Kubeconfig used to request a client certificate when --kubeconfig does not exist.
    #[arg(long)]
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// Directory of certificates that the kubelet obtains itself.
    #[arg(long, default_value = "/var/lib/kubelet/pki")]
    pub cert_dir: PathBuf,
    /// Name of this node instead of the host name.
    #[arg(long, default_value = "")]
    pub hostname_override: String,
    /// Address of this node; a second one of the other family makes it dual-stack.
    #[arg(long, value_delimiter = ',')]
    pub node_ip: Vec<std::net::IpAddr>,
    /// Labels (key=value,...) to register the node with.
    #[arg(long, default_value = "")]
    pub node_labels: String,
    /// Register this node with the API server.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub register_node: Option<bool>,
    /// Taints (key=value:effect,...) to register the node with.
    #[arg(long)]
    pub register_with_taints: Option<String>,
    /// Directory of the kubelet's own files.
    #[arg(long, default_value = "/var/lib/kubelet")]
    pub root_dir: PathBuf,
    /// Directory of static pod manifests.
    #[arg(long)]
    pub pod_manifest_path: Option<String>,
    #[arg(long)]
    pub container_runtime_endpoint: Option<String>,
    #[arg(long)]
    pub image_service_endpoint: Option<String>,
    #[arg(long)]
    pub cgroup_driver: Option<String>,
    #[arg(long)]
    pub cgroup_root: Option<String>,
    #[arg(long, value_delimiter = ',')]
    pub cluster_dns: Vec<String>,
    #[arg(long)]
    pub cluster_domain: Option<String>,
    #[arg(long)]
    pub address: Option<String>,
    #[arg(long)]
    pub port: Option<i32>,
    #[arg(long)]
    pub read_only_port: Option<i32>,
    #[arg(long)]
    pub healthz_port: Option<i32>,
    #[arg(long)]
    pub healthz_bind_address: Option<String>,
    #[arg(long)]
    pub tls_min_version: Option<String>,
    #[arg(long, value_delimiter = ',')]
    pub tls_cipher_suites: Option<Vec<String>>,
    #[arg(long)]
    pub tls_cert_file: Option<String>,
    #[arg(long)]
    pub tls_private_key_file: Option<String>,
    #[arg(long)]
    pub client_ca_file: Option<String>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub anonymous_auth: Option<bool>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub authentication_token_webhook: Option<bool>,
    #[arg(long)]
    pub authorization_mode: Option<String>,
    #[arg(long)]
    pub max_pods: Option<i32>,
    #[arg(long)]
    pub resolv_conf: Option<String>,
    #[arg(long)]
    pub provider_id: Option<String>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub fail_swap_on: Option<bool>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub seccomp_default: Option<bool>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub rotate_certificates: Option<bool>,
    /// Log verbosity, 0 to 10.
    #[arg(short = 'v', long = "v", default_value_t = 0)]
    pub verbosity: u8,
    /// Print the version and leave.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub version: Option<bool>,
}

/// Upstream flags that this kubelet has no use for.
pub const UNUSED_FLAGS: &[(&str, Unused)] = &[
    ("cloud-provider", Unused::Refused),
    ("config-dir", Unused::Refused),
    ("enable-server", Unused::Refused),
    ("exit-on-lock-contention", Unused::Refused),
    ("feature-gates", Unused::Refused),
    ("image-credential-provider-bin-dir", Unused::Refused),
    ("image-credential-provider-config", Unused::Refused),
    ("kube-reserved", Unused::Refused),
    ("lock-file", Unused::Refused),
    ("manifest-url", Unused::Refused),
    ("system-reserved", Unused::Refused),
    ("cadvisor-port", Unused::Harmless),
    ("containerd", Unused::Harmless),
    ("containerd-namespace", Unused::Harmless),
    ("enable-controller-attach-detach", Unused::Harmless),
    ("event-burst", Unused::Harmless),
    ("event-qps", Unused::Harmless),
    ("housekeeping-interval", Unused::Harmless),
    ("kube-api-burst", Unused::Harmless),
    ("kube-api-qps", Unused::Harmless),
    ("log-flush-frequency", Unused::Harmless),
    ("logging-format", Unused::Harmless),
    ("logtostderr", Unused::Harmless),
    ("pod-infra-container-image", Unused::Harmless),
    ("register-schedulable", Unused::Harmless),
    ("runtime-cgroups", Unused::Harmless),
    ("vmodule", Unused::Harmless),
];

/// A label or taint on the command line that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid {what} {text:?} in --{flag}; write {form}")]
pub struct TaintFlagError {
    what: &'static str,
    flag: &'static str,
    text: String,
    form: &'static str,
}

/// Reads `key=value,key=value`.
pub fn parse_labels(text: &str) -> Result<BTreeMap<String, String>, TaintFlagError> {
    let mut labels = BTreeMap::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        match part.trim().split_once('=') {
            Some((key, value)) if !key.is_empty() => labels.insert(key.to_owned(), value.to_owned()),
            _ => {
                return Err(TaintFlagError {
                    what: "label",
                    flag: "node-labels",
                    text: part.to_owned(),
                    form: "key=value",
                });
            }
        };
    }
    Ok(labels)
}

/// Reads `key=value:effect,key:effect`.
pub fn parse_taints(text: &str) -> Result<Vec<Taint>, TaintFlagError> {
    let refuse = |part: &str| TaintFlagError {
        what: "taint",
        flag: "register-with-taints",
        text: part.to_owned(),
        form: "key=value:effect with the effect NoSchedule, PreferNoSchedule or NoExecute",
    };
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (left, effect) = part.rsplit_once(':').ok_or_else(|| refuse(part))?;
            let (key, value) = left.split_once('=').unwrap_or((left, ""));
            if key.is_empty() || !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
                return Err(refuse(part));
            }
            Ok(Taint {
                key: key.to_owned(),
                value: value.to_owned(),
                effect: effect.to_owned(),
            })
        })
        .collect()
}

impl KubeletFlags {
    /// Puts what was given on the command line over the configuration file.
    pub fn apply_to(&self, configuration: &mut KubeletConfiguration) -> Result<(), TaintFlagError> {
        fn set<T: Clone>(target: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                *target = value.clone();
            }
        }
        let c = configuration;
        set(&mut c.static_pod_path, &self.pod_manifest_path);
        set(
            &mut c.container_runtime_endpoint,
            &self.container_runtime_endpoint,
        );
        set(&mut c.image_service_endpoint, &self.image_service_endpoint);
        set(&mut c.cgroup_driver, &self.cgroup_driver);
        set(&mut c.cgroup_root, &self.cgroup_root);
        set(&mut c.cluster_domain, &self.cluster_domain);
        set(&mut c.address, &self.address);
        set(&mut c.port, &self.port);
        set(&mut c.read_only_port, &self.read_only_port);
        set(&mut c.healthz_port, &self.healthz_port);
        set(&mut c.healthz_bind_address, &self.healthz_bind_address);
        set(&mut c.tls_min_version, &self.tls_min_version);
        set(&mut c.tls_cipher_suites, &self.tls_cipher_suites);
        set(&mut c.tls_cert_file, &self.tls_cert_file);
        set(&mut c.tls_private_key_file, &self.tls_private_key_file);
        set(&mut c.authentication.x509.client_ca_file, &self.client_ca_file);
        set(&mut c.authentication.anonymous.enabled, &self.anonymous_auth);
        set(
            &mut c.authentication.webhook.enabled,
            &self.authentication_token_webhook,
        );
        set(&mut c.authorization.mode, &self.authorization_mode);
        set(&mut c.max_pods, &self.max_pods);
        set(&mut c.provider_id, &self.provider_id);
        set(&mut c.fail_swap_on, &self.fail_swap_on);
        set(&mut c.seccomp_default, &self.seccomp_default);
        set(&mut c.register_node, &self.register_node);
        set(&mut c.rotate_certificates, &self.rotate_certificates);
        if self.resolv_conf.is_some() {
            c.resolv_conf = self.resolv_conf.clone();
        }
        if !self.cluster_dns.is_empty() {
            c.cluster_dns = self.cluster_dns.clone();
        }
        if let Some(taints) = &self.register_with_taints {
            c.register_with_taints = parse_taints(taints)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let flags = KubeletFlags::parse_from([
            "kubelet",
            "--port=1",
            "--register-node=false",
            "--cluster-dns",
            "10.0.0.10",
            "--register-with-taints=a=b:NoSchedule,c:NoExecute",
        ]);
        let mut configuration = KubeletConfiguration::default();
        flags.apply_to(&mut configuration).unwrap();
        assert_eq!(configuration.port, 1);
        assert!(!configuration.register_node);
        assert_eq!(configuration.cluster_dns, ["10.0.0.10"]);
        assert_eq!(configuration.register_with_taints.len(), 2);
        assert_eq!(configuration.register_with_taints[1].value, "");
    }

    #[test]
    fn labels_and_taints_that_cannot_be_read_are_refused() {
        assert!(parse_labels("a").is_err());
        assert_eq!(parse_labels("a=b,c=").unwrap().len(), 2);
        for text in ["a", "a=b", "a=b:Never", ":NoSchedule"] {
            assert!(parse_taints(text).is_err(), "{text}");
        }
    }
}
