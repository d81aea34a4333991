//! Flags about the other API servers of the cluster.

use clap::Args;
use std::net::IpAddr;
use std::path::PathBuf;

/// What the API servers of a cluster need to send requests to each other.
#[derive(Clone, Debug, Default, Args)]
pub struct PeerFlags {
    /// Authorities whose certificates other API servers serve with. With it, requests for what only another server of the
    /// cluster serves are sent on to that one.
    #[arg(long)]
    pub peer_ca_file: Option<PathBuf>,
    /// Where other API servers reach this one, instead of --advertise-address; with --peer-advertise-port.
    #[arg(long)]
    pub peer_advertise_ip: Option<IpAddr>,
    /// The port there, instead of --secure-port; with --peer-advertise-ip.
    #[arg(long)]
    pub peer_advertise_port: Option<u16>,
}
