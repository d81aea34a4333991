//! One node and some hosts in network namespaces, joined by a bridge in the node's.

use std::future::Future;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use host::network_namespace::NetworkNamespace;

use super::{ApiServer, TestAuthority};

pub struct Lab {
    node: NetworkNamespace,
    hosts: Arc<Vec<NetworkNamespace>>,
}

/// What can be done to the hosts.
#[derive(Clone)]
pub struct Faults {
    hosts: Arc<Vec<NetworkNamespace>>,
}

fn run(namespace: &NetworkNamespace, line: &str) {
    let owned = line.to_owned();
    let output = namespace
        .run(move || Command::new("sh").args(["-ec", &owned]).output())
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Lab {
    pub fn new(addresses: &[&str]) -> Lab {
        let node = NetworkNamespace::create().unwrap();
        run(
            &node,
            "ip link set lo up; ip link add br0 type bridge; ip addr add 10.9.0.254/24 dev br0; ip link set br0 up",
        );
        let hosts: Vec<_> = addresses
            .iter()
            .enumerate()
            .map(|(index, address)| {
                let host = NetworkNamespace::create().unwrap();
                let path = host.path();
                run(
                    &node,
                    &format!(
                        "ip link add h{index} type veth peer name eth0 netns {}; ip link set h{index} master br0 up",
                        path.display()
                    ),
                );
                run(&host, &format!("ip link set lo up; ip addr add {address}/24 dev eth0; ip link set eth0 up"));
                host
            })
            .collect();
        Lab {
            node,
            hosts: Arc::new(hosts),
        }
    }

    /// Serves on a host until the process ends.
    pub fn serve(
        &self,
        host: usize,
        authority: &TestAuthority,
        name: &'static str,
        address: SocketAddr,
    ) -> std::thread::JoinHandle<std::io::Result<()>> {
        let authority = authority.clone();
        self.hosts[host]
            .spawn(move || {
                runtime().block_on(async move {
                    let _server = ApiServer::start(&authority, name, address).await;
                    std::future::pending::<()>().await;
                });
            })
            .unwrap()
    }

    /// Runs the future on a thread inside the node's namespace.
    pub fn on_node<F: Future<Output = ()>>(&self, work: impl FnOnce(Faults) -> F + Send + 'static) {
        let faults = Faults {
            hosts: self.hosts.clone(),
        };
        self.node.run(move || runtime().block_on(work(faults))).unwrap();
    }
}

impl Faults {
    pub fn cut_power(&self, host: usize) {
        run(
            &self.hosts[host],
            "nft 'add table netdev dead; add chain netdev dead in { type filter hook ingress device eth0 priority 0; policy drop; }'",
        );
    }

    pub fn restore_power(&self, host: usize) {
        run(&self.hosts[host], "nft delete table netdev dead");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}
