//! What flags and file mean, checked. Pure.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use component_config::flags::parse_duration;
use component_config::kube_proxy::{
    Conntrack, DetectLocalMode, InvalidConfiguration, KubeProxyConfiguration, ProxyMode,
};
use ipnet::IpNet;

use crate::model::{Family, ThisNode};
use crate::options::{LocalTraffic, NodePortAddresses, Options};

/// Where node ports are received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortSetting {
    All,
    Primary,
    Within(Vec<IpNet>),
}

/// Settings of one run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub mode: ProxyMode,
    pub kubeconfig: Option<PathBuf>,
    pub node_name: String,
    pub cluster_cidrs: Vec<IpNet>,
    pub detect: DetectLocalMode,
    pub interface: String,
    pub node_ports: NodePortSetting,
    pub masquerade_all: bool,
    pub masquerade_mark: u32,
    pub sync_period: Duration,
    pub min_sync_period: Duration,
    pub healthz: SocketAddr,
    pub metrics: SocketAddr,
    pub conntrack: Conntrack,
    pub oom_score_adj: i32,
}

fn invalid(field: &'static str, value: &str, reason: impl ToString) -> InvalidConfiguration {
    InvalidConfiguration::Field {
        field,
        value: value.to_owned(),
        reason: reason.to_string(),
    }
}

impl Settings {
    /// Checks every field that is used. `host_name` is this machine's.
    pub fn new(
        configuration: &KubeProxyConfiguration,
        host_name: &str,
    ) -> Result<Settings, InvalidConfiguration> {
        let (masquerade_bit, masquerade_all, sync_period, min_sync_period) = match configuration.mode {
            ProxyMode::Iptables => {
                let of = &configuration.iptables;
                (
                    of.masquerade_bit,
                    of.masquerade_all,
                    &of.sync_period,
                    &of.min_sync_period,
                )
            }
            ProxyMode::Nftables => {
                let of = &configuration.nftables;
                (
                    of.masquerade_bit,
                    of.masquerade_all,
                    &of.sync_period,
                    &of.min_sync_period,
                )
            }
        };
        if masquerade_bit > 31 {
            return Err(invalid(
                "masqueradeBit",
                &masquerade_bit.to_string(),
                "must be within 0 and 31",
            ));
        }
        if configuration.iptables.localhost_node_ports == Some(true) {
            return Err(invalid(
                "iptables.localhostNodePorts",
                "true",
                "node ports on loopback addresses are not supported, because they need route_localnet",
            ));
        }
        let networks = |field: &'static str, text: &str| -> Result<Vec<IpNet>, InvalidConfiguration> {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts
                .map(|part| {
                    part.parse::<IpNet>()
                        .map(|net| net.trunc())
                        .map_err(|e| invalid(field, part, e))
                })
                .collect()
        };
        let period = |field: &'static str, text: &str, default: u64| match text {
            // A file from kubeadm has zeros, which mean the defaults.
            "" | "0" | "0s" => Ok(Duration::from_secs(default)),
            text => parse_duration(text).map_err(|reason| invalid(field, text, reason)),
        };
        let node_name = match configuration.hostname_override.trim() {
            "" => host_name.trim().to_ascii_lowercase(),
            name => name.to_owned(),
        };
        let kubeconfig = &configuration.client_connection.kubeconfig;
        let interface = match configuration.detect_local_mode {
            DetectLocalMode::BridgeInterface => &configuration.detect_local.bridge_interface,
            _ => &configuration.detect_local.interface_name_prefix,
        };
        let by_interface = matches!(
            configuration.detect_local_mode,
            DetectLocalMode::BridgeInterface | DetectLocalMode::InterfaceNamePrefix
        );
        let valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if by_interface && (interface.is_empty() || interface.len() > 15 || !interface.chars().all(valid)) {
            return Err(invalid("detectLocal", interface, "not the name of an interface"));
        }
        Ok(Settings {
            mode: configuration.mode,
            kubeconfig: (!kubeconfig.is_empty()).then(|| kubeconfig.into()),
            node_name,
            cluster_cidrs: networks("clusterCIDR", &configuration.cluster_cidr)?,
            detect: configuration.detect_local_mode,
            interface: interface.clone(),
            node_ports: node_ports(configuration)?,
            masquerade_all,
            masquerade_mark: 1 << masquerade_bit,
            sync_period: period("syncPeriod", sync_period, 30)?,
            min_sync_period: period("minSyncPeriod", min_sync_period, 1)?,
            healthz: bind_address("healthzBindAddress", &configuration.healthz_bind_address, 10256)?,
            metrics: bind_address("metricsBindAddress", &configuration.metrics_bind_address, 10249)?,
            conntrack: configuration.conntrack.clone(),
            oom_score_adj: configuration.oom_score_adj.unwrap_or(-999),
        })
    }

    /// What the rules of one family depend on.
    pub fn options(&self, node: &ThisNode, host_addresses: &[IpAddr], family: Family) -> Options {
        let of_family = |networks: &[IpNet]| {
            networks
                .iter()
                .filter(|network| Family::of_network(network) == family)
                .copied()
                .collect::<Vec<_>>()
        };
        let local_traffic = match self.detect {
            DetectLocalMode::ClusterCIDR => match of_family(&self.cluster_cidrs) {
                networks if networks.is_empty() => LocalTraffic::Unknown,
                networks => LocalTraffic::From(networks),
            },
            DetectLocalMode::NodeCIDR => match of_family(&node.pod_cidrs) {
                networks if networks.is_empty() => LocalTraffic::Unknown,
                networks => LocalTraffic::From(networks),
            },
            DetectLocalMode::BridgeInterface => LocalTraffic::Interface(self.interface.clone()),
            DetectLocalMode::InterfaceNamePrefix => LocalTraffic::InterfacePrefix(self.interface.clone()),
        };
        let only = |addresses: &[IpAddr], wanted: &dyn Fn(&IpAddr) -> bool| {
            let mut addresses: Vec<IpAddr> = addresses
                .iter()
                .filter(|address| Family::of(address) == family && !address.is_loopback() && wanted(address))
                .copied()
                .collect();
            addresses.sort();
            addresses.dedup();
            NodePortAddresses::Only(addresses)
        };
        let node_port_addresses = match &self.node_ports {
            NodePortSetting::All => NodePortAddresses::All,
            NodePortSetting::Primary => only(&node.addresses, &|_| true),
            NodePortSetting::Within(networks) => {
                let networks = of_family(networks);
                match networks.iter().any(|network| network.prefix_len() == 0) {
                    true => NodePortAddresses::All,
                    false => only(host_addresses, &|address| {
                        networks.iter().any(|net| net.contains(address))
                    }),
                }
            }
        };
        Options {
            family,
            local_traffic,
            node_port_addresses,
            masquerade_all: self.masquerade_all,
            masquerade_mark: self.masquerade_mark,
        }
    }
}

