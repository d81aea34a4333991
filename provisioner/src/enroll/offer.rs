//! What the operator prepares for a host that will take itself in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use pki::{Authority, HostNames, Issued, KeyMaterial};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::identities::Secrets;
use crate::inventory::{Host, Inventory, ProxyMode, Role};

/// Identities that the controller manager does not hand out: a serving certificate would let a node pose as another, and
/// the others are no node's.
const ISSUED: &[&str] = &["kubelet-server", "kube-proxy", "pod-network"];

/// The host that is expected.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub address: IpAddr,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<String>,
}

/// Everything that a worker needs and cannot make itself.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    pub name: String,
    /// The cluster, its control planes and this host, as an inventory.
    inventory: String,
    leaves: BTreeMap<String, Leaf>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaf {
    certificate: String,
    key: String,
}

impl Offer {
    pub fn make(inventory: &Inventory, secrets: &Secrets, member: &Member) -> anyhow::Result<Offer> {
        let text = excerpt(inventory, member)?;
        // The same rules as for any other host.
        Inventory::parse(Path::new("the new host"), &text)?;
        let names = HostNames {
            name: member.name.clone(),
            addresses: vec![member.address],
        };
        let api = crate::identities::api_names(inventory);
        let mut leaves = BTreeMap::new();
        for name in ISSUED {
            let profile = pki::profile(name).with_context(|| format!("{name} is no profile"))?;
            let issued = secrets
                .authority(profile.authority)
                .issue(&profile.request(&names, &api), SystemTime::now())?;
            let leaf = Leaf {
                certificate: issued.certificate,
                key: issued.key.pem().to_owned(),
            };
            leaves.insert((*name).to_owned(), leaf);
        }
        Ok(Offer {
            name: member.name.clone(),
            inventory: text,
            leaves,
        })
    }

    pub fn inventory(&self) -> anyhow::Result<Inventory> {
        Ok(Inventory::parse(
            Path::new("what the cluster offers"),
            &self.inventory,
        )?)
    }

    /// What a worker holds, with the certificate that it asked for itself.
    pub fn secrets(&self, authority: &str, kubelet_client: Issued) -> anyhow::Result<Secrets> {
        let mut leaves = BTreeMap::new();
        for (name, leaf) in &self.leaves {
            let profile = pki::profile(name).with_context(|| format!("{name} is no profile"))?;
            let issued = Issued {
                certificate: leaf.certificate.clone(),
                key: KeyMaterial::from_pem(leaf.key.as_str()),
            };
            leaves.insert((self.name.clone(), profile.name), issued);
        }
        leaves.insert((self.name.clone(), "kubelet-client"), kubelet_client);
        Secrets::of_worker(
            BTreeMap::from([(Authority::Kubernetes, authority.to_owned())]),
            leaves,
        )
    }
}

/// An inventory without workers but the new one, and without ways to reach anybody.
fn excerpt(inventory: &Inventory, member: &Member) -> anyhow::Result<String> {
    let cluster = &inventory.cluster;
    let mut table = json!({
        "name": cluster.name,
        "pod_cidr": cluster.pod_cidr,
        "service_cidr": cluster.service_cidr,
        "cluster_domain": cluster.cluster_domain,
        "dns_ip": cluster.dns_ip,
        "proxy_mode": match cluster.proxy_mode {
            ProxyMode::Iptables => "iptables",
            ProxyMode::Nftables => "nftables",
        },
    });
    if let Some(endpoint) = &cluster.api_endpoint {
        table["api_endpoint"] = json!(endpoint);
    }
    let is_only_worker = |host: &&Host| host.roles == [Role::Worker];
    let mut hosts: Vec<Value> = inventory
        .hosts
        .iter()
        .filter(|host| !is_only_worker(host))
        .map(|host| {
            let roles: Vec<&str> = host.roles.iter().map(|role| role.name()).collect();
            json!({ "name": host.name, "address": host.address, "roles": roles })
        })
        .collect();
    hosts.push(json!({
        "name": member.name,
        "address": member.address,
        "roles": ["worker"],
        "labels": member.labels,
        "taints": member.taints,
    }));
    toml::to_string(&json!({ "cluster": table, "hosts": hosts })).context("cannot write the offer")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[cluster]\nname = \"lab\"\n\
        [[hosts]]\nname = \"cp-1\"\naddress = \"10.77.0.11\"\nroles = [\"control-plane\"]\n\
        [[hosts]]\nname = \"worker-1\"\naddress = \"10.77.0.21\"\nroles = [\"worker\"]\n";

    fn member(name: &str, address: &str) -> Member {
        Member {
            name: name.to_owned(),
            address: address.parse().unwrap(),
            labels: BTreeMap::from([("disk".to_owned(), "fast".to_owned())]),
            taints: vec!["a=b:NoSchedule".to_owned()],
        }
    }

    #[test]
    fn the_excerpt_is_an_inventory() {
        let inventory = Inventory::parse(Path::new("lab.toml"), TEXT).unwrap();
        let text = excerpt(&inventory, &member("edge-1", "10.77.0.41")).unwrap();
        let read = Inventory::parse(Path::new("x"), &text).unwrap();
        let names: Vec<&str> = read.hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["cp-1", "edge-1"]);
        assert_eq!(read.cluster, inventory.cluster);
        assert_eq!(read.hosts[1].taints.len(), 1);
        assert_eq!(read.hosts[1].labels["disk"], "fast");
    }

    #[test]
    fn a_host_that_cannot_be_one_is_refused() {
        let inventory = Inventory::parse(Path::new("lab.toml"), TEXT).unwrap();
        for (name, address) in [
            ("Edge_1", "10.77.0.41"),
            ("edge-1", "10.200.3.1"),
            ("edge-1", "10.77.0.11"),
        ] {
            let text = excerpt(&inventory, &member(name, address)).unwrap();
            assert!(
                Inventory::parse(Path::new("x"), &text).is_err(),
                "{name} {address}"
            );
        }
    }
}
