//! From inventory, facts and secrets to what each host should hold. No I/O.

mod backup;
mod configs;
mod keys;
pub use keys::holds;
pub use units::{all_names, restarts_for};
mod units;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::artifacts::Release;
use crate::desired::{Desired, File, GENERATION, RELEASE, sha256};
use crate::facts::Facts;
use crate::identities::Secrets;
use crate::inventory::{Host, Inventory, ProxyMode, Role, host_port};
use crate::state::{EtcdInitial, Record};
use crate::templates::{TemplateError, Templates};

/// What rendering needs to know beside the host itself.
pub struct Cluster<'a> {
    pub inventory: &'a Inventory,
    pub secrets: &'a Secrets,
    pub release: &'a Release,
    pub templates: &'a Templates,
    pub record: &'a Record,
}

/// Everything `host` should hold.
pub fn desired(cluster: &Cluster<'_>, host: &Host, facts: &Facts) -> Result<Desired, TemplateError> {
    let values = values(cluster, host, facts);
    let mut desired = Desired::default();
    keys::add(cluster, host, &mut desired);
    configs::add(cluster, host, facts, &values, &mut desired)?;
    backup::add(cluster, host, &values, &mut desired)?;
    identify(&mut desired, &cluster.secrets.fresh);
    let uses_binaries = units::add(cluster, host, &values, &mut desired)?;
    for artifact in &cluster.release.artifacts {
        let wanted = match &artifact.image {
            Some(_) => host.is_node(),
            None => uses_binaries.contains(&artifact.name.as_str()),
        };
        if wanted {
            desired.artifacts.push(artifact.clone());
        }
    }
    desired.add_meta();
    desired.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(desired)
}

/// Gives files that hold what was made in this run an identity without it.
fn identify(desired: &mut Desired, fresh: &BTreeSet<String>) {
    for file in &mut desired.files {
        let Ok(text) = std::str::from_utf8(&file.content) else {
            continue;
        };
        let mut without = text.to_owned();
        for made in fresh {
            without = without.replace(made.trim_end(), "(made in this run)");
        }
        if without != text {
            file.identity = Some(sha256(without.as_bytes()));
        }
    }
}

/// The values that templates may name.
fn values(cluster: &Cluster<'_>, host: &Host, facts: &Facts) -> Value {
    let inventory = cluster.inventory;
    let members = inventory.etcd_members();
    let initial = cluster
        .record
        .etcd_initial
        .get(&host.name)
        .cloned()
        .unwrap_or_else(|| EtcdInitial {
            cluster: initial_cluster(inventory),
            existing: false,
        });
    let etcd_servers: Vec<String> = members
        .iter()
        .map(|member| format!("https://{}", host_port(member.address, 2379)))
        .collect();
    let servers: Vec<Value> = inventory
        .control_planes()
        .map(|server| json!({ "name": server.name, "address": host_port(server.address, 6443) }))
        .collect();
    json!({
        "host": host.name,
        "address": host.address,
        "cluster": inventory.cluster.name,
        "cluster_domain": inventory.cluster.cluster_domain,
        "pod_cidr": inventory.cluster.pod_cidr,
        "service_cidr": inventory.cluster.service_cidr,
        "dns_ip": inventory.cluster.dns_ip,
        "proxy_mode": match inventory.cluster.proxy_mode {
            ProxyMode::Iptables => "iptables",
            ProxyMode::Nftables => "nftables",
        },
        "generation": GENERATION,
        "pki": format!("{GENERATION}/pki"),
        "config": format!("{GENERATION}/config"),
        "kubeconfig": format!("{GENERATION}/kubeconfig"),
        "bin": format!("{RELEASE}/bin"),
        "content": CONTENT,
        "capabilities": "",
        "netlink": false,
        "initial_cluster": initial.cluster,
        "initial_cluster_state": if initial.existing { "existing" } else { "new" },
        "etcd_servers": etcd_servers.join(","),
        "etcd_here": inventory.runs_etcd(host),
        "etcd_binary": cluster.release.path_of("etcd").unwrap_or_else(|| "/usr/bin/etcd".to_owned()),
        "containerd_binary": facts.tool("containerd").unwrap_or("/usr/bin/containerd"),
        "haproxy_binary": facts.tool("haproxy").unwrap_or("/usr/sbin/haproxy"),
        "servers": servers,
        "server": node_endpoint(inventory),
        "balancer": inventory.balances_locally(),
        "pause_image": cluster.release.pause_image(),
        "restrict_oom_score_adj": !facts.may_lower_oom_scores,
        "systemd_cgroup": facts.systemd_cgroup(),
        "container": facts.container,
        "cni_bin": facts.cni_bin.as_deref().unwrap_or("/opt/cni/bin"),
        "encryption_keys": encryption_keys(cluster.secrets),
        "backup_directory": inventory.backup.as_ref().map(|backup| backup.directory.display().to_string()),
        "backup_schedule": inventory.backup.as_ref().map(|backup| backup.schedule.clone()),
    })
}

/// `name=https://address:2380` for every member of the inventory.
pub fn initial_cluster(inventory: &Inventory) -> String {
    let members = inventory.etcd_members();
    let parts: Vec<String> = members
        .iter()
        .map(|member| format!("{}=https://{}", member.name, host_port(member.address, 2380)))
        .collect();
    parts.join(",")
}

fn encryption_keys(secrets: &Secrets) -> Vec<Value> {
    let keys = secrets.encryption.iter();
    keys.map(|key| json!({ "name": key.name, "secret": key.key }))
        .collect()
}

/// Where clients on the hosts find the API.
pub fn node_endpoint(inventory: &Inventory) -> String {
    if inventory.balances_locally() {
        return "https://127.0.0.1:7443".to_owned();
    }
    format!("https://{}", inventory.public_endpoint())
}

const CONTENT: &str = "@CONTENT@";

/// Hash over what a unit is started with; `hash` gives a file's.
fn content_hash(unit: &str, files: &[&File], hash: fn(&File) -> String, parts: &[String]) -> String {
    let mut text = unit.to_owned();
    for file in files {
        text.push_str(&hash(file));
    }
    for part in parts {
        text.push_str(part);
    }
    sha256(text.as_bytes())[..16].to_owned()
}

/// System users of the daemons on a host.
fn users(inventory: &Inventory, host: &Host) -> Vec<&'static str> {
    let mut users = Vec::new();
    if inventory.runs_etcd(host) {
        users.push("etcd");
    }
    if host.has(Role::ControlPlane) {
        users.extend(["kube-apiserver", "kube-controller-manager", "kube-scheduler"]);
    }
    if host.is_node() && inventory.balances_locally() {
        users.push("api-balancer");
    }
    users
}
