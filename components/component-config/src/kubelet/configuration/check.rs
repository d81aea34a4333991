//! What this kubelet refuses, by field.

use super::{API_VERSION, DECLARED, KIND, KubeletConfiguration};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigurationError {
    #[error("{0}")]
    Syntax(String),
    #[error("{field}: {value}: {remedy}")]
    Refused {
        field: &'static str,
        value: String,
        remedy: &'static str,
    },
}

fn refuse(field: &'static str, value: impl ToString, remedy: &'static str) -> Result<(), ConfigurationError> {
    Err(ConfigurationError::Refused {
        field,
        value: value.to_string(),
        remedy,
    })
}

fn one_of(
    field: &'static str,
    value: &str,
    allowed: &[&str],
    remedy: &'static str,
) -> Result<(), ConfigurationError> {
    if allowed.contains(&value) {
        Ok(())
    } else {
        refuse(field, format!("{value:?}"), remedy)
    }
}

impl KubeletConfiguration {
    /// Refuses what cannot be honoured without changing behaviour or weakening security.
    pub fn check(&self) -> Result<(), ConfigurationError> {
        one_of(
            "apiVersion",
            &self.api_version,
            &[API_VERSION],
            "must be kubelet.config.k8s.io/v1beta1",
        )?;
        one_of("kind", &self.kind, &[KIND], "must be KubeletConfiguration")?;
        if self.read_only_port != 0 {
            return refuse(
                "readOnlyPort",
                self.read_only_port,
                "the unauthenticated port is not offered; set it to 0",
            );
        }
        one_of(
            "tlsMinVersion",
            &self.tls_min_version,
            &["", "VersionTLS12", "VersionTLS13"],
            "must be VersionTLS12 or VersionTLS13",
        )?;
        one_of(
            "authorization.mode",
            &self.authorization.mode,
            &["Webhook"],
            "AlwaysAllow would let every client run commands; use Webhook",
        )?;
        if self.authentication.anonymous.enabled {
            return refuse(
                "authentication.anonymous.enabled",
                true,
                "anonymous access is not offered; set it to false",
            );
        }
        if self.tls_cert_file.is_empty() != self.tls_private_key_file.is_empty() {
            return refuse(
                "tlsCertFile",
                format!("{:?}", self.tls_cert_file),
                "tlsCertFile and tlsPrivateKeyFile must be set together",
            );
        }
        one_of(
            "cgroupDriver",
            &self.cgroup_driver,
            &["cgroupfs", "systemd"],
            "must be cgroupfs or systemd",
        )?;
        one_of(
            "cpuManagerPolicy",
            &self.cpu_manager_policy,
            &["", "none"],
            "only none is supported",
        )?;
        one_of(
            "memoryManagerPolicy",
            &self.memory_manager_policy,
            &["", "None"],
            "only None is supported",
        )?;
        one_of(
            "topologyManagerPolicy",
            &self.topology_manager_policy,
            &["", "none"],
            "only none is supported",
        )?;
        one_of(
            "memorySwap.swapBehavior",
            &self.memory_swap.swap_behavior,
            &["", "NoSwap"],
            "only NoSwap is supported",
        )?;
        one_of(
            "imagePullCredentialsVerificationPolicy",
            &self.image_pull_credentials_verification_policy,
            &["", "NeverVerify"],
            "verification of pull credentials is not supported; set NeverVerify",
        )?;
        if self.server_tls_bootstrap {
            return refuse(
                "serverTLSBootstrap",
                true,
                "serving certificates are not requested; set tlsCertFile and tlsPrivateKeyFile",
            );
        }
        if self.rotate_certificates {
            return refuse(
                "rotateCertificates",
                true,
                "client certificates are renewed by whoever deploys this node; set it to false",
            );
        }
        if !self.shutdown_grace_period.0.is_zero() {
            return refuse(
                "shutdownGracePeriod",
                "set",
                "graceful node shutdown is not supported; drain the node instead",
            );
        }
        if self.protect_kernel_defaults {
            return refuse(
                "protectKernelDefaults",
                true,
                "kernel settings are not checked; set it to false",
            );
        }
        if let Some(other) = self
            .enforce_node_allocatable
            .iter()
            .find(|what| !["pods", "none"].contains(&what.as_str()))
        {
            return refuse("enforceNodeAllocatable", other, "only pods is supported");
        }
        if self.enable_system_log_query {
            return refuse(
                "enableSystemLogQuery",
                true,
                "the log query is not supported; set it to false",
            );
        }
        if !self.reserved_system_cpus.is_empty() {
            return refuse(
                "reservedSystemCPUs",
                &self.reserved_system_cpus,
                "not supported; use systemReserved",
            );
        }
        if !self.eviction_soft.is_empty() {
            return refuse(
                "evictionSoft",
                "{...}",
                "soft thresholds are not supported; use evictionHard",
            );
        }
        let absent = |gate: &str| {
            let mut declared = DECLARED.iter().filter_map(|(_, gate)| *gate);
            gate != "NodeDeclaredFeatures" && declared.all(|known| known != gate)
        };
        if let Some((gate, _)) = self.feature_gates.iter().find(|(gate, on)| **on && absent(gate)) {
            return refuse(
                "featureGates",
                gate,
                "the feature is not in this kubelet; remove it",
            );
        }
        if !(0..=65535).contains(&self.port) || !(0..=65535).contains(&self.healthz_port) {
            return refuse("port", self.port, "ports are between 0 and 65535");
        }
        if self.max_pods < 0 {
            return refuse("maxPods", self.max_pods, "must not be negative");
        }
        for address in &self.cluster_dns {
            if address.parse::<std::net::IpAddr>().is_err() {
                return refuse("clusterDNS", address, "must be IP addresses");
            }
        }
        if self.image_gc_low_threshold_percent >= self.image_gc_high_threshold_percent {
            return refuse(
                "imageGCLowThresholdPercent",
                self.image_gc_low_threshold_percent,
                "must be below imageGCHighThresholdPercent",
            );
        }
        Ok(())
    }
}
