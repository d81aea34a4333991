//! What the operator wrote down: the cluster, how to reach the hosts, and the hosts.

mod backup;
mod check;
mod decode;
mod problem;
mod reader;
mod ssh;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::Ipv4Net;

pub use backup::{Backup, Credentials, S3};
pub use problem::{InvalidInventory, Problem};

/// A checked inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    pub path: PathBuf,
    pub cluster: Cluster,
    pub ssh: SshSettings,
    pub release: Release,
    pub backup: Option<Backup>,
    pub hosts: Vec<Host>,
}

/// The `[cluster]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub name: String,
    pub pod_cidr: Ipv4Net,
    pub service_cidr: Ipv4Net,
    pub cluster_domain: String,
    pub dns_ip: Ipv4Addr,
    /// host:port of an external load balancer.
    pub api_endpoint: Option<String>,
    pub proxy_mode: ProxyMode,
}

/// Backend of kube-proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    Iptables,
    Nftables,
}

/// How a host is reached over SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSettings {
    pub user: String,
    pub port: u16,
    /// Private key file; the agent is asked when it is not given.
    pub key: Option<PathBuf>,
    pub bastion: Option<Bastion>,
    /// Commands run through `sudo -n`.
    pub sudo: bool,
    pub known_hosts: Option<PathBuf>,
}

/// A host that connections go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bastion {
    pub user: Option<String>,
    pub host: String,
    pub port: u16,
}

/// The `[release]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Where the daemons' binaries are; beside this program when not given.
    pub binaries: Option<PathBuf>,
    /// Who must have signed a bundle.
    pub bundle_key: Option<crate::bundle::PublicKey>,
    /// Whether hosts may pass the release on to each other.
    pub relay: bool,
    /// A host that is interrupted goes back by itself when its new generation is not confirmed within this time.
    pub confirm_within: Duration,
}

impl Default for Release {
    fn default() -> Self {
        Release {
            binaries: None,
            bundle_key: None,
            relay: true,
            confirm_within: Duration::from_secs(300),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    ControlPlane,
    Worker,
    Etcd,
    LoadBalancer,
}

impl Role {
    pub const ALL: [(Role, &'static str); 4] = [
        (Role::ControlPlane, "control-plane"),
        (Role::Worker, "worker"),
        (Role::Etcd, "etcd"),
        (Role::LoadBalancer, "load-balancer"),
    ];

    pub fn name(self) -> &'static str {
        Role::ALL
            .iter()
            .find(|(role, _)| *role == self)
            .map_or("", |(_, name)| name)
    }
}

/// One `[[hosts]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub address: IpAddr,
    pub roles: Vec<Role>,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    /// `ssh-ed25519 AAAA…` or `SHA256:…`.
    pub host_key: Option<String>,
    /// The `[ssh]` table with the host's own settings over it.
    pub ssh: SshSettings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

impl Host {
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Control planes and workers run a kubelet.
    pub fn is_node(&self) -> bool {
        self.has(Role::ControlPlane) || self.has(Role::Worker)
    }
}

impl Inventory {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Inventory, InvalidInventory> {
        match std::fs::read_to_string(path) {
            Ok(text) => Inventory::parse(path, &text),
            Err(error) => Err(InvalidInventory {
                path: path.to_owned(),
                problems: vec![Problem {
                    line: 0,
                    field: String::new(),
                    value: String::new(),
                    message: format!("cannot be read: {error}"),
                    remedy: "name the inventory with --inventory FILE".to_owned(),
                }],
            }),
        }
    }

    /// Checks a text; relative paths in it start at the folder of `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Inventory, InvalidInventory> {
        let fail = |problems| InvalidInventory {
            path: path.to_owned(),
            problems,
        };
        let (inventory, lines, mut problems) = decode::decode(path, text).map_err(fail)?;
        if let Some(inventory) = &inventory {
            problems.extend(check::check(inventory, &lines));
        }
        problems.sort_by_key(|problem| problem.line);
        match inventory {
            Some(inventory) if problems.is_empty() => Ok(inventory),
            _ => Err(fail(problems)),
        }
    }

    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(move |host| host.has(role))
    }

    pub fn control_planes(&self) -> impl Iterator<Item = &Host> {
        self.with_role(Role::ControlPlane)
    }

    pub fn nodes(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.is_node())
    }

    /// Hosts with the etcd role, or the control planes when no host has it.
    pub fn etcd_members(&self) -> Vec<&Host> {
        let apart: Vec<&Host> = self.with_role(Role::Etcd).collect();
        if apart.is_empty() {
            self.control_planes().collect()
        } else {
            apart
        }
    }

    pub fn runs_etcd(&self, host: &Host) -> bool {
        self.etcd_members().iter().any(|member| member.name == host.name)
    }

    /// A node is tainted against ordinary pods when it is a control plane and nothing else.
    pub fn is_dedicated(&self, host: &Host) -> bool {
        host.has(Role::ControlPlane) && !host.has(Role::Worker)
    }

    /// First address of the service range: the `kubernetes` Service.
    pub fn kubernetes_service(&self) -> Ipv4Addr {
        self.cluster
            .service_cidr
            .hosts()
            .next()
            .unwrap_or(self.cluster.service_cidr.network())
    }

    /// host:port where clients outside the hosts find the API.
    pub fn public_endpoint(&self) -> String {
        if let Some(endpoint) = &self.cluster.api_endpoint {
            return endpoint.clone();
        }
        let host = self
            .with_role(Role::LoadBalancer)
            .next()
            .or_else(|| self.control_planes().next());
        host.map(|host| host_port(host.address, 6443)).unwrap_or_default()
    }

    /// True when each host balances over the API servers itself.
    pub fn balances_locally(&self) -> bool {
        self.cluster.api_endpoint.is_none() && self.with_role(Role::LoadBalancer).next().is_none()
    }
}

/// `host:port`, with brackets around IPv6.
pub fn host_port(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

#[cfg(test)]
mod tests;
