//! Everything that can be checked before a host is changed; all hosts' problems are told at once. No I/O.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use crate::facts::Facts;
use crate::inventory::{Host, Inventory, Role};
use crate::plan::HostPlan;

/// A problem that stops a bootstrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub host: String,
    pub text: String,
}

/// Certificates are backdated by five minutes; etcd and leases want far less difference.
const CLOCK_SKEW_SECONDS: f64 = 5.0;
/// Facts of different hosts are read within this time of each other.
const READING_SECONDS: f64 = 2.0;
const NODE_MEMORY_KB: u64 = 700_000;
const CONTROL_PLANE_MEMORY_KB: u64 = 900_000;
const DISK_KB: u64 = 1_000_000;

/// Checks all hosts; `skew` is each host's clock minus the operator's, in seconds.
pub fn check(
    inventory: &Inventory,
    facts: &BTreeMap<String, Facts>,
    plans: &BTreeMap<String, HostPlan>,
    skew: &BTreeMap<String, f64>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for host in &inventory.hosts {
        let Some(found) = facts.get(&host.name) else {
            continue;
        };
        let mut report = |text: String| {
            findings.push(Finding {
                host: host.name.clone(),
                text,
            })
        };
        access(host, found, &mut report);
        resources(host, found, plans.get(&host.name), &mut report);
        tools(inventory, host, found, &mut report);
        ports(inventory, host, found, &mut report);
        network(inventory, host, found, &mut report);
    }
    between_hosts(inventory, facts, skew, &mut findings);
    findings
}

fn access(host: &Host, facts: &Facts, report: &mut dyn FnMut(String)) {
    if facts.uid != 0 {
        let remedy = if host.ssh.sudo {
            "allow it with NOPASSWD in sudoers"
        } else {
            "set ssh.sudo = true"
        };
        report(format!(
            "commands run as uid {}, not as root; {remedy}",
            facts.uid
        ));
    }
    if facts.init != "systemd" {
        report(format!(
            "process 1 is {:?}; a host with systemd is needed",
            facts.init
        ));
    }
    let family = facts.os.split(' ').next().unwrap_or_default();
    if family.is_empty() {
        report("has no /etc/os-release; a Linux distribution with systemd is needed".to_owned());
    }
    if facts.architecture != std::env::consts::ARCH {
        report(format!(
            "has architecture {}, the release is for {}; use binaries built for it",
            facts.architecture,
            std::env::consts::ARCH
        ));
    }
}

fn resources(host: &Host, facts: &Facts, plan: Option<&HostPlan>, report: &mut dyn FnMut(String)) {
    if facts.cpus == 0 {
        report("has no CPU that can be counted".to_owned());
    }
    let wanted = if host.has(Role::ControlPlane) {
        CONTROL_PLANE_MEMORY_KB
    } else {
        NODE_MEMORY_KB
    };
    if host.is_node() && facts.memory_kb < wanted {
        report(format!(
            "has {} MB of memory, needs {}",
            facts.memory_kb / 1024,
            wanted / 1024
        ));
    }
    // Every file is written once beside its place, and the old release stays.
    let pushed = plan.map_or(0, |plan| plan.pushes.iter().map(|push| push.size).sum::<u64>()) / 1024;
    let wanted = pushed * 2 + 50_000;
    if pushed > 0 && facts.disk_opt_kb < wanted {
        report(format!(
            "has {} MB of disk free for /opt/hardway, the push needs {}; make room",
            facts.disk_opt_kb / 1024,
            wanted / 1024
        ));
    }
    if facts.generation.is_empty() && facts.disk_var_kb < DISK_KB {
        report(format!(
            "has {} MB of disk free for /var/lib, needs {}; make room",
            facts.disk_var_kb / 1024,
            DISK_KB / 1024
        ));
    }
}

/// Programs that a host needs for its roles, each with the Debian package that brings it.
pub fn tools_of(inventory: &Inventory, host: &Host, facts: &Facts) -> Vec<(&'static str, &'static str)> {
    let mut wanted = vec![
        ("tar", "tar"),
        ("gzip", "gzip"),
        ("sha256sum", "coreutils"),
        ("systemctl", "systemd"),
        ("useradd", "passwd"),
        ("ip", "iproute2"),
        ("ss", "iproute2"),
    ];
    if host.is_node() {
        wanted.extend([
            ("containerd", "containerd"),
            ("ctr", "containerd"),
            ("runc", "runc"),
            ("mount", "mount"),
            ("sysctl", "procps"),
            ("modprobe", "kmod"),
        ]);
        match inventory.cluster.proxy_mode {
            crate::inventory::ProxyMode::Iptables => wanted.push(("iptables", "iptables")),
            crate::inventory::ProxyMode::Nftables => wanted.push(("nft", "nftables")),
        }
    }
    if inventory.runs_etcd(host) && facts.release.is_empty() {
        wanted.push(("etcd", "etcd-server"));
    }
    if host.has(Role::LoadBalancer) {
        wanted.push(("haproxy", "haproxy"));
    }
    wanted
}

