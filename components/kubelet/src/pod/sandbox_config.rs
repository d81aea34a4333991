//! The sandbox of a pod as the runtime takes it: pure.

use std::collections::HashMap;

use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::Pod;

use super::cgroup_path::{CgroupDriver, pod_cgroup};
use super::dns::{DnsSettings, HostDnsError};
use super::host_files::{NameTooLong, sandbox_host_name};
use super::members::PodView;
use super::qos::qos_class;
use super::resources::{CpuSettings, Unified, pod_limits};
use super::security::sandbox_security;
use crate::runtime::{annotation, label};

/// The node's settings that sandboxes and containers depend on.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    pub node_name: String,
    pub root: String,
    pub pod_logs: String,
    pub cluster_domain: String,
    pub dns: DnsSettings,
    pub cgroup_driver: CgroupDriver,
    pub cgroup_root: String,
    pub cpu: CpuSettings,
    /// On cgroup v2.
    pub unified: Option<Unified>,
    pub seccomp_default: bool,
    pub memory_capacity: i64,
}

/// A sandbox cannot be as its pod wants it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxConfigError {
    #[error(transparent)]
    HostDns(#[from] HostDnsError),
    #[error(transparent)]
    HostName(#[from] NameTooLong),
}

/// Directory of a pod's logs.
pub fn log_directory(pod_logs: &str, pod: &Pod) -> String {
    // Static pods are known by the hash of their manifest, as upstream has it.
    format!("{pod_logs}/{}_{}_{}", pod.namespace(), pod.name(), pod.uid())
}

/// Makes the configuration of attempt number `attempt`.
pub fn sandbox_config(
    pod: &Pod,
    attempt: u32,
    settings: &NodeSettings,
    dns: cri::DnsConfig,
) -> Result<cri::PodSandboxConfig, NameTooLong> {
    let qos = qos_class(pod);
    let cgroup = pod_cgroup(settings.cgroup_driver, &settings.cgroup_root, qos, pod.uid());
    let mut labels: HashMap<String, String> = pod
        .metadata
        .labels
        .clone()
        .unwrap_or_default()
        .into_iter()
        .collect();
    labels.insert(label::POD_NAME.to_owned(), pod.name().to_owned());
    labels.insert(label::POD_NAMESPACE.to_owned(), pod.namespace().to_owned());
    labels.insert(label::POD_UID.to_owned(), pod.uid().to_owned());
    let mut annotations: HashMap<String, String> = pod
        .metadata
        .annotations
        .clone()
        .unwrap_or_default()
        .into_iter()
        .collect();
    annotations
        .entry(annotation::CONFIG_SOURCE.to_owned())
        .or_insert_with(|| "api".to_owned());
    let sysctls = pod
        .view()
        .security_context
        .iter()
        .flat_map(|context| context.sysctls.iter().flatten());
    Ok(cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            namespace: pod.namespace().to_owned(),
            attempt,
        }),
        // The host's name is not to be changed from a pod in its network.
        hostname: if pod.host_network() {
            String::new()
        } else {
            sandbox_host_name(pod, &settings.cluster_domain, &settings.node_name)?
        },
        log_directory: log_directory(&settings.pod_logs, pod),
        dns_config: Some(dns),
        port_mappings: port_mappings(pod),
        labels,
        annotations,
        linux: Some(cri::LinuxPodSandboxConfig {
            // The whole path under systemd too: runc takes the last slice, containerd reads usage at the path.
            cgroup_parent: cgroup,
            security_context: Some(sandbox_security(pod, &settings.root)),
            sysctls: sysctls
                .map(|sysctl| (sysctl.name.replace('/', "."), sysctl.value.clone()))
                .collect(),
            overhead: None,
            resources: Some(sandbox_resources(pod, settings.cpu)),
        }),
        windows: None,
    })
}

fn sandbox_resources(pod: &Pod, cpu: CpuSettings) -> cri::LinuxContainerResources {
    let limits = pod_limits(pod, cpu);
    cri::LinuxContainerResources {
        cpu_period: limits.period,
        cpu_quota: limits.quota.unwrap_or(0),
        cpu_shares: limits.shares,
        memory_limit_in_bytes: limits.memory.unwrap_or(0),
        ..Default::default()
    }
}

fn port_mappings(pod: &Pod) -> Vec<cri::PortMapping> {
    if pod.host_network() {
        return Vec::new();
    }
    let ports = pod
        .init_containers()
        .iter()
        .chain(pod.containers())
        .flat_map(|container| container.ports.iter().flatten());
    ports
        .map(|port| cri::PortMapping {
            protocol: match port.protocol.as_deref() {
                Some("UDP") => cri::Protocol::Udp,
                Some("SCTP") => cri::Protocol::Sctp,
                _ => cri::Protocol::Tcp,
            } as i32,
            container_port: port.container_port,
            host_port: port.host_port.unwrap_or(0),
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
        .collect()
}
