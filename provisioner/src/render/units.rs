use serde_json::{Value, json};

use super::{CONTENT, Cluster, content_hash};
use crate::desired::{Desired, File, Stage, Unit, sha256};
use crate::inventory::{Host, Role};
use crate::templates::TemplateError;

/// One row for each unit that hardway manages.
struct Row {
    name: &'static str,
    stage: Stage,
    /// Programs of the release that it starts.
    binaries: &'static [&'static str],
    /// Files that it reads at its start only; leaf certificates and kubeconfigs are followed while it runs.
    files: &'static [&'static str],
    /// Leaves that it uses. A renewed one is followed; one from another authority is a reason to restart, so that no
    /// process is left that still shows the old authority's when that is dropped.
    leaves: &'static [&'static str],
    /// Its files are read again at a reload.
    reloads: bool,
}

const ROWS: &[Row] = &[
    Row {
        name: "containerd.service",
        stage: Stage::Host,
        binaries: &[],
        // It reads the streaming server's certificate once.
        files: &["containerd/config.toml", "pki/kubelet-server.crt"],
        leaves: &[],
        reloads: false,
    },
    Row {
        name: "api-balancer.service",
        stage: Stage::Host,
        binaries: &["api-balancer"],
        // It is always ours and follows the authorities; a restart would cut every client's connection.
        files: &[],
        leaves: &[],
        reloads: false,
    },
    Row {
        name: "hardway-haproxy.service",
        stage: Stage::Host,
        binaries: &[],
        files: &["pki/kubernetes-ca.crt", "config/haproxy.cfg"],
        leaves: &[],
        reloads: true,
    },
    Row {
        name: "etcd.service",
        stage: Stage::Etcd,
        binaries: &["etcd"],
        files: &["pki/etcd-ca.crt"],
        leaves: &["etcd-server", "etcd-peer"],
        reloads: false,
    },
    Row {
        name: "hardway-backup.timer",
        stage: Stage::Clients,
        binaries: &["hardway"],
        files: &[],
        leaves: &[],
        reloads: false,
    },
    Row {
        name: "kube-apiserver.service",
        stage: Stage::ApiServer,
        binaries: &["kube-apiserver"],
        files: &[
            "pki/kubernetes-ca.crt",
            "pki/etcd-ca.crt",
            "pki/front-proxy-ca.crt",
            "pki/service-account.pub",
            "pki/service-account.key",
            "config/encryption.yaml",
        ],
        leaves: &[
            "apiserver",
            "apiserver-etcd-client",
            "apiserver-kubelet-client",
            "front-proxy-client",
        ],
        reloads: false,
    },
    Row {
        name: "kube-controller-manager.service",
        stage: Stage::Clients,
        binaries: &["kube-controller-manager"],
        files: &[
            "pki/kubernetes-ca.crt",
            "pki/kubernetes-signer.crt",
            "pki/controller-manager-service-account.key",
            "kubeconfig/controller-manager.yaml",
        ],
        leaves: &["controller-manager", "controller-manager-server"],
        reloads: false,
    },
    Row {
        name: "kube-scheduler.service",
        stage: Stage::Clients,
        binaries: &["kube-scheduler"],
        files: &[
            "pki/kubernetes-ca.crt",
            "config/kube-scheduler.yaml",
            "kubeconfig/scheduler.yaml",
        ],
        leaves: &["scheduler", "scheduler-server"],
        reloads: false,
    },
    Row {
        name: "pod-network.service",
        stage: Stage::Clients,
        binaries: &["pod-network"],
        files: &["pki/kubernetes-ca.crt", "kubeconfig/pod-network.yaml"],
        leaves: &["pod-network"],
        reloads: false,
    },
    Row {
        name: "kube-proxy.service",
        stage: Stage::Clients,
        binaries: &["kube-proxy"],
        files: &[
            "pki/kubernetes-ca.crt",
            "config/kube-proxy.yaml",
            "kubeconfig/kube-proxy.yaml",
        ],
        leaves: &["kube-proxy"],
        reloads: false,
    },
    Row {
        name: "kubelet.service",
        stage: Stage::Clients,
        binaries: &["kubelet"],
        files: &[
            "pki/kubernetes-ca.crt",
            "config/kubelet.yaml",
            "kubeconfig/kubelet.yaml",
        ],
        leaves: &["kubelet-client", "kubelet-server"],
        reloads: false,
    },
];

/// Every unit that hardway may have put on a host.
pub fn all_names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

