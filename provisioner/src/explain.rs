//! Why each artefact of a host exists, who reads it, and what its change means. No I/O.

use pki::{Authority, PROFILES, Usage};
use serde::Serialize;

use crate::desired::{Desired, GENERATION, RELEASE};
use crate::render::restarts_for;

/// What there is to say about one file of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Full path on the host.
    pub path: String,
    pub reason: String,
    pub mode: String,
    pub owner: String,
    pub secret: bool,
    /// Units that name it, or a file that names it.
    pub readers: Vec<String>,
    /// Units that are restarted when it changes; the other readers follow it while they run.
    pub restarts: Vec<String>,
    /// Links outside the generation that lead to it.
    pub links: Vec<String>,
}

/// Explains every file and program of a host, sorted by path.
pub fn explain(desired: &Desired) -> Vec<Explanation> {
    let files = desired.files.iter().map(|file| Explanation {
        path: format!("{GENERATION}/{}", file.path),
        reason: reason(&file.path),
        mode: format!("{:o}", file.mode),
        owner: file.owner.to_owned(),
        secret: file.secret,
        readers: readers(desired, &format!("{GENERATION}/{}", file.path)),
        restarts: restarts(desired, &file.path),
        links: links(desired, &format!("{GENERATION}/{}", file.path)),
    });
    let programs = desired.artifacts.iter().map(|artifact| {
        let path = format!("{RELEASE}/{}/{}", artifact.folder(), artifact.name);
        let readers = readers(desired, &path);
        Explanation {
            reason: match &artifact.image {
                Some(image) => format!(
                    "container image {image}, imported into containerd: the cluster needs no registry for it"
                ),
                None => format!("program of the release, sha256 {}", artifact.sha256),
            },
            mode: "755".to_owned(),
            owner: "root".to_owned(),
            secret: false,
            restarts: readers.clone(),
            readers,
            links: Vec::new(),
            path,
        }
    });
    let mut all: Vec<Explanation> = files.chain(programs).collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

/// The explanation of a path as an operator may write it: on the host, a link, or below a rendered folder.
pub fn find<'e>(explanations: &'e [Explanation], path: &str) -> Option<&'e Explanation> {
    let exact = |one: &&Explanation| one.path == path || one.links.iter().any(|link| link == path);
    // `out/cp-1/etc/hardway/current/x`, `/etc/hardway/generations/7/x`, `config/x`.
    let tail = match path.split_once("/generations/") {
        Some((_, rest)) => rest.split_once('/').map_or(rest, |(_, rest)| rest),
        None => path.trim_start_matches("./"),
    };
    let relative = |one: &&Explanation| {
        let known = one.path.as_str();
        tail.ends_with(known)
            || known
                .strip_prefix(GENERATION)
                .or_else(|| known.strip_prefix(RELEASE))
                .map(|path| &path[1..])
                == Some(tail)
    };
    explanations
        .iter()
        .find(exact)
        .or_else(|| explanations.iter().find(relative))
}

/// Units that name a path themselves, or through a file that they read.
fn readers(desired: &Desired, path: &str) -> Vec<String> {
    let names = |text: &str, path: &str| {
        text.match_indices(path)
            .any(|(at, _)| is_whole(&text[at + path.len()..]))
    };
    let through: Vec<String> = desired
        .files
        .iter()
        .filter(|file| !file.path.starts_with("units/") && !file.path.starts_with("meta/"))
        .filter(|file| names(&String::from_utf8_lossy(&file.content), path))
        .map(|file| format!("{GENERATION}/{}", file.path))
        .collect();
    let unit_reads = |file: &str| {
        let text = desired.text(file);
        names(&text, path) || through.iter().any(|path| names(&text, path))
    };
    let units = desired.units.iter().map(|unit| (unit.name, unit.file.as_str()));
    // What only a timer starts is no unit of its own.
    let started = desired.files.iter().filter_map(|file| {
        let name = file.path.strip_prefix("units/")?;
        let known = desired.units.iter().any(|unit| unit.file == file.path);
        (!known).then_some((name, file.path.as_str()))
    });
    units
        .chain(started)
        .filter(|(_, file)| format!("{GENERATION}/{file}") == path || unit_reads(file))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// `x.crt` is not a mention of `x.crt.old`.
fn is_whole(rest: &str) -> bool {
    !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || "-._/".contains(next))
}

fn restarts(desired: &Desired, path: &str) -> Vec<String> {
    let own = desired
        .units
        .iter()
        .filter(|unit| unit.file == path)
        .map(|unit| unit.name);
    let listed = restarts_for(path).filter(|name| desired.units.iter().any(|unit| unit.name == *name));
    own.chain(listed).map(str::to_owned).collect()
}

fn links(desired: &Desired, path: &str) -> Vec<String> {
    let links = desired.all_links();
    links
        .into_iter()
        .filter(|(_, target)| target == path)
        .map(|(link, _)| link)
        .collect()
}

