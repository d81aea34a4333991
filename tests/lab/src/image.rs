//! The root file system below all hosts: Debian trixie with the packages that a plain host would have,
//! made once by debootstrap and kept under a name that changes with what goes into it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};

const SUITE: &str = "trixie";
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "iproute2",
    "iptables",
    "nftables",
    "kmod",
    "procps",
    "ca-certificates",
    "curl",
    "conntrack",
    "socat",
    "containerd",
    "runc",
    "containernetworking-plugins",
    "etcd-server",
    "etcd-client",
    "haproxy",
];

/// Units of the image that a host must not start by itself.
const DISABLED_UNITS: &[&str] = &[
    "etcd.service",
    "containerd.service",
    "haproxy.service",
    "nftables.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
];

/// Packages that hosts without anything lack.
const NOT_BARE: &[&str] = &[
    "iptables",
    "nftables",
    "curl",
    "conntrack",
    "socat",
    "containerd",
    "runc",
    "containernetworking-plugins",
    "etcd-server",
    "etcd-client",
    "haproxy",
];

/// What is installed on the hosts of a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Everything that a bootstrap asks for.
    Plain,
    /// Debian and sshd, and nowhere to get packages from.
    Bare,
}

impl Flavour {
    fn packages(self) -> impl Iterator<Item = &'static str> {
        let all = PACKAGES.iter().copied();
        all.filter(move |package| self == Flavour::Plain || !NOT_BARE.contains(package))
    }

    fn disabled_units(self) -> impl Iterator<Item = &'static str> {
        let all = DISABLED_UNITS.iter().copied();
        all.filter(move |unit| self == Flavour::Plain || unit.ends_with(".timer"))
    }

    fn prefix(self) -> &'static str {
        match self {
            Flavour::Plain => "base-",
            Flavour::Bare => "bare-",
        }
    }
}

/// Makes mounts behave inside the container as on a machine: systemd-nspawn mounts cgroup v1 controllers
/// read-only, and everything private, while containers need their own groups and shared mounts.
const MOUNTS_UNIT: &str = "\
[Unit]
Description=Mounts as on a real machine
DefaultDependencies=no
Before=sysinit.target systemd-tmpfiles-setup.service
After=local-fs-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for c in /sys/fs/cgroup/*/; do mountpoint -q \"$c\" && mount -o remount,bind,rw \"$c\"; done; mount --make-rshared /'

[Install]
WantedBy=sysinit.target
";

/// The image's path; makes it if it is not there. Several labs may ask at once.
pub fn ensure(cache: &Path, flavour: Flavour) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let image = cache.join(format!("{}{}", flavour.prefix(), fingerprint(flavour)));
    let lock = std::fs::File::create(cache.join("lock")).context("cannot make the cache's lock")?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, error)| anyhow::anyhow!("cannot lock the image cache: {error}"))?;
    if image.join(".complete").exists() {
        return Ok(image);
    }
    for entry in std::fs::read_dir(cache)?.flatten() {
        // Half-made images, and those of earlier versions of this program.
        if entry.file_name().to_string_lossy().starts_with(flavour.prefix()) {
            std::fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    make(&image, flavour)?;
    std::fs::write(image.join(".complete"), "").context("cannot finish the image")?;
    Ok(image)
}

fn fingerprint(flavour: Flavour) -> String {
    let mut hash = Sha256::new();
    hash.update(SUITE);
    for part in flavour
        .packages()
        .chain(flavour.disabled_units())
        .chain([MOUNTS_UNIT])
    {
        hash.update([0]);
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..6])
}

fn make(image: &Path, flavour: Flavour) -> anyhow::Result<()> {
    eprintln!("hardway-lab: making the {SUITE} image (once, about a minute)");
    let output = Command::new("debootstrap")
        .args([
            "--variant=minbase",
            &format!("--include={}", flavour.packages().collect::<Vec<_>>().join(",")),
            SUITE,
        ])
        .arg(image)
        .arg(provisioner::bundle::debian_mirror()?)
        .output()
        .context("cannot run debootstrap; apt-get install debootstrap")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        let tail: Vec<&str> = said.lines().rev().take(8).collect();
        anyhow::bail!(
            "debootstrap failed: {}",
            tail.into_iter().rev().collect::<Vec<_>>().join("\n")
        );
    }
    let write = |path: &str, text: &str| {
        let path = image.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("etc/systemd/system/lab-mounts.service", MOUNTS_UNIT)?;
    // Key login only, and no name look-ups: there is no resolver in the lab.
    write(
        "etc/ssh/sshd_config.d/lab.conf",
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\nMaxStartups 100\nMaxSessions 100\n",
    )?;
    write(
        "etc/systemd/journald.conf.d/lab.conf",
        "[Journal]\nRateLimitIntervalSec=0\nSystemMaxUse=200M\nStorage=persistent\n",
    )?;
    let chroot = |arguments: &[&str]| {
        let image = image.to_string_lossy().into_owned();
        let mut all = vec![image.as_str()];
        all.extend(arguments);
        crate::process::run("chroot", &all)
    };
    chroot(&["systemctl", "enable", "lab-mounts.service", "ssh.service"])?;
    for unit in flavour.disabled_units() {
        chroot(&["systemctl", "disable", unit])?;
    }
    if flavour == Flavour::Bare {
        write("etc/apt/sources.list", "")?;
    }
    // What debootstrap leaves behind, and what must differ between hosts.
    for path in ["etc/machine-id", "var/lib/dbus/machine-id", "etc/hostname"] {
        let _ = std::fs::remove_file(image.join(path));
    }
    for folder in ["etc/ssh", "var/cache/apt/archives"] {
        for entry in std::fs::read_dir(image.join(folder))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("ssh_host_") || name.ends_with(".deb") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
    for folder in ["var/lib/etcd", "var/lib/containerd", "var/lib/apt/lists"] {
        let _ = std::fs::remove_dir_all(image.join(folder));
    }
    Ok(())
}