/// Units that are restarted when a file changes; the units that it is the definition of not among them.
pub fn restarts_for(path: &str) -> impl Iterator<Item = &'static str> {
    ROWS.iter()
        .filter(move |row| row.files.contains(&path))
        .map(|row| row.name)
}

/// Adds the host's units; returns the names of the programs that they start.
pub fn add(
    cluster: &Cluster<'_>,
    host: &Host,
    values: &Value,
    desired: &mut Desired,
) -> Result<Vec<&'static str>, TemplateError> {
    let mut values = values.clone();
    values["node_labels"] = json!(own_labels(host));
    let mut programs = Vec::new();
    for row in ROWS.iter().filter(|row| runs(cluster, host, row.name)) {
        let text = cluster.templates.render(row.name, &values)?;
        let files: Vec<&File> = desired
            .files
            .iter()
            .filter(|file| row.files.contains(&file.path.as_str()))
            .collect();
        let hashes: Vec<&str> = row
            .binaries
            .iter()
            .filter_map(|name| cluster.release.sha256_of(name))
            .collect();
        // A timer starts a program anew each time; it need not hear of a newer one.
        let keeps = !row.name.ends_with(".timer");
        let programs_of_it: Vec<String> = hashes.into_iter().filter(|_| keeps).map(str::to_owned).collect();
        let by_key = signers(cluster, host, row, |leaf| {
            leaf.authority_key_id.unwrap_or_default()
        });
        // Names of authorities are the same in two runs that would each make one.
        let by_name = signers(cluster, host, row, |leaf| leaf.issuer);
        let parts = |signers: Vec<String>| [programs_of_it.clone(), signers].concat();
        let (content, identity) = match row.reloads {
            false => (
                content_hash(&text, &files, File::sha256, &parts(by_key)),
                content_hash(&text, &files, File::identity, &parts(by_name)),
            ),
            true => {
                let of = |hash, parts: &[String]| {
                    let start = content_hash(&text, &[], hash, parts);
                    format!("{start}.{}", content_hash("", &files, hash, &[]))
                };
                (
                    of(File::sha256, &parts(by_key)),
                    of(File::identity, &parts(by_name)),
                )
            }
        };
        let (file, link) = place(row.name);
        let mut unit_file = File::public(file.as_str(), text.replace(CONTENT, &content));
        unit_file.identity = Some(sha256(text.replace(CONTENT, &identity).as_bytes()));
        desired.files.push(unit_file);
        desired.units.push(Unit {
            name: row.name,
            link,
            file,
            stage: row.stage,
            content,
            identity,
        });
        programs.extend(row.binaries);
    }
    Ok(programs)
}

/// What a unit's process keeps from its start, beside files and programs: who signed its leaves.
fn signers(cluster: &Cluster<'_>, host: &Host, row: &Row, name: fn(pki::Inspected) -> String) -> Vec<String> {
    row.leaves
        .iter()
        .filter_map(|leaf| cluster.secrets.leaf(&host.name, leaf))
        .filter_map(|leaf| pki::inspect(&leaf.certificate).ok())
        .map(name)
        .collect()
}

/// The unit's file in the generation and the link that systemd follows to it.
fn place(name: &str) -> (String, String) {
    match name {
        // The package's unit stays; only what it runs is ours.
        "containerd.service" => (
            "units/containerd.conf".to_owned(),
            "/etc/systemd/system/containerd.service.d/hardway.conf".to_owned(),
        ),
        name => (format!("units/{name}"), format!("/etc/systemd/system/{name}")),
    }
}

fn runs(cluster: &Cluster<'_>, host: &Host, unit: &str) -> bool {
    match unit {
        "etcd.service" => cluster.inventory.runs_etcd(host),
        "hardway-backup.timer" => cluster.inventory.backup.is_some() && cluster.inventory.runs_etcd(host),
        "hardway-haproxy.service" => host.has(Role::LoadBalancer),
        "api-balancer.service" => host.is_node() && cluster.inventory.balances_locally(),
        "kube-apiserver.service" | "kube-controller-manager.service" | "kube-scheduler.service" => {
            host.has(Role::ControlPlane)
        }
        _ => host.is_node(),
    }
}

/// Labels that a kubelet may give itself; the rest is set through the API by the administrator.
fn own_labels(host: &Host) -> String {
    let own = host.labels.iter().filter(|(key, _)| {
        let domain = key.split_once('/').map_or("", |(domain, _)| domain);
        !domain.ends_with("kubernetes.io") && !domain.ends_with("k8s.io")
    });
    own.map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}
