//! The parts that the kubelet is put together from.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use component_config::kubelet::{KubeletConfiguration, KubeletFlags};
use daemon::delegation::Delegation;
use daemon::identity::ClientAuthority;
use daemon::tls::ServingCertificate;
use host::cgroups::{Cgroups, Version};

use crate::housekeeping::LogRotation;
use crate::pod::cgroup_path::CgroupDriver;
use crate::pod::dns::DnsSettings;
use crate::pod::resources::{CpuSettings, Unified};
use crate::pod::sandbox_config::NodeSettings;
use crate::runtime::Runtime;
use crate::server::StreamAuthority;

/// /proc/swaps has one line for each area below its head.
pub(super) fn swap_is_on() -> bool {
    std::fs::read_to_string("/proc/swaps")
        .is_ok_and(|table| table.lines().filter(|line| !line.trim().is_empty()).count() > 1)
}

pub(super) fn delegation(
    api: kube::Client,
    configuration: &KubeletConfiguration,
) -> anyhow::Result<Delegation> {
    let file = &configuration.authentication.x509.client_ca_file;
    let authority = if file.is_empty() {
        None
    } else {
        Some(ClientAuthority::load(Path::new(file))?)
    };
    Ok(Delegation::new(api, authority))
}

pub(super) fn stream_authority(configuration: &KubeletConfiguration) -> StreamAuthority {
    let file = &configuration.authentication.x509.client_ca_file;
    StreamAuthority::new((!file.is_empty()).then(|| file.into()))
}

pub(super) fn serving_certificate(
    flags: &KubeletFlags,
    configuration: &KubeletConfiguration,
    node_name: &str,
    addresses: &[std::net::IpAddr],
) -> anyhow::Result<ServingCertificate> {
    if !configuration.tls_cert_file.is_empty() {
        return ServingCertificate::from_files(
            Path::new(&configuration.tls_cert_file),
            Path::new(&configuration.tls_private_key_file),
        );
    }
    tracing::warn!(cert_dir = %flags.cert_dir.display(), "no serving certificate is configured, using a self-signed one");
    let names = std::iter::once(node_name.to_owned())
        .chain(addresses.iter().map(ToString::to_string))
        .collect();
    ServingCertificate::self_signed(names)
}

pub(super) fn log_rotation(configuration: &KubeletConfiguration) -> anyhow::Result<LogRotation> {
    let text = &configuration.container_log_max_size;
    let max_size = crate::pod::resources::parse(text)
        .with_context(|| format!("containerLogMaxSize: {text:?} is not a quantity"))?;
    Ok(LogRotation {
        max_size: max_size as u64,
        max_files: usize::try_from(configuration.container_log_max_files)
            .unwrap_or(5)
            .max(2),
    })
}

pub(super) fn host_name() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname().context("cannot find out the host name")?;
    let name = name.to_string_lossy().trim().to_lowercase();
    anyhow::ensure!(
        !name.is_empty(),
        "the host name is empty; use --hostname-override"
    );
    Ok(name)
}

/// The runtime may start later than the kubelet.
pub(super) async fn wait_for_runtime(runtime: &Runtime) -> k8s_cri::v1::VersionResponse {
    let mut told = false;
    loop {
        match runtime.version().await {
            Ok(version) => return version,
            Err(error) if !told => {
                told = true;
                tracing::warn!(%error, "waiting for the container runtime");
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The driver must be the runtime's; one that cannot be asked is taken to be as configured.
pub(super) async fn cgroup_driver(runtime: &Runtime, configuration: &KubeletConfiguration) -> CgroupDriver {
    let found = runtime.cgroup_driver().await;
    let name = found.unwrap_or(&configuration.cgroup_driver);
    if name != configuration.cgroup_driver {
        tracing::info!(
            driver = name,
            configured = configuration.cgroup_driver,
            "using the container runtime's cgroup driver"
        );
    }
    if name == "systemd" {
        CgroupDriver::Systemd
    } else {
        CgroupDriver::Cgroupfs
    }
}

pub(super) fn node_settings(
    flags: &KubeletFlags,
    configuration: &KubeletConfiguration,
    node_name: &str,
    driver: CgroupDriver,
    cgroups: &Cgroups,
    memory: i64,
) -> NodeSettings {
    let resolv_conf = match configuration.resolv_conf.as_deref() {
        // Set and empty: pods get nothing from the host.
        Some("") => None,
        Some(path) => Some(path.to_owned()),
        None => Some("/etc/resolv.conf".to_owned()),
    };
    NodeSettings {
        node_name: node_name.to_owned(),
        root: flags.root_dir.to_string_lossy().into_owned(),
        pod_logs: configuration.pod_logs_dir.clone(),
        cluster_domain: configuration.cluster_domain.clone(),
        dns: DnsSettings {
            cluster_dns: configuration.cluster_dns.clone(),
            cluster_domain: configuration.cluster_domain.clone(),
            resolv_conf,
        },
        cgroup_driver: driver,
        cgroup_root: configuration.cgroup_root.clone(),
        cpu: CpuSettings {
            quota_enabled: configuration.cpu_cfs_quota,
            quota_period: i64::try_from(configuration.cpu_cfs_quota_period.0.as_micros()).unwrap_or(100_000),
        },
        unified: (cgroups.version() == Version::V2).then(|| Unified {
            kill_together: !configuration.single_process_oom_kill.unwrap_or(false),
            swap_is_controlled: cgroups.controls_swap(),
        }),
        seccomp_default: configuration.seccomp_default,
        memory_capacity: memory,
    }
}
