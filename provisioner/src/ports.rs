//! Which unit listens where on which host. No I/O.

use crate::inventory::{Host, Inventory, Role};

/// One TCP port that a unit of hardway listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    pub number: u16,
    /// The daemon's process name; its unit is this with `.service`, except haproxy's.
    pub daemon: &'static str,
}

impl Port {
    pub fn unit(self) -> String {
        match self.daemon {
            "haproxy" => "hardway-haproxy.service".to_owned(),
            daemon => format!("{daemon}.service"),
        }
    }
}

/// The ports of a host.
pub fn ports(inventory: &Inventory, host: &Host) -> Vec<Port> {
    let mut found: Vec<(u16, &'static str)> = Vec::new();
    if inventory.runs_etcd(host) {
        found.extend([(2379, "etcd"), (2380, "etcd")]);
    }
    if host.has(Role::ControlPlane) {
        found.extend([
            (6443, "kube-apiserver"),
            (10257, "kube-controller-manager"),
            (10259, "kube-scheduler"),
        ]);
    }
    if host.has(Role::LoadBalancer) {
        found.push((6443, "haproxy"));
    }
    if host.is_node() {
        found.extend([
            (10250, "kubelet"),
            (10248, "kubelet"),
            (10256, "kube-proxy"),
            (10249, "kube-proxy"),
            (10247, "pod-network"),
        ]);
        if inventory.balances_locally() {
            found.extend([(7443, "api-balancer"), (7444, "api-balancer")]);
        }
    }
    found
        .into_iter()
        .map(|(number, daemon)| Port { number, daemon })
        .collect()
}
