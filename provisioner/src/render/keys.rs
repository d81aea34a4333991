use pki::{Authority, PROFILES, Scope};

use super::Cluster;
use crate::desired::{Desired, File};
use crate::inventory::{Host, Inventory, Role};

/// Certificates and keys, each readable by the one daemon that uses it.
pub fn add(cluster: &Cluster<'_>, host: &Host, desired: &mut Desired) {
    let control_plane = host.has(Role::ControlPlane);
    let etcd = cluster.inventory.runs_etcd(host);
    let mut authorities = Vec::new();
    if host.is_node() || host.has(Role::LoadBalancer) {
        authorities.push(Authority::Kubernetes);
    }
    if etcd || control_plane {
        authorities.push(Authority::Etcd);
    }
    if control_plane {
        authorities.push(Authority::FrontProxy);
    }
    for authority in authorities {
        let path = format!("pki/{}.crt", authority.name());
        desired
            .files
            .push(File::public(path, cluster.secrets.trusted(authority)));
    }
    for profile in PROFILES
        .iter()
        .filter(|profile| holds(cluster.inventory, host, profile.scope))
    {
        let Some(leaf) = cluster.secrets.leaf(&host.name, profile.name) else {
            continue;
        };
        let owner = owner(profile.name);
        desired.files.push(File::public(
            format!("pki/{}.crt", profile.name),
            leaf.certificate.as_str(),
        ));
        desired.files.push(File::secret(
            format!("pki/{}.key", profile.name),
            owner,
            leaf.key.pem(),
        ));
    }
    if control_plane {
        let keys = &cluster.secrets.service_account;
        desired.files.push(File::public(
            "pki/service-account.pub",
            cluster.secrets.token_verifiers.as_str(),
        ));
        for (name, owner) in [
            ("service-account", "kube-apiserver"),
            ("controller-manager-service-account", "kube-controller-manager"),
        ] {
            desired
                .files
                .push(File::secret(format!("pki/{name}.key"), owner, keys.private.pem()));
        }
        // The controller manager signs certificate requests; its signer is one certificate, never a bundle.
        let signer = cluster.secrets.signer();
        desired
            .files
            .push(File::public("pki/kubernetes-signer.crt", signer.certificate()));
        desired.files.push(File::secret(
            "pki/kubernetes-signer.key",
            "kube-controller-manager",
            signer.key().pem(),
        ));
    }
}

/// Whether a host gets the leaves of a scope.
pub fn holds(inventory: &Inventory, host: &Host, scope: Scope) -> bool {
    match scope {
        Scope::ControlPlane => host.has(Role::ControlPlane),
        Scope::Etcd => inventory.runs_etcd(host),
        Scope::Node => host.is_node(),
        Scope::Operator => false,
    }
}

fn owner(profile: &str) -> &'static str {
    match profile {
        "etcd-server" | "etcd-peer" | "etcd-health" => "etcd",
        "apiserver" | "apiserver-etcd-client" | "apiserver-kubelet-client" | "front-proxy-client" => {
            "kube-apiserver"
        }
        "controller-manager" | "controller-manager-server" => "kube-controller-manager",
        "scheduler" | "scheduler-server" => "kube-scheduler",
        _ => "root",
    }
}
