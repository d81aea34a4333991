//! A node with two pods on a bridge and a host outside, each in a network namespace, with servers in the pods.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use component_config::kube_proxy::ProxyMode;
use host::network_namespace::NetworkNamespace;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube_proxy::model::{Family, ThisNode};
use kube_proxy::options::{LocalTraffic, NodePortAddresses, Options};
use kube_proxy::sync::{ChangedService, Proxier, cleanup};
use serde_json::{Value, json};

pub const POD_PORT: u16 = 8080;
const TIMEOUT: Duration = Duration::from_millis(1500);

pub struct Lab {
    pub node: NetworkNamespace,
    pub outside: NetworkNamespace,
    pub pods: Vec<NetworkNamespace>,
    proxier: Arc<Mutex<Proxier>>,
}

pub fn sh(namespace: &NetworkNamespace, line: &str) -> String {
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

pub fn options() -> Options {
    Options {
        family: Family::V4,
        local_traffic: LocalTraffic::From(vec!["10.244.0.0/16".parse().unwrap()]),
        node_port_addresses: NodePortAddresses::All,
        masquerade_all: false,
        masquerade_mark: 0x4000,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

impl Lab {
    /// None without root.
    pub fn new(mode: ProxyMode) -> Option<Lab> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        let node = NetworkNamespace::create().unwrap();
        let outside = NetworkNamespace::create().unwrap();
        sh(
            &node,
            &format!(
                "ip link set lo up; ip link add eth0 type veth peer name eth0 netns {}; ip addr add 10.9.0.1/24 dev eth0; \
                 ip link set eth0 up; ip route add default via 10.9.0.3; ip link add cni0 type bridge; \
                 ip addr add 10.244.1.1/24 dev cni0; ip link set cni0 up; echo 1 > /proc/sys/net/ipv4/ip_forward",
                outside.path().display()
            ),
        );
        sh(
            &outside,
            "ip link set lo up; ip addr add 10.9.0.3/24 dev eth0; ip link set eth0 up; ip route add default via 10.9.0.1",
        );
        let pods = (1..=2)
            .map(|index| {
                let pod = NetworkNamespace::create().unwrap();
                sh(
                    &node,
                    &format!(
                        "ip link add p{index} type veth peer name eth0 netns {}; ip link set p{index} master cni0 up; \
                         echo 1 > /sys/class/net/p{index}/brport/hairpin_mode 2>/dev/null || bridge link set dev p{index} hairpin on",
                        pod.path().display()
                    ),
                );
                sh(
                    &pod,
                    &format!(
                        "ip link set lo up; ip addr add 10.244.1.1{index}/24 dev eth0; ip link set eth0 up; \
                         ip route add default via 10.244.1.1"
                    ),
                );
                serve(&pod, format!("pod{index}"));
                pod
            })
            .collect();
        let proxier = Arc::new(Mutex::new(Proxier::new(mode, options())));
        let lab = Lab {
            node,
            outside,
            pods,
            proxier,
        };
        lab.apply(vec![]);
        Some(lab)
    }

    /// Applies services; endpoints are pod numbers.
    pub fn apply(&self, changes: Vec<ChangedService>) {
        let proxier = self.proxier.clone();
        let node = ThisNode {
            name: "n1".to_owned(),
            ..ThisNode::default()
        };
        let applied = self.node.run(move || {
            let mut proxier = proxier.lock().unwrap();
            runtime()
                .block_on(proxier.apply(&changes, &node))
                .map_err(|error| error.to_string())
        });
        applied.unwrap().unwrap();
    }

    pub fn distrust(&self) {
        self.proxier.lock().unwrap().distrust();
    }

    pub fn is_intact(&self) -> bool {
        let proxier = self.proxier.clone();
        self.node
            .run(move || runtime().block_on(proxier.lock().unwrap().is_intact()))
            .unwrap()
    }

    pub fn cleanup(&self, mode: ProxyMode) {
        let cleaned = self.node.run(move || {
            runtime()
                .block_on(cleanup(mode))
                .map_err(|error| error.to_string())
        });
        cleaned.unwrap().unwrap();
    }
}

/// A service `ns/web` with the given spec on top of a plain one, whose endpoints are pods by number.
pub fn service(name: &str, spec: Value, pods: &[u8], protocol: &str) -> ChangedService {
    let mut object = json!({
        "metadata": { "namespace": "ns", "name": name },
        "spec": { "ports": [{ "name": "p", "port": 80, "protocol": protocol }] },
    });
    for (field, value) in spec.as_object().unwrap() {
        if field == "nodePort" {
            object["spec"]["ports"][0]["nodePort"] = value.clone();
        } else if field == "ingress" {
            object["status"]["loadBalancer"]["ingress"] = json!([{ "ip": value }]);
        } else {
            object["spec"][field] = value.clone();
        }
    }
    // Odd pods are on this node, even ones elsewhere as far as Kubernetes knows.
    let endpoints: Vec<Value> = pods
        .iter()
        .map(|pod| json!({ "addresses": [format!("10.244.1.1{pod}")], "nodeName": if pod % 2 == 1 { "n1" } else { "n2" } }))
        .collect();
    let slice = json!({
        "metadata": { "namespace": "ns", "name": format!("{name}-1") }, "addressType": "IPv4",
        "endpoints": endpoints, "ports": [{ "name": "p", "port": POD_PORT, "protocol": protocol }],
    });
    let service: Service = serde_json::from_value(object).unwrap();
    let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
    (
        ("ns".to_owned(), name.to_owned()),
        Some((Arc::new(service), vec![Arc::new(slice)])),
    )
}

/// The same service, gone.
pub fn gone(name: &str) -> ChangedService {
    (("ns".to_owned(), name.to_owned()), None)
}

/// Servers that say who they are and whom they see, until the process ends.
fn serve(pod: &NetworkNamespace, name: String) {
    let sockets = pod.run(|| {
        (
            TcpListener::bind(("0.0.0.0", POD_PORT)).unwrap(),
            UdpSocket::bind(("0.0.0.0", POD_PORT)).unwrap(),
        )
    });
    let (tcp, udp) = sockets.unwrap();
    let tcp_name = name.clone();
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip();
            let _ = stream.write_all(format!("{tcp_name} {peer}").as_bytes());
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
        }
    });
}

/// Who answered, and the client's address as it was seen there.
pub fn ask(from: &NetworkNamespace, target: &str) -> std::io::Result<(String, IpAddr)> {
    let target: SocketAddr = target.parse().unwrap();
    from.run(move || {
        let mut stream = TcpStream::connect_timeout(&target, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(parse(&answer))
    })
    .unwrap()
}

fn parse(answer: &str) -> (String, IpAddr) {
    let (name, peer) = answer.split_once(' ').unwrap();
    (name.to_owned(), peer.parse().unwrap())
}

/// A UDP client with one port.
pub fn udp_client(from: &NetworkNamespace) -> UdpSocket {
    let socket = from.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

/// Who answered.
pub fn ask_udp(socket: &UdpSocket, target: &str) -> std::io::Result<String> {
    socket.send_to(b"x", target)?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(parse(std::str::from_utf8(&buffer[..length]).unwrap()).0)
}
