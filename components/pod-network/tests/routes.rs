//! Reconciling real routes and rules in network namespaces.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use component_config::pod_network::Flags;
use host::network_namespace::NetworkNamespace;
use host::routing::Routing;
use pod_network::node::NodeNetwork;
use pod_network::reconcile::{Checks, Reconciler, Report};
use pod_network::run::reconcile_loop;
use socket2::{Domain, Socket, Type};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(10);

fn sh(namespace: &NetworkNamespace, line: &str) -> String {
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
    String::from_utf8(output.stdout).unwrap()
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: network namespaces need root");
    }
    root
}

/// Hosts on one segment: host `i` has 10.9.0.(i+1) and a pod address 10.244.(i+1).2.
struct Lab {
    _segment: NetworkNamespace,
    hosts: Vec<NetworkNamespace>,
}

fn lab(count: u8) -> Lab {
    let segment = NetworkNamespace::create().unwrap();
    sh(&segment, "ip link add br0 type bridge; ip link set br0 up");
    let hosts = (1..=count)
        .map(|index| {
            let host = NetworkNamespace::create().unwrap();
            let path = host.path();
            sh(
                &segment,
                &format!(
                    "ip link add h{index} type veth peer name eth0 netns {}; ip link set h{index} master br0 up",
                    path.display()
                ),
            );
            sh(
                &host,
                &format!(
                    "ip link set lo up; ip link set eth0 mtu 1450; ip addr add 10.9.0.{index}/24 dev eth0; ip link set eth0 up; \
                     ip link add pod type bridge; ip addr add 10.244.{index}.2/24 dev pod; ip link set pod up; \
                     echo 1 > /proc/sys/net/ipv4/ip_forward"
                ),
            );
            host
        })
        .collect();
    Lab {
        _segment: segment,
        hosts,
    }
}

fn nodes(count: u8) -> Vec<NodeNetwork> {
    (1..=count)
        .map(|index| NodeNetwork {
            name: format!("h{index}"),
            pod_cidrs: vec![format!("10.244.{index}.0/24").parse().unwrap()],
            addresses: vec![format!("10.9.0.{index}").parse().unwrap()],
        })
        .collect()
}

fn flags(name: &str, directory: &Path) -> Flags {
    Flags::parse_from([
        "pod-network",
        "--kubeconfig=/nonexistent",
        "--cluster-cidr=10.244.0.0/16",
        &format!("--node-name={name}"),
        &format!("--cni-conf-dir={}", directory.display()),
    ])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn reconcile(namespace: &NetworkNamespace, flags: &Flags, nodes: &[NodeNetwork]) -> Report {
    let (flags, nodes) = (flags.clone(), nodes.to_vec());
    namespace
        .run(move || {
            runtime().block_on(async {
                let mut reconciler = Reconciler::new(flags, Routing::open().unwrap());
                reconciler.reconcile(&nodes, Checks::Everything).await
            })
        })
        .unwrap()
}

/// The address that a server on `server` sees when a client on `client` connects from `source`.
fn seen_source(server: &NetworkNamespace, listen: &str, client: &NetworkNamespace, source: &str) -> IpAddr {
    let address: SocketAddr = format!("{listen}:0").parse().unwrap();
    let listener = server.run(move || TcpListener::bind(address)).unwrap().unwrap();
    let target = listener.local_addr().unwrap();
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    let connected = client
        .run(move || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&source.into())?;
            socket.connect_timeout(&target.into(), DEADLINE)?;
            Ok::<_, std::io::Error>(socket)
        })
        .unwrap();
    drop(connected.unwrap_or_else(|error| panic!("{source} -> {target}: {error}")));
    let (mut stream, peer) = listener.accept().unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    peer.ip()
}

