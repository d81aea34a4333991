//! Connection tracking: stale UDP flows, and the kernel's limits.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use component_config::kube_proxy::Conntrack;
use host::command::{CommandError, run};

use crate::model::{Frontend, Protocol};

/// Where a UDP port of a Service is reached and where its flows may go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UdpPort {
    /// None stands for a node port, which is on any address.
    pub address: Option<IpAddr>,
    pub port: u16,
    pub endpoints: BTreeSet<SocketAddr>,
}

/// Flows that must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    pub address: Option<IpAddr>,
    pub port: u16,
    /// The endpoint that is gone; None for flows that found no endpoint before.
    pub endpoint: Option<IpAddr>,
}

/// The UDP ports of a Service.
pub fn udp_ports(frontends: &[Frontend]) -> Vec<UdpPort> {
    let mut ports = Vec::new();
    for frontend in frontends
        .iter()
        .filter(|frontend| frontend.protocol == Protocol::Udp)
    {
        let endpoints: BTreeSet<SocketAddr> = frontend
            .endpoints
            .iter()
            .chain(&frontend.local_endpoints)
            .copied()
            .collect();
        let addresses = std::iter::once(frontend.cluster_ip).chain(frontend.external_addresses());
        ports.extend(addresses.map(|address| UdpPort {
            address: Some(address),
            port: frontend.port,
            endpoints: endpoints.clone(),
        }));
        ports.extend(frontend.node_port.map(|port| UdpPort {
            address: None,
            port,
            endpoints,
        }));
    }
    ports
}

/// UDP has no end of connection: a client that keeps its port stays with an endpoint that is gone, or without
/// one although there are some now. Pure.
pub fn stale(before: &[UdpPort], after: &[UdpPort]) -> Vec<Stale> {
    let mut found = Vec::new();
    for old in before {
        let new = after
            .iter()
            .find(|new| new.address == old.address && new.port == old.port);
        let gone = old
            .endpoints
            .iter()
            .filter(|endpoint| new.is_none_or(|new| !new.endpoints.contains(endpoint)));
        let gone: BTreeSet<IpAddr> = gone.map(SocketAddr::ip).collect();
        found.extend(gone.into_iter().map(|endpoint| Stale {
            address: old.address,
            port: old.port,
            endpoint: Some(endpoint),
        }));
    }
    for new in after.iter().filter(|new| !new.endpoints.is_empty()) {
        let old = before
            .iter()
            .find(|old| old.address == new.address && old.port == new.port);
        if old.is_some_and(|old| old.endpoints.is_empty()) {
            found.push(Stale {
                address: new.address,
                port: new.port,
                endpoint: None,
            });
        }
    }
    found
}

/// Deletes flows with the program `conntrack`.
pub async fn delete(stale: &Stale) -> Result<(), CommandError> {
    let port = stale.port.to_string();
    let family = match stale.address.or(stale.endpoint) {
        Some(IpAddr::V6(_)) => "ipv6",
        _ => "ipv4",
    };
    let mut words = vec!["-D", "-f", family, "-p", "udp", "--orig-port-dst", &port];
    let address = stale.address.map(|address| address.to_string());
    if let Some(address) = &address {
        words.extend(["--orig-dst", address]);
    }
    let endpoint = stale.endpoint.map(|endpoint| endpoint.to_string());
    if let Some(endpoint) = &endpoint {
        words.extend(["--dst-nat", endpoint]);
    }
    match run("conntrack", &words, Vec::new()).await {
        // Its way to say that there was none.
        Err(CommandError::Failed { stderr, .. }) if stderr.contains("0 flow entries") => Ok(()),
        other => other.map(drop),
    }
}

/// Kernel settings under /proc/sys and their values for this configuration.
pub fn limits(conntrack: &Conntrack, cores: u32) -> Vec<(&'static str, u64)> {
    let mut limits = Vec::new();
    let scaled = conntrack.max_per_core.unwrap_or(0).saturating_mul(cores);
    let max = scaled.max(conntrack.min.unwrap_or(0));
    if conntrack.max_per_core.is_some_and(|per_core| per_core > 0) && max > 0 {
        limits.push(("net/netfilter/nf_conntrack_max", u64::from(max)));
    }
    for (name, text) in [
        (
            "net/netfilter/nf_conntrack_tcp_timeout_established",
            &conntrack.tcp_established_timeout,
        ),
        (
            "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
            &conntrack.tcp_close_wait_timeout,
        ),
        ("net/netfilter/nf_conntrack_udp_timeout", &conntrack.udp_timeout),
        (
            "net/netfilter/nf_conntrack_udp_timeout_stream",
            &conntrack.udp_stream_timeout,
        ),
    ] {
        let parsed = text
            .as_deref()
            .and_then(|text| component_config::flags::parse_duration(text).ok());
        limits.extend(
            parsed
                .map(|duration| duration.as_secs())
                .filter(|seconds| *seconds > 0)
                .map(|seconds| (name, seconds)),
        );
    }
    limits
}

/// Raises the limits; never lowers nf_conntrack_max, which the administrator may have raised further.
pub fn apply_limits(root: &Path, limits: &[(&'static str, u64)]) {
    for (name, value) in limits {
        let path = root.join(name);
        let present = std::fs::read_to_string(&path)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        let enough = match present {
            Some(present) if name.ends_with("_max") => present >= *value,
            Some(present) => present == *value,
            None => false,
        };
        if enough {
            continue;
        }
        match std::fs::write(&path, value.to_string()) {
            Ok(()) => tracing::info!(setting = name, value, "kernel setting changed"),
            // Read-only in a container: services work with the present one.
            Err(error) => {
                tracing::warn!(setting = name, value, ?present, %error, "kernel setting not changed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(endpoints: &[&str]) -> Vec<UdpPort> {
        vec![UdpPort {
            address: Some("10.96.0.10".parse().unwrap()),
            port: 53,
            endpoints: endpoints
                .iter()
                .map(|endpoint| endpoint.parse().unwrap())
                .collect(),
        }]
    }

    #[test]
    fn flows_to_gone_endpoints_and_into_nothing_are_stale() {
        let stale_endpoints = |before: &[UdpPort], after: &[UdpPort]| {
            stale(before, after)
                .into_iter()
                .map(|stale| stale.endpoint.map(|ip| ip.to_string()))
                .collect::<Vec<_>>()
        };
        let one = Some("10.1.0.1".to_owned());
        assert_eq!(stale_endpoints(&[], &port(&["10.1.0.1:53"])), []);
        assert_eq!(
            stale_endpoints(&port(&["10.1.0.1:53"]), &port(&["10.1.0.1:53", "10.1.0.2:53"])),
            []
        );
        assert_eq!(
            stale_endpoints(&port(&["10.1.0.1:53", "10.1.0.2:53"]), &port(&["10.1.0.2:53"])),
            [one.clone()]
        );
        assert_eq!(stale_endpoints(&port(&["10.1.0.1:53"]), &[]), [one]);
        assert_eq!(stale_endpoints(&port(&[]), &port(&["10.1.0.1:53"])), [None]);
    }
}
