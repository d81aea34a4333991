//! The process that becomes a host: it enters a cgroup and a mount namespace of its own, mounts the host's
//! root there and turns into systemd-nspawn. When it dies, its mounts are gone with it.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::cgroup::{self, Version};
use crate::host;
use crate::state::{HostSpec, Lab};

/// Folders whose content cannot be on an overlay, since containerd puts overlays of its own there.
const PLAIN_FOLDERS: &[&str] = &["/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd"];

/// Does not return when it works.
pub fn run(lab: &Lab, spec: &HostSpec) -> anyhow::Result<()> {
    if spec.hollow {
        return crate::hollow::run(lab, spec);
    }
    let directory = lab.host_directory(spec);
    cgroup::enter(&host::cgroup_name(lab, spec))?;
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("cannot make mounts private")?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lab.base.display(),
        directory.join("upper").display(),
        directory.join("work").display()
    );
    let root = directory.join("root");
    mount(
        Some("overlay"),
        &root,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .with_context(|| format!("cannot mount the root of {}", spec.name))?;
    let mut nspawn = Command::new("systemd-nspawn");
    // A host may set what belongs to its own network namespace, such as net.ipv4.ip_forward.
    nspawn.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network");
    nspawn
        .args([
            "--quiet",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--capability=all",
            "--console=pipe",
        ])
        .args([
            "--system-call-filter=@known",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
        ])
        .arg(format!("--directory={}", root.display()))
        .arg(format!("--machine={}", spec.name))
        .arg(format!(
            "--network-namespace-path=/run/netns/{}",
            lab.namespace(spec)
        ));
    for device in ["/dev/kmsg", "/dev/fuse"] {
        if Path::new(device).exists() {
            nspawn.arg(format!("--bind={device}"));
        }
    }
    for folder in PLAIN_FOLDERS {
        let plain = directory.join("data").join(folder.trim_start_matches('/'));
        nspawn.arg(format!("--bind={}:{folder}", plain.display()));
    }
    if cgroup::version()? == Version::V1 {
        nspawn
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "0")
            .env("SYSTEMD_NSPAWN_USE_CGNS", "1");
        nspawn.args([
            "systemd.unified_cgroup_hierarchy=0",
            "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
        ]);
    }
    Err(nspawn.exec()).context("cannot run systemd-nspawn; apt-get install systemd-container")
}

/// Makes the folders that [`run`] mounts and binds.
pub fn prepare(directory: &Path) -> anyhow::Result<()> {
    for folder in ["upper", "work", "root"] {
        std::fs::create_dir_all(directory.join(folder))?;
    }
    for folder in PLAIN_FOLDERS {
        std::fs::create_dir_all(directory.join("data").join(folder.trim_start_matches('/')))?;
    }
    Ok(())
}
