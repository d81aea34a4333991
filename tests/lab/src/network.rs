//! The hosts' network: an outer namespace with two bridges and no uplink, and a namespace per host.
//!
//! The second bridge is where partitioned hosts are: they see each other and nobody else.

use anyhow::Context as _;

use crate::process::run;
use crate::state::{HostSpec, Lab};

const BRIDGE: &str = "br0";
const APART: &str = "br1";

/// The address of this machine inside the lab's network.
pub fn gateway(lab: &Lab) -> String {
    format!("{}.1", lab.network)
}

fn ip(arguments: &str) -> anyhow::Result<String> {
    run("ip", &arguments.split_whitespace().collect::<Vec<_>>())
}

pub fn create(lab: &Lab) -> anyhow::Result<()> {
    let outer = lab.outer_namespace();
    ip(&format!("netns add {outer}")).context("cannot make the outer network namespace")?;
    ip(&format!("-n {outer} link set lo up"))?;
    for bridge in [BRIDGE, APART] {
        ip(&format!(
            "-n {outer} link add {bridge} type bridge forward_delay 0"
        ))?;
        ip(&format!("-n {outer} link set {bridge} up"))?;
    }
    ip(&format!(
        "-n {outer} address add {}/24 dev {BRIDGE}",
        gateway(lab)
    ))?;
    Ok(())
}

/// A fresh namespace for a host, as after switching it on: an address and nothing else.
pub fn attach(lab: &Lab, host: &HostSpec) -> anyhow::Result<()> {
    let (outer, inner) = (lab.outer_namespace(), lab.namespace(host));
    detach(lab, host)?;
    ip(&format!("netns add {inner}"))?;
    let port = port(host);
    ip(&format!(
        "-n {outer} link add {port} type veth peer name eth0 netns {inner}"
    ))?;
    ip(&format!("-n {outer} link set {port} master {BRIDGE} up"))?;
    ip(&format!("-n {inner} link set lo up"))?;
    ip(&format!("-n {inner} address add {}/24 dev eth0", host.address))?;
    ip(&format!("-n {inner} link set eth0 up"))?;
    ip(&format!("-n {inner} route add default via {}", gateway(lab)))?;
    Ok(())
}

/// Pulls the cable, then removes the namespace if there is one.
pub fn detach(lab: &Lab, host: &HostSpec) -> anyhow::Result<()> {
    unplug(lab, host);
    let inner = lab.namespace(host);
    if std::path::Path::new("/run/netns").join(&inner).exists() {
        ip(&format!("netns delete {inner}"))?;
    }
    Ok(())
}

/// From now on no packet leaves the host. It may have been unplugged before.
pub fn unplug(lab: &Lab, host: &HostSpec) {
    let _ = ip(&format!(
        "-n {} link delete {}",
        lab.outer_namespace(),
        port(host)
    ));
}

pub fn partition(lab: &Lab, host: &HostSpec) -> anyhow::Result<()> {
    ip(&format!(
        "-n {} link set {} master {APART}",
        lab.outer_namespace(),
        port(host)
    ))
    .map(|_| ())
}

pub fn heal(lab: &Lab) -> anyhow::Result<()> {
    for host in &lab.hosts {
        // A host that is switched off has no port.
        let _ = ip(&format!(
            "-n {} link set {} master {BRIDGE}",
            lab.outer_namespace(),
            port(host)
        ));
    }
    Ok(())
}

pub fn remove(lab: &Lab) -> anyhow::Result<()> {
    for host in &lab.hosts {
        detach(lab, host)?;
    }
    let outer = lab.outer_namespace();
    if std::path::Path::new("/run/netns").join(&outer).exists() {
        ip(&format!("netns delete {outer}"))?;
    }
    Ok(())
}

fn port(host: &HostSpec) -> String {
    format!("port{}", host.index)
}
