//! Flags of cluster-dns.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

/// Flags of cluster-dns, which answers for Services and pods and forwards the rest.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "cluster-dns", version, about)]
pub struct Flags {
    /// Kubeconfig; without it the pod's service account is used.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Domain of the cluster.
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Address that answers DNS over UDP and TCP.
    #[arg(long, default_value = "0.0.0.0")]
    pub listen: IpAddr,
    /// Port that answers DNS.
    #[arg(long, default_value_t = 53)]
    pub port: u16,
    /// Health endpoint: /ready and /readyz once everything is known, /health and /healthz always.
    #[arg(long, default_value = "0.0.0.0:8181")]
    pub health_listen: SocketAddr,
    /// Resolvers for other names, as IP or IP:port; those of --resolv-conf if none is given.
    #[arg(long, value_delimiter = ',')]
    pub upstream: Vec<String>,
    /// File that names the resolvers for other names.
    #[arg(long, default_value = "/etc/resolv.conf")]
    pub resolv_conf: PathBuf,
    /// Ranges of Services and pods whose reverse names are not asked of other resolvers.
    #[arg(long, value_delimiter = ',')]
    pub reverse_cidr: Vec<IpNet>,
    /// Time that clients may keep an answer, in seconds.
    #[arg(long, default_value_t = 5)]
    pub ttl: u32,
    /// Log verbosity.
    #[arg(long = "v", short = 'v', default_value_t = 0)]
    pub verbosity: u8,
}