/// One sentence: why a file of a generation exists.
pub fn reason(path: &str) -> String {
    let (folder, name) = path.split_once('/').unwrap_or(("", path));
    match folder {
        "units" => match name {
            "containerd.conf" => {
                "drop-in that makes the package's containerd use hardway's configuration".to_owned()
            }
            name => format!("systemd unit: {}", unit_reason(name)),
        },
        "kubeconfig" => format!(
            "how {} finds the API and who it is; it names certificate files, so renewed ones are picked up",
            name.trim_end_matches(".yaml")
        ),
        "pki" => pki_reason(name),
        "meta" => match name {
            "links" => "links outside the generation, for going back to it without the operator",
            "release" => "the programs that belong to the generation, with their hashes",
            _ => "the units of the generation with what they are started with, for going back to it",
        }
        .to_owned(),
        _ => config_reason(path).to_owned(),
    }
}

fn config_reason(path: &str) -> &'static str {
    match path {
        "config/encryption.yaml" => "key under which Secrets are stored in etcd",
        "config/kube-scheduler.yaml" => "KubeSchedulerConfiguration",
        "config/kubelet.yaml" => {
            "KubeletConfiguration: only what differs from the defaults, and who may ask the kubelet"
        }
        "config/kube-proxy.yaml" => "KubeProxyConfiguration: backend and pod range",
        "config/api-balancer.yaml" => {
            "the API servers that the node-local balancer spreads over; followed while it runs"
        }
        "config/backup.json" => "how this host takes snapshots of etcd, and where they go",
        "config/backup-s3.toml" => "credentials of the storage that snapshots are sent to",
        "config/backup-authority.crt" => "authority that the storage's certificate is checked against",
        "config/haproxy.cfg" => "the API servers behind the load balancer",
        "config/sysctl.conf" => {
            "kernel settings that pods need: forwarding, bridged packets, what upstream's kubelet asks for"
        }
        "config/modules.conf" => "kernel modules that containers and Services need, loaded at boot",
        "containerd/config.toml" => {
            "containerd's CRI plugin: pause image, CNI folders, cgroup driver, TLS for streaming"
        }
        _ => "part of the generation",
    }
}

fn unit_reason(name: &str) -> &'static str {
    match name.trim_end_matches(".service") {
        "etcd" => "etcd member: the only store of the API; mutual TLS on both ports",
        "kube-apiserver" => "the API; the only part that opens etcd",
        "kube-controller-manager" => "controllers: one is active, the others wait for its lease",
        "kube-scheduler" => "assigns pods to nodes: one is active, the others wait for its lease",
        "kubelet" => "runs the pods of this node through containerd",
        "kube-proxy" => "makes Service addresses work on this node",
        "pod-network" => "CNI configuration and routes to the other nodes' pods",
        "api-balancer" => "lets this host's clients survive the loss of any API server without another box",
        "hardway-backup" | "hardway-backup.timer" => {
            "takes a snapshot of etcd, checks it, keeps the newest and sends it"
        }
        "hardway-haproxy" => "load balancer over the API servers",
        _ => "part of the cluster",
    }
}

fn pki_reason(name: &str) -> String {
    let (stem, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
    if let Some(authority) = Authority::ALL.iter().find(|authority| authority.name() == stem) {
        let signs = match authority {
            Authority::Kubernetes => "the API's servers and clients",
            Authority::Etcd => {
                "etcd's members and clients, so that nobody else's certificate opens the store"
            }
            Authority::FrontProxy => "the API server towards extension API servers",
        };
        return match suffix {
            "key" => {
                "key of that authority: the controller manager signs certificate requests with it".to_owned()
            }
            _ => format!("authority of {signs}"),
        };
    }
    if let Some(profile) = PROFILES.iter().find(|profile| profile.name == stem) {
        let usage = match profile.usage {
            Usage::Client => "client",
            Usage::Server => "server",
            Usage::ClientAndServer => "client and server",
        };
        let what = if suffix == "key" { "key of the" } else { "the" };
        return format!(
            "{what} {usage} certificate of {} ({}), signed by {}",
            profile.name,
            profile.common_name.replace("{node}", "<the host's name>"),
            profile.authority.name()
        );
    }
    match name {
        "service-account.pub" => "verifies service-account tokens",
        "service-account.key" => "signs service-account tokens in the API server",
        "controller-manager-service-account.key" => {
            "the same key for the controller manager, which runs as another user"
        }
        "kubernetes-signer.crt" => {
            "the authority that signs certificate requests, alone, also while two are trusted"
        }
        "kubernetes-signer.key" => "its key: the controller manager signs certificate requests with it",
        _ => "part of the cluster's PKI",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_and_file_has_a_reason() {
        for (path, expected) in [
            ("pki/etcd-ca.crt", "authority of etcd's members"),
            ("pki/kubernetes-signer.key", "signs certificate requests"),
            ("pki/kubelet-client.key", "key of the client certificate"),
            ("pki/kubelet-client.crt", "(system:node:<the host's name>)"),
            ("units/etcd.service", "the only store"),
            ("kubeconfig/kubelet.yaml", "how kubelet finds the API"),
            ("config/sysctl.conf", "kernel settings"),
        ] {
            assert!(reason(path).contains(expected), "{path}: {}", reason(path));
        }
    }

    #[test]
    fn mentions_are_whole_words() {
        assert!(is_whole("\n") && is_whole(" --x") && is_whole(""));
        assert!(!is_whole(".old") && !is_whole("-b") && !is_whole("/c"));
    }
}
