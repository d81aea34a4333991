use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::{Authority, LeafRequest, Usage};

/// One year, renewed when a third of it is left.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(365 * 86_400);

/// Which hosts hold a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    ControlPlane,
    Etcd,
    /// Control planes and workers: whatever runs a kubelet.
    Node,
    /// The operator's machine only.
    Operator,
}

/// Where a leaf's subject alternative names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// A client needs none.
    None,
    /// Every name and address under which clients reach the API.
    ApiServer,
    /// The host's own name and address, and loopback.
    HostAndLoopback,
}

/// One row of the table: a role's certificate as data.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// File stem on the host.
    pub name: &'static str,
    pub authority: Authority,
    /// `{node}` stands for the host's name.
    pub common_name: &'static str,
    pub organization: Option<&'static str>,
    pub usage: Usage,
    pub names: Names,
    pub scope: Scope,
}

const fn client(
    name: &'static str,
    common_name: &'static str,
    organization: Option<&'static str>,
    scope: Scope,
) -> Profile {
    Profile {
        name,
        authority: Authority::Kubernetes,
        common_name,
        organization,
        usage: Usage::Client,
        names: Names::None,
        scope,
    }
}

const fn server(name: &'static str, common_name: &'static str, names: Names, scope: Scope) -> Profile {
    Profile {
        name,
        authority: Authority::Kubernetes,
        common_name,
        organization: None,
        usage: Usage::Server,
        names,
        scope,
    }
}

const fn etcd(
    name: &'static str,
    common_name: &'static str,
    usage: Usage,
    names: Names,
    scope: Scope,
) -> Profile {
    Profile {
        name,
        authority: Authority::Etcd,
        common_name,
        organization: None,
        usage,
        names,
        scope,
    }
}

/// Every leaf of a cluster.
pub const PROFILES: &[Profile] = &[
    etcd(
        "etcd-server",
        "{node}",
        Usage::ClientAndServer,
        Names::HostAndLoopback,
        Scope::Etcd,
    ),
    etcd(
        "etcd-peer",
        "{node}",
        Usage::ClientAndServer,
        Names::HostAndLoopback,
        Scope::Etcd,
    ),
    etcd(
        "etcd-health",
        "hardway:etcd-health",
        Usage::Client,
        Names::None,
        Scope::Etcd,
    ),
    etcd(
        "apiserver-etcd-client",
        "kube-apiserver-etcd-client",
        Usage::Client,
        Names::None,
        Scope::ControlPlane,
    ),
    server(
        "apiserver",
        "kube-apiserver",
        Names::ApiServer,
        Scope::ControlPlane,
    ),
    client(
        "apiserver-kubelet-client",
        "kube-apiserver-kubelet-client",
        Some("hardway:apiserver-kubelet-clients"),
        Scope::ControlPlane,
    ),
    Profile {
        name: "front-proxy-client",
        authority: Authority::FrontProxy,
        common_name: "front-proxy-client",
        organization: None,
        usage: Usage::Client,
        names: Names::None,
        scope: Scope::ControlPlane,
    },
    client(
        "controller-manager",
        "system:kube-controller-manager",
        None,
        Scope::ControlPlane,
    ),
    server(
        "controller-manager-server",
        "kube-controller-manager",
        Names::HostAndLoopback,
        Scope::ControlPlane,
    ),
    client("scheduler", "system:kube-scheduler", None, Scope::ControlPlane),
    server(
        "scheduler-server",
        "kube-scheduler",
        Names::HostAndLoopback,
        Scope::ControlPlane,
    ),
    client(
        "kubelet-client",
        "system:node:{node}",
        Some("system:nodes"),
        Scope::Node,
    ),
    // Containerd's streaming server, which listens on loopback, shares it.
    server(
        "kubelet-server",
        "system:node:{node}",
        Names::HostAndLoopback,
        Scope::Node,
    ),
    client("kube-proxy", "system:kube-proxy", None, Scope::Node),
    client("pod-network", "hardway:pod-network", None, Scope::Node),
    client(
        "admin",
        "hardway:admin",
        Some("hardway:cluster-admins"),
        Scope::Operator,
    ),
    client(
        "break-glass",
        "hardway:break-glass",
        Some("system:masters"),
        Scope::Operator,
    ),
];

/// The row with this name.
pub fn profile(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

/// What the API server's certificate has to answer to.
#[derive(Clone, Debug)]
pub struct ApiNames {
    pub cluster_domain: String,
    /// First address of the service range: the `kubernetes` Service.
    pub service_address: IpAddr,
    /// Names of the control planes, of load balancers and of the external endpoint.
    pub dns_names: Vec<String>,
    /// Addresses of the same.
    pub addresses: Vec<IpAddr>,
}

/// The host that a leaf is for.
#[derive(Clone, Debug)]
pub struct HostNames {
    pub name: String,
    pub addresses: Vec<IpAddr>,
}

impl Profile {
    /// The certificate that this row asks for on one host.
    pub fn request(&self, host: &HostNames, api: &ApiNames) -> LeafRequest {
        let (mut dns_names, mut addresses) = match self.names {
            Names::None => (Vec::new(), Vec::new()),
            Names::ApiServer => api_server_names(api),
            Names::HostAndLoopback => {
                let mut addresses = host.addresses.clone();
                addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
                (vec![host.name.clone(), "localhost".to_owned()], addresses)
            }
        };
        remove_repeats(&mut dns_names);
        remove_repeats(&mut addresses);
        LeafRequest {
            common_name: self.common_name.replace("{node}", &host.name),
            organization: self.organization.map(str::to_owned),
            dns_names,
            addresses,
            usage: self.usage,
            lifetime: LEAF_LIFETIME,
        }
    }
}

fn api_server_names(api: &ApiNames) -> (Vec<String>, Vec<IpAddr>) {
    let mut dns_names = vec![
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        format!("kubernetes.default.svc.{}", api.cluster_domain),
        "localhost".to_owned(),
    ];
    dns_names.extend(api.dns_names.iter().cloned());
    let mut addresses = vec![api.service_address, IpAddr::V4(Ipv4Addr::LOCALHOST)];
    addresses.extend(api.addresses.iter().copied());
    (dns_names, addresses)
}

fn remove_repeats<T: PartialEq + Clone>(values: &mut Vec<T>) {
    let mut seen: Vec<T> = Vec::with_capacity(values.len());
    values.retain(|value| {
        let new = !seen.contains(value);
        if new {
            seen.push(value.clone());
        }
        new
    });
}
