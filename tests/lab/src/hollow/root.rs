//! The process that becomes a hollow host: namespaces, a root in memory over the image, then process 1.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::{init, layer};
use crate::state::{HostSpec, Lab};

const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
const NONE: Option<&str> = None;

/// Stays as the parent of process 1 and returns when that is gone.
pub fn run(lab: &Lab, spec: &HostSpec) -> anyhow::Result<()> {
    let network = std::fs::File::open(format!("/run/netns/{}", lab.namespace(spec)))?;
    setns(&network, CloneFlags::CLONE_NEWNET).context("cannot enter the network namespace")?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)
        .context("cannot make namespaces")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .context("cannot make mounts private")?;
    nix::unistd::sethostname(&spec.name).context("cannot set the host's name")?;
    let root = build(lab, spec)?;
    // The next child is process 1.
    unshare(CloneFlags::CLONE_NEWPID).context("cannot make a process namespace")?;
    let status = Command::new("/proc/self/exe")
        .arg0("hollow-root")
        .arg(&root)
        .status()
        .context("cannot start process 1")?;
    anyhow::bail!("process 1 ended: {status}")
}

/// Process 1 moves into its root and becomes the host's init. Does not return when it works.
pub fn enter(root: &Path) -> anyhow::Result<()> {
    // proc shows the PID namespace of who mounts it.
    mount(
        Some("proc"),
        &root.join("proc"),
        Some("proc"),
        MsFlags::empty(),
        NONE,
    )
    .context("cannot mount /proc")?;
    kernel_settings(root).context("cannot protect /proc/sys")?;
    nix::unistd::chroot(root).context("cannot change the root")?;
    std::env::set_current_dir("/")?;
    let error = Command::new(Path::new("/").join(init::PROGRAM))
        .arg0("systemd")
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .exec();
    Err(error).context("cannot run the host's init")
}

/// A host may set what belongs to its network; the rest of the kernel is the machine's.
fn kernel_settings(root: &Path) -> std::io::Result<()> {
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    let (all, network) = (root.join("proc/sys"), root.join("proc/sys/net"));
    mount(Some(&all), &all, NONE, bind, NONE)?;
    mount(Some(&network), &network, NONE, bind, NONE)?;
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(NONE, &all, NONE, read_only, NONE)?;
    Ok(())
}

fn build(lab: &Lab, spec: &HostSpec) -> anyhow::Result<std::path::PathBuf> {
    let directory = lab.host_directory(spec);
    let (disk, root) = (directory.join("disk"), directory.join("root"));
    std::fs::create_dir_all(&disk)?;
    let memory = |at: &Path, options: &str| {
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(options))
            .with_context(|| format!("cannot mount {}", at.display()))
    };
    memory(&disk, "size=2g,mode=755")?;
    for folder in ["upper", "work"] {
        std::fs::create_dir(disk.join(folder))?;
    }
    crate::process::run(
        "cp",
        &[
            "-a",
            &format!("{}/.", directory.join("upper").display()),
            &disk.join("upper").to_string_lossy(),
        ],
    )?;
    let options = format!(
        "lowerdir={}:{},upperdir={},workdir={}",
        layer(lab).display(),
        lab.base.display(),
        disk.join("upper").display(),
        disk.join("work").display()
    );
    mount(
        Some("overlay"),
        &root,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .with_context(|| format!("cannot mount the root of {}", spec.name))?;
    let read_only = MsFlags::MS_RDONLY;
    mount(Some("sysfs"), &root.join("sys"), Some("sysfs"), read_only, NONE).context("cannot mount /sys")?;
    memory(&root.join("run"), "size=64m,mode=755")?;
    memory(&root.join("dev"), "size=1m,mode=755")?;
    for device in DEVICES {
        let (from, to) = (Path::new("/dev").join(device), root.join("dev").join(device));
        std::fs::write(&to, "")?;
        mount(Some(&from), &to, NONE, MsFlags::MS_BIND, NONE)
            .with_context(|| format!("cannot bind {}", from.display()))?;
    }
    std::os::unix::fs::symlink("/proc/self/fd", root.join("dev/fd"))?;
    for folder in ["run/sshd", "run/systemd", "run/lock"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    // Its kernel belongs to another machine.
    std::fs::write(root.join("run/systemd/container"), "systemd-nspawn\n")?;
    Ok(root)
}
