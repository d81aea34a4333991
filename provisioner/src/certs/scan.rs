//! One script per host: certificates in files and kubeconfigs, and who listens. Private keys are not read.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base64::Engine as _;

use crate::ssh::{Connection, SshError};

const SCRIPT: &str = include_str!("../../../templates/scripts/certs.sh");

/// What one host said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    pub files: Vec<Found>,
    pub listeners: Vec<Listener>,
}

/// Certificates in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub path: String,
    /// The field of a kubeconfig that they stand in.
    pub embedded: Option<String>,
    pub pem: String,
}

/// A listening socket of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub process: String,
    pub address: SocketAddr,
}

/// Processes whose sockets are asked; the kernel cuts names after 15 characters. Balancers pass TLS on, so what they
/// show is another process's.
const PROCESSES: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kube-controller",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "containerd",
    "pod-network",
];

pub fn ask(connection: &Connection) -> Result<Scan, SshError> {
    let doing = "reading certificates";
    let text = connection.script(doing, SCRIPT)?;
    parse(&text).ok_or_else(|| SshError::Lost {
        doing: doing.to_owned(),
        reason: "the host's answer is incomplete".to_owned(),
    })
}

/// Reads the script's answer; None when its end is missing.
pub fn parse(text: &str) -> Option<Scan> {
    let mut scan = Scan::default();
    let mut complete = false;
    let mut path = String::new();
    let mut pem = String::new();
    for line in text.lines() {
        if let Some(next) = line.strip_prefix("file=") {
            keep(&mut scan, &path, &mut pem);
            path = next.to_owned();
        } else if let Some(value) = line.strip_prefix("listen=") {
            scan.listeners.extend(listener(value));
        } else if let Some(value) = line.strip_prefix("embedded=") {
            scan.files.extend(embedded(&path, value));
        } else if line == "complete=yes" {
            complete = true;
        } else {
            pem.push_str(line);
            pem.push('\n');
        }
    }
    keep(&mut scan, &path, &mut pem);
    scan.listeners.dedup();
    complete.then_some(scan)
}

fn keep(scan: &mut Scan, path: &str, pem: &mut String) {
    let pem = std::mem::take(pem);
    if pem.contains("-----BEGIN CERTIFICATE-----") {
        scan.files.push(Found {
            path: path.to_owned(),
            embedded: None,
            pem,
        });
    }
}

/// `client-certificate-data: BASE64`
fn embedded(path: &str, value: &str) -> Option<Found> {
    let (field, data) = value.trim().trim_start_matches("- ").split_once(':')?;
    let data = data.trim().trim_matches(['"', '\'']);
    let pem = base64::engine::general_purpose::STANDARD.decode(data).ok()?;
    Some(Found {
        path: path.to_owned(),
        embedded: Some(field.trim().to_owned()),
        pem: String::from_utf8(pem).ok()?,
    })
}

/// `0.0.0.0:6443 users:(("kube-apiserver",pid=1,fd=3))`
fn listener(value: &str) -> Option<Listener> {
    let (local, process) = value.split_once(' ')?;
    let process = process.split('"').nth(1)?;
    if !PROCESSES.contains(&process) {
        return None;
    }
    let (host, port) = local.rsplit_once(':')?;
    let host = host.split('%').next().unwrap_or(host).trim_matches(['[', ']']);
    let ip: IpAddr = match host {
        "*" | "::" => Ipv4Addr::UNSPECIFIED.into(),
        host => host.parse().ok()?,
    };
    Some(Listener {
        process: process.to_owned(),
        address: SocketAddr::new(ip, port.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let data = base64::engine::general_purpose::STANDARD.encode("-----BEGIN CERTIFICATE-----\nx\n");
        let text = format!(
            "file=/a.crt\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\nfile=/empty.conf\n\
             file=/root/.kube/config\nembedded=    client-certificate-data: {data}\n\
             listen=0.0.0.0:6443 users:((\"kube-apiserver\",pid=1,fd=3))\nlisten=*:10250 users:((\"kubelet\",pid=1,fd=3))\n\
             listen=[::1]:10257 users:((\"kube-controller\",pid=1,fd=3))\nlisten=0.0.0.0:22 users:((\"sshd\",pid=1,fd=3))\n\
             listen=nonsense\ncomplete=yes\n"
        );
        let scan = parse(&text).unwrap();
        assert_eq!(scan.files.len(), 2, "{scan:?}");
        let kubeconfig = scan
            .files
            .iter()
            .find(|found| found.path == "/root/.kube/config")
            .unwrap();
        assert_eq!(kubeconfig.embedded.as_deref(), Some("client-certificate-data"));
        let file = scan.files.iter().find(|found| found.path == "/a.crt").unwrap();
        assert!(file.pem.ends_with("-----END CERTIFICATE-----\n"));
        let listeners: Vec<String> = scan
            .listeners
            .iter()
            .map(|listener| format!("{} {}", listener.process, listener.address))
            .collect();
        assert_eq!(
            listeners,
            [
                "kube-apiserver 0.0.0.0:6443",
                "kubelet 0.0.0.0:10250",
                "kube-controller [::1]:10257"
            ]
        );
        assert_eq!(parse("file=/a\n"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(text in "(?s).{0,300}") {
            let _ = parse(&text);
        }
    }
}