#[test]
fn pods_of_different_hosts_reach_each_other_and_leave_under_their_nodes_address() {
    if !is_root() {
        return;
    }
    let lab = lab(3);
    let directory = tempfile::tempdir().unwrap();
    // The third host is no node: the world outside.
    for (index, host) in lab.hosts[..2].iter().enumerate() {
        let report = reconcile(
            host,
            &flags(&format!("h{}", index + 1), directory.path()),
            &nodes(2),
        );
        assert_eq!(
            report,
            Report {
                errors: vec![],
                changes: 1
            }
        );
    }
    let [first, second, outside] = &lab.hosts[..] else {
        panic!("three hosts")
    };
    assert_eq!(
        seen_source(second, "10.244.2.2", first, "10.244.1.2").to_string(),
        "10.244.1.2"
    );
    assert_eq!(
        seen_source(first, "10.244.1.2", second, "10.244.2.2").to_string(),
        "10.244.2.2"
    );
    assert_eq!(
        seen_source(outside, "10.9.0.3", first, "10.244.1.2").to_string(),
        "10.9.0.1"
    );
    let conflist = std::fs::read_to_string(directory.path().join("10-hardway.conflist")).unwrap();
    assert!(
        conflist.contains("\"mtu\": 1450") && conflist.contains("10.244.2.0/24"),
        "{conflist}"
    );

    // Again: nothing to do.
    let report = reconcile(first, &flags("h1", directory.path()), &nodes(2));
    assert_eq!(report, Report::default());
}

#[test]
fn only_own_routes_are_removed() {
    if !is_root() {
        return;
    }
    let lab = lab(1);
    let directory = tempfile::tempdir().unwrap();
    let flags = flags("h1", directory.path());
    sh(&lab.hosts[0], "ip route add 10.99.0.0/24 via 10.9.0.7");
    assert_eq!(reconcile(&lab.hosts[0], &flags, &nodes(3)).changes, 2);
    assert_eq!(reconcile(&lab.hosts[0], &flags, &nodes(1)).changes, 2);
    let routes = sh(&lab.hosts[0], "ip route");
    assert!(
        routes.contains("10.99.0.0/24") && !routes.contains("10.244.2.0"),
        "{routes}"
    );

    let mut far = nodes(2);
    far[1].addresses = vec!["172.16.0.1".parse().unwrap()];
    let report = reconcile(&lab.hosts[0], &flags, &far);
    assert!(report.errors[0].contains("directly connected"), "{report:?}");
}

#[test]
fn what_others_destroy_is_made_again() {
    if !is_root() {
        return;
    }
    let lab = lab(2);
    let directory = tempfile::tempdir().unwrap();
    let flags = flags("h1", directory.path());
    let (sender, receiver) = watch::channel(nodes(2));
    let (reports, _) = watch::channel(None);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let daemon = lab.hosts[0]
        .spawn(move || {
            runtime().block_on(async {
                let reconciler = Reconciler::new(flags, Routing::open().unwrap());
                reconcile_loop(reconciler, receiver, reports, stop).await
            })
        })
        .unwrap();
    let wait_for = |what: &str, expected: bool| {
        let start = Instant::now();
        loop {
            let routes = sh(&lab.hosts[0], "ip route");
            if routes.contains(what) == expected {
                return start.elapsed();
            }
            assert!(
                start.elapsed() < DEADLINE,
                "{what} should be there: {expected}; routes:\n{routes}"
            );
            std::thread::yield_now();
        }
    };
    wait_for("10.244.2.0/24 via 10.9.0.2", true);
    sh(&lab.hosts[0], "ip route del 10.244.2.0/24");
    let after_removal = wait_for("10.244.2.0/24 via 10.9.0.2", true);
    // A link that goes down takes its routes along.
    sh(&lab.hosts[0], "ip link set eth0 down");
    wait_for("10.244.2.0/24", false);
    sh(&lab.hosts[0], "ip link set eth0 up");
    let after_link = wait_for("10.244.2.0/24 via 10.9.0.2", true);
    eprintln!("route back after {after_removal:?}, after a link flap {after_link:?}");
    sender.send_replace(nodes(1));
    wait_for("10.244.2.0/24", false);
    shutdown.cancel();
    daemon.join().unwrap().unwrap().unwrap();
}
