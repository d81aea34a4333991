//! Flags of pod-network.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

/// Flags of pod-network, which keeps routes to the pods of all nodes and this node's CNI configuration.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "pod-network", version, about)]
pub struct Flags {
    /// Kubeconfig of the user hardway:pod-network.
    #[arg(long)]
    pub kubeconfig: PathBuf,
    /// Name of this host's Node. Without it only routes are kept: this host runs no kubelet.
    #[arg(long)]
    pub node_name: Option<String>,
    /// Ranges of all pods; traffic of this node's pods that leaves them is masqueraded, and pod ranges of nodes
    /// outside them are refused.
    #[arg(long, value_delimiter = ',', required = true)]
    pub cluster_cidr: Vec<IpNet>,
    /// Directory of CNI configurations.
    #[arg(long, default_value = "/etc/cni/net.d")]
    pub cni_conf_dir: PathBuf,
    /// Name of the CNI configuration in there.
    #[arg(long, default_value = "10-hardway.conflist")]
    pub cni_conf_name: String,
    /// Bridge that pods are attached to.
    #[arg(long, default_value = "cni0")]
    pub bridge: String,
    /// MTU of pods; 0 takes that of the interface that leads to the other nodes.
    #[arg(long, default_value_t = 0)]
    pub mtu: u32,
    /// The last known state, so that a reboot needs no API.
    #[arg(long, default_value = "/var/lib/hardway/pod-network.json")]
    pub state_file: PathBuf,
    /// Health endpoint; loopback only.
    #[arg(long, default_value = "127.0.0.1:10247")]
    pub healthz_bind_address: SocketAddr,
    /// Log verbosity as in upstream's daemons.
    #[arg(long = "v", default_value_t = 2)]
    pub verbosity: u8,
}
