//! Which unit listens where on which host, and who does. No I/O.

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

    /// The process that listens in the place of the daemon. Others may have the socket beside it: systemd, with which the
    /// balancer leaves its sockets, and children between fork and exec, named as the thread that began them.
    pub fn stranger(self, listener: &Listener) -> Option<&str> {
        let belongs = |process: &String| {
            !process.is_empty()
                && (self.daemon.starts_with(process.as_str())
                    || self.daemon == "api-balancer" && process == "systemd")
        };
        if listener.processes.iter().any(belongs) {
            return None;
        }
        listener.processes.first().map(String::as_str)
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

/// A listening TCP socket, as `ss -Hltnp` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub port: u16,
    /// All that have it open, by the kernel's 15 bytes of their names.
    processes: Vec<String>,
}

impl Listener {
    /// `0.0.0.0:22 users:(("sshd",pid=1,fd=3))`; without the right to see them, no process is told.
    pub fn parse(text: &str) -> Option<Self> {
        let (local, users) = text.split_once(' ').unwrap_or((text, ""));
        let (_, port) = local.rsplit_once(':')?;
        Some(Self {
            port: port.parse().ok()?,
            processes: users.split('"').skip(1).step_by(2).map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_its_daemons_when_one_of_those_that_have_it_is() {
        for (text, number, daemon, stranger) in [
            (r#"0.0.0.0:22 users:(("sshd",pid=1,fd=3))"#, 22, "sshd", None),
            (
                r#"[::]:22 users:(("sshd",pid=1,fd=3))"#,
                22,
                "dropbear",
                Some("sshd"),
            ),
            ("*:10250", 10250, "kubelet", None),
            (
                r#"*:10257 users:(("kube-controller",pid=7,fd=9))"#,
                10257,
                "kube-controller-manager",
                None,
            ),
            (
                r#"*:10250 users:(("tokio-rt-worker",pid=8,fd=9),("kubelet",pid=7,fd=9))"#,
                10250,
                "kubelet",
                None,
            ),
            // A bootstrap was refused while systemd started other units and had not become them yet.
            (
                r#"127.0.0.1:7443 users:(("(sd-gens)",pid=9,fd=4),("api-balancer",pid=8,fd=9),("systemd",pid=1,fd=4))"#,
                7443,
                "api-balancer",
                None,
            ),
            (
                r#"127.0.0.1:7443 users:(("systemd",pid=1,fd=4))"#,
                7443,
                "api-balancer",
                None,
            ),
            (
                r#"*:10250 users:(("systemd",pid=1,fd=4))"#,
                10250,
                "kubelet",
                Some("systemd"),
            ),
        ] {
            let listener = Listener::parse(text).expect(text);
            assert_eq!(listener.port, number, "{text}");
            assert_eq!(Port { number, daemon }.stranger(&listener), stranger, "{text}");
        }
        assert_eq!(Listener::parse("nonsense"), None);
    }
}
