//! The inventory of the lab's hosts, as `hardway` reads it.

use std::fmt::Write as _;

use anyhow::Context as _;

use crate::host;
use crate::state::Lab;

/// Writes `hosts.toml` with addresses, roles and pinned host keys.
pub fn write(lab: &Lab) -> anyhow::Result<()> {
    let keys = lab
        .hosts
        .iter()
        .map(|spec| host::public_key(lab, spec))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let path = lab.inventory();
    std::fs::write(&path, render(lab, &keys)).with_context(|| format!("cannot write {}", path.display()))
}

/// Replaces one pinned host key; everything else in the file stays as it is.
pub fn repin(lab: &Lab, before: &str, after: &str) -> anyhow::Result<()> {
    let path = lab.inventory();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    std::fs::write(&path, text.replace(before, after))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn render(lab: &Lab, keys: &[String]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "# Written by hardway-lab for the lab {:?}.\n\n[cluster]\nname = {:?}",
        lab.name, lab.name
    );
    text.push_str("pod_cidr = \"10.200.0.0/16\"\nservice_cidr = \"10.32.0.0/24\"\n");
    text.push_str("cluster_domain = \"cluster.local\"\ndns_ip = \"10.32.0.10\"\n");
    let _ = writeln!(
        text,
        "\n[ssh]\nuser = \"root\"\nkey = {:?}",
        lab.ssh_key().display().to_string()
    );
    if let Some(binaries) = &lab.binaries {
        let _ = writeln!(
            text,
            "\n[release]\nbinaries = {:?}",
            binaries.display().to_string()
        );
    }
    for (spec, key) in lab.hosts.iter().zip(keys) {
        let _ = writeln!(
            text,
            "\n[[hosts]]\nname = {:?}\naddress = {:?}\nroles = {:?}\nhost_key = {key:?}",
            spec.name, spec.address, spec.roles
        );
    }
    text
}