fn tools(inventory: &Inventory, host: &Host, facts: &Facts, report: &mut dyn FnMut(String)) {
    let wanted = tools_of(inventory, host, facts);
    let missing: Vec<String> = wanted
        .iter()
        .filter(|(tool, _)| facts.tool(tool).is_none())
        .map(|(tool, package)| format!("{tool} (package {package})"))
        .collect();
    if !missing.is_empty() {
        report(format!(
            "lacks {}; install them, or bootstrap with --bundle FILE, which brings them",
            missing.join(", ")
        ));
    }
    if !host.is_node() {
        return;
    }
    if facts.cni_bin.is_none() {
        report(
            "lacks the CNI plugins bridge, host-local and loopback; install the package containernetworking-plugins"
                .to_owned(),
        );
    }
    if facts.tool("containerd").is_some() && !supported_containerd(&facts.containerd_version) {
        report(format!(
            "has containerd {}; 1.7 or newer is needed",
            facts.containerd_version
        ));
    }
    if !facts.overlay {
        report("has a kernel without overlayfs; load the module overlay".to_owned());
    }
}

fn supported_containerd(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split(['.', '-', '~', '+']);
    let mut number = || {
        parts
            .next()
            .and_then(|part| part.parse::<u32>().ok())
            .unwrap_or_default()
    };
    (number(), number()) >= (1, 7)
}

/// A port is free, or held by the daemon that it is for.
fn ports(inventory: &Inventory, host: &Host, facts: &Facts, report: &mut dyn FnMut(String)) {
    for port in crate::ports::ports(inventory, host) {
        let listener = facts
            .listening
            .iter()
            .find(|listener| listener.port == port.number);
        if let Some(process) = listener.and_then(|listener| port.stranger(listener)) {
            report(format!(
                "port {} is taken by {process}; {} needs it: stop that service",
                port.number, port.daemon
            ));
        }
    }
}

fn network(inventory: &Inventory, host: &Host, facts: &Facts, report: &mut dyn FnMut(String)) {
    let address = host.address.to_string();
    if !facts
        .addresses
        .iter()
        .any(|found| found.split('/').next() == Some(address.as_str()))
    {
        report(format!(
            "has no interface with {address}, only {}; use the address that the host itself has",
            facts.addresses.join(", ")
        ));
    }
    let installed = !facts.generation.is_empty();
    for (name, range) in [
        ("pod_cidr", inventory.cluster.pod_cidr),
        ("service_cidr", inventory.cluster.service_cidr),
    ] {
        for found in &facts.addresses {
            let Ok(net) = found.parse::<Ipv4Net>() else {
                continue;
            };
            // Once bootstrapped, the bridge of the pods lies inside pod_cidr as it should.
            let overlaps = range.contains(&net.addr()) || net.trunc().contains(&range.network());
            if overlaps && !installed && net.prefix_len() > 0 {
                report(format!(
                    "its network {} overlaps with {name} {range}; choose another range",
                    net.trunc()
                ));
            }
        }
    }
}

fn between_hosts(
    inventory: &Inventory,
    facts: &BTreeMap<String, Facts>,
    skew: &BTreeMap<String, f64>,
    findings: &mut Vec<Finding>,
) {
    let mut machine_ids: BTreeMap<&str, &str> = BTreeMap::new();
    for host in &inventory.hosts {
        let Some(found) = facts.get(&host.name) else {
            continue;
        };
        if found.machine_id.is_empty() {
            continue;
        }
        if let Some(first) = machine_ids.insert(&found.machine_id, &host.name) {
            findings.push(Finding {
                host: host.name.clone(),
                text: format!(
                    "has the same machine id as {first}; give it its own: rm /etc/machine-id, systemd-machine-id-setup, \
                     reboot"
                ),
            });
        }
    }
    let mut ordered: Vec<(&str, f64)> = skew.iter().map(|(host, skew)| (host.as_str(), *skew)).collect();
    ordered.sort_by(|a, b| a.1.total_cmp(&b.1));
    if let (Some(slow), Some(fast)) = (ordered.first(), ordered.last())
        && fast.1 - slow.1 > CLOCK_SKEW_SECONDS + READING_SECONDS
    {
        findings.push(Finding {
            host: fast.0.to_owned(),
            text: format!(
                "its clock is {:.0} s ahead of {}; set up NTP on both",
                fast.1 - slow.1,
                slow.0
            ),
        });
    }
}

#[cfg(test)]
mod tests;