fn node_ports(configuration: &KubeProxyConfiguration) -> Result<NodePortSetting, InvalidConfiguration> {
    const FIELD: &str = "nodePortAddresses";
    let given = &configuration.node_port_addresses;
    match (given.as_slice(), configuration.mode) {
        ([], ProxyMode::Iptables) => Ok(NodePortSetting::All),
        ([], ProxyMode::Nftables) => Ok(NodePortSetting::Primary),
        ([one], _) if one == "primary" => Ok(NodePortSetting::Primary),
        (many, _) => {
            let parse = |text: &String| text.parse::<IpNet>().map_err(|error| invalid(FIELD, text, error));
            many.iter()
                .map(parse)
                .collect::<Result<_, _>>()
                .map(NodePortSetting::Within)
        }
    }
}

/// An address with or without a port; empty means loopback.
fn bind_address(field: &'static str, text: &str, port: u16) -> Result<SocketAddr, InvalidConfiguration> {
    if text.is_empty() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    text.parse().map_err(|error| invalid(field, text, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(yaml: &str) -> Result<Settings, String> {
        Settings::new(&serde_yaml_ng::from_str(yaml).unwrap(), "Host-1").map_err(|error| error.to_string())
    }

    #[test]
    fn wrong_fields_are_named() {
        for (yaml, field) in [
            ("clusterCIDR: 10.0.0.0", "clusterCIDR"),
            ("iptables: {masqueradeBit: 32}", "masqueradeBit"),
            ("iptables: {syncPeriod: 5}", "syncPeriod"),
            ("nodePortAddresses: [10.0.0.1]", "nodePortAddresses"),
            ("healthzBindAddress: localhost", "healthzBindAddress"),
            (
                "{mode: nftables, detectLocalMode: BridgeInterface}",
                "detectLocal",
            ),
            ("iptables: {localhostNodePorts: true}", "localhostNodePorts"),
        ] {
            let error = settings(yaml).expect_err(yaml);
            assert!(error.contains(field), "{yaml}: {error}");
        }
    }

    #[test]
    fn options_are_per_family() {
        let settings = settings("{mode: nftables, clusterCIDR: '10.244.0.0/16,fd01::/48'}").unwrap();
        assert_eq!(settings.node_name, "host-1");
        let node = ThisNode {
            addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            ..ThisNode::default()
        };
        let options = settings.options(&node, &[], Family::V6);
        assert_eq!(
            options.local_traffic,
            LocalTraffic::From(vec!["fd01::/48".parse().unwrap()])
        );
        assert_eq!(
            options.node_port_addresses,
            NodePortAddresses::Only(vec!["fd00::1".parse().unwrap()])
        );
        assert_eq!(options.masquerade_mark, 0x4000);
    }
}
