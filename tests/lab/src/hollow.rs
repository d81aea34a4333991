//! Hollow hosts: cheap enough for a hundred on one machine, real enough for the provisioner.
//!
//! Real in them: the network, PID, mount and UTS namespaces, the root file system, sshd, the shell, coreutils, users and
//! kernel settings of the network, so that facts, uploads, hash checks and switches do what they do anywhere. Hollow:
//! process 1 ([`init`]) only reaps, and `systemctl`, `ctr` and `journalctl` ([`tools`]) write down what they are asked.
//! A unit that is started becomes a process that listens on the unit's ports and does nothing else. A hollow host's disk
//! is memory: it is empty again after a power loss.

pub mod init;
mod listener;
mod record;
mod root;
pub mod tools;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use provisioner::inventory::Inventory;
use provisioner::ports::ports;

use crate::state::Lab;

pub use root::run;

/// This program under the names that a hollow host knows it by.
const NAMES: &[&str] = &[
    "usr/bin/systemctl",
    "usr/bin/ctr",
    "usr/bin/journalctl",
    init::PROGRAM,
];

fn layer(lab: &Lab) -> PathBuf {
    lab.directory.join("hollow")
}

/// Makes the layer between the image and the hosts' own files.
pub fn prepare(lab: &Lab) -> anyhow::Result<()> {
    let layer = layer(lab);
    let own = std::env::current_exe().context("cannot find this program")?;
    let mut first: Option<PathBuf> = None;
    for name in NAMES {
        let path = layer.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&layer))?;
        match &first {
            None => {
                std::fs::copy(&own, &path).with_context(|| format!("cannot make {}", path.display()))?;
                first = Some(path);
            }
            Some(first) => std::fs::hard_link(first, &path)?,
        }
    }
    Ok(())
}

/// Tells each hollow host which unit listens where. Needs the inventory.
pub fn write_ports(lab: &Lab) -> anyhow::Result<()> {
    let inventory = Inventory::load(&lab.inventory())?;
    for host in &inventory.hosts {
        let spec = lab.host(&host.name)?;
        if !spec.hollow {
            continue;
        }
        let lines: String = ports(&inventory, host)
            .iter()
            .map(|port| format!("{} {}\n", port.unit(), port.number))
            .collect();
        let path = lab
            .host_directory(spec)
            .join("upper")
            .join(record::PORTS.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        std::fs::write(&path, lines).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What the tools of a running hollow host were asked, one call a line.
pub fn calls(root: &Path) -> Vec<String> {
    std::fs::read_to_string(root.join(record::CALLS.trim_start_matches('/')))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}
