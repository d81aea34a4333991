//! What is found on the machine.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::NodeSystemInfo;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::pod::resources::{bytes, milli, parse};

/// What does not change while the kubelet runs.
#[derive(Clone, Debug)]
pub struct MachineFacts {
    pub cpus: usize,
    /// Bytes.
    pub memory: i64,
    /// Bytes of the file system of the kubelet's root.
    pub storage: u64,
    pub info: NodeSystemInfo,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

impl MachineFacts {
    /// Looks at the machine; the runtime's version comes from the runtime.
    pub fn read(root: &Path, runtime_version: String) -> anyhow::Result<Self> {
        let memory_info = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        let total = memory_info
            .lines()
            .find_map(|line| {
                line.strip_prefix("MemTotal:")?
                    .trim()
                    .strip_suffix(" kB")?
                    .trim()
                    .parse::<i64>()
                    .ok()
            })
            .context("/proc/meminfo has no MemTotal")?;
        let storage = host::file_systems::usage(root)
            .with_context(|| format!("cannot look at the file system of {}", root.display()))?
            .capacity;
        let system = nix::sys::utsname::uname().context("uname")?;
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let pretty = release
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="))
            .unwrap_or("Linux")
            .trim_matches('"')
            .to_owned();
        let machine_id = read("/etc/machine-id");
        let uuid = read("/sys/class/dmi/id/product_uuid");
        let info = NodeSystemInfo {
            architecture: architecture().to_owned(),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            container_runtime_version: runtime_version,
            kernel_version: system.release().to_string_lossy().into_owned(),
            kube_proxy_version: String::new(),
            kubelet_version: component_config::KUBERNETES_VERSION.to_owned(),
            system_uuid: if uuid.is_empty() { machine_id.clone() } else { uuid },
            machine_id,
            operating_system: "linux".to_owned(),
            os_image: pretty,
            swap: None,
        };
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            cpus,
            memory: total.saturating_mul(1024),
            storage,
            info,
        })
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Host addresses: those given, or the one that a route to elsewhere would use, or the first one there is.
pub fn addresses_of_host(given: &[IpAddr]) -> anyhow::Result<Vec<IpAddr>> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    // Connecting a datagram socket sends nothing; it only asks the routing table.
    let routed = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    if let Ok(address) = routed {
        return Ok(vec![address.ip()]);
    }
    let interfaces = nix::ifaddrs::getifaddrs().context("cannot list network interfaces")?;
    let first = interfaces
        .filter_map(|interface| {
            interface
                .address?
                .as_sockaddr_in()
                .map(|address| IpAddr::V4(address.ip()))
        })
        .find(|address| !address.is_loopback());
    Ok(vec![first.context("this host has no address; use --node-ip")?])
}

/// What is set aside for others than pods, as in the configuration file.
#[derive(Clone, Debug, Default)]
pub struct Reservations {
    pub system: BTreeMap<String, String>,
    pub kube: BTreeMap<String, String>,
    pub eviction_hard: BTreeMap<String, String>,
    pub max_pods: i32,
    pub pods_per_core: i32,
}

/// Capacity and what of it pods can have.
pub fn allocatable(
    facts: &MachineFacts,
    reservations: &Reservations,
) -> (BTreeMap<String, Quantity>, BTreeMap<String, Quantity>) {
    let mut pods = i64::from(reservations.max_pods);
    if reservations.pods_per_core > 0 {
        pods = pods.min(i64::from(reservations.pods_per_core).saturating_mul(facts.cpus as i64));
    }
    let reserved = |name: &str, unit: fn(&Quantity) -> i64| -> i64 {
        [&reservations.system, &reservations.kube]
            .iter()
            .filter_map(|map| map.get(name))
            .map(|text| unit(&Quantity(text.clone())))
            .sum()
    };
    let threshold = |signal: &str, capacity: i64| -> i64 {
        match reservations.eviction_hard.get(signal).map(|text| text.trim()) {
            Some(text) => match text
                .strip_suffix('%')
                .and_then(|percent| percent.parse::<f64>().ok())
            {
                Some(percent) => (capacity as f64 * percent / 100.0) as i64,
                None => parse(text).map_or(0, |value| value as i64),
            },
            None => 0,
        }
    };
    let storage = i64::try_from(facts.storage).unwrap_or(i64::MAX);
    let kibibytes = |bytes: i64| Quantity(format!("{}Ki", bytes / 1024));
    let capacity: BTreeMap<String, Quantity> = [
        ("cpu", Quantity(facts.cpus.to_string())),
        ("memory", kibibytes(facts.memory)),
        ("ephemeral-storage", kibibytes(storage)),
        ("pods", Quantity(pods.to_string())),
    ]
    .map(|(name, quantity)| (name.to_owned(), quantity))
    .into();
    let mut allocatable = capacity.clone();
    let cpu = (facts.cpus as i64 * 1000)
        .saturating_sub(reserved("cpu", milli))
        .max(0);
    let cpu = if cpu % 1000 == 0 {
        (cpu / 1000).to_string()
    } else {
        format!("{cpu}m")
    };
    allocatable.insert("cpu".to_owned(), Quantity(cpu));
    let memory = facts.memory - reserved("memory", bytes) - threshold("memory.available", facts.memory);
    allocatable.insert("memory".to_owned(), kibibytes(memory.max(0)));
    let left = storage - reserved("ephemeral-storage", bytes) - threshold("nodefs.available", storage);
    allocatable.insert("ephemeral-storage".to_owned(), Quantity(left.max(0).to_string()));
    (capacity, allocatable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_not_given_to_pods() {
        let facts = MachineFacts {
            cpus: 4,
            memory: 1 << 30,
            storage: 100 << 30,
            info: NodeSystemInfo::default(),
        };
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let reservations = Reservations {
            system: map(&[("cpu", "500m"), ("memory", "100Mi")]),
            kube: BTreeMap::new(),
            eviction_hard: map(&[("memory.available", "100Mi"), ("nodefs.available", "10%")]),
            max_pods: 110,
            pods_per_core: 10,
        };
        let (capacity, allocatable) = allocatable(&facts, &reservations);
        assert_eq!(capacity["cpu"].0, "4");
        assert_eq!(allocatable["cpu"].0, "3500m");
        assert_eq!(capacity["memory"].0, "1048576Ki");
        assert_eq!(allocatable["memory"].0, "843776Ki");
        assert_eq!(allocatable["ephemeral-storage"].0, (90u64 << 30).to_string());
        assert_eq!(allocatable["pods"].0, "40");
    }
}
