//! A host's life: created, started, cut from power, asked things.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::process::{Remembered, namespace_init, run};
use crate::state::{HostSpec, Lab};
use crate::{cgroup, launch, network};

const BOOT_TIMEOUT: Duration = Duration::from_secs(60);

pub fn cgroup_name(lab: &Lab, host: &HostSpec) -> String {
    lab.namespace(host)
}

/// Makes the host's disk: name, machine id, SSH host key, and the lab's key as root's.
pub fn create(lab: &Lab, host: &HostSpec) -> anyhow::Result<()> {
    let directory = lab.host_directory(host);
    launch::prepare(&directory).with_context(|| format!("cannot make the folders of {}", host.name))?;
    let upper = directory.join("upper");
    for folder in ["etc/ssh", "root/.ssh"] {
        std::fs::create_dir_all(upper.join(folder))?;
    }
    std::fs::set_permissions(upper.join("root"), PermissionsExt::from_mode(0o700))?;
    std::fs::set_permissions(upper.join("root/.ssh"), PermissionsExt::from_mode(0o700))?;
    std::fs::write(upper.join("etc/hostname"), format!("{}\n", host.name))?;
    std::fs::write(
        upper.join("etc/hosts"),
        format!("127.0.0.1 localhost\n{} {}\n", host.address, host.name),
    )?;
    std::fs::write(
        upper.join("etc/resolv.conf"),
        "# There is no resolver in the lab.\n",
    )?;
    let machine_id = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?
        .trim()
        .replace('-', "");
    std::fs::write(upper.join("etc/machine-id"), format!("{machine_id}\n"))?;
    make_key(&upper.join("etc/ssh/ssh_host_ed25519_key"))?;
    if !lab.ssh_key().exists() {
        make_key(&lab.ssh_key())?;
    }
    let public = std::fs::read_to_string(lab.ssh_key().with_extension("pub"))?;
    std::fs::write(upper.join("root/.ssh/authorized_keys"), public)?;
    Ok(())
}

/// Removes the disk of a host that is off.
pub fn wipe(lab: &Lab, host: &HostSpec) -> anyhow::Result<()> {
    let directory = lab.host_directory(host);
    std::fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))
}

fn make_key(path: &std::path::Path) -> anyhow::Result<()> {
    let path = path.to_string_lossy();
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-C", "hardway-lab", "-f", &path],
    )
    .context("cannot make an SSH key; apt-get install openssh-client")
    .map(|_| ())
}

/// The host's public key as it stands in known_hosts, `ssh-ed25519 AAAA…`.
pub fn public_key(lab: &Lab, host: &HostSpec) -> anyhow::Result<String> {
    let path = lab
        .host_directory(host)
        .join("upper/etc/ssh/ssh_host_ed25519_key.pub");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// Boots the host. Does nothing when it runs.
pub fn start(lab: &Lab, host: &HostSpec) -> anyhow::Result<()> {
    if leader(lab, host).is_some() {
        return Ok(());
    }
    clean_up(lab, host)?;
    network::attach(lab, host)?;
    let directory = lab.host_directory(host);
    let log = std::fs::File::create(directory.join("console.log")).context("cannot make the console log")?;
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command
        .args(["--name", &lab.name, "--directory"])
        .arg(lab.directory.parent().unwrap_or(&lab.directory))
        .args(["internal-launch", &host.name])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C at the terminal is not for the hosts.
        .process_group(0);
    let child = command.spawn().context("cannot start the launcher")?;
    let pid = i32::try_from(child.id()).context("process id")?;
    Remembered::now(pid)
        .context("the launcher ended at once")?
        .save(&directory.join("pid"))
}

/// The process of the host's init, as seen from outside; none when the host is off.
pub fn leader(lab: &Lab, host: &HostSpec) -> Option<i32> {
    let nspawn = Remembered::load(&lab.host_directory(host).join("pid"))?;
    namespace_init(nspawn.pid)
}

/// Power loss: the cable is pulled first, so that the dying kernel sockets say nothing to anyone.
pub fn kill(lab: &Lab, host: &HostSpec) -> anyhow::Result<()> {
    network::unplug(lab, host);
    let file = lab.host_directory(host).join("pid");
    if let Some(nspawn) = Remembered::load(&file) {
        if let Some(init) = namespace_init(nspawn.pid).and_then(Remembered::now) {
            init.kill()?;
        }
        nspawn.kill()?;
    }
    clean_up(lab, host)
}

fn clean_up(lab: &Lab, host: &HostSpec) -> anyhow::Result<()> {
    network::detach(lab, host)?;
    cgroup::remove(&cgroup_name(lab, host))?;
    match std::fs::remove_file(lab.host_directory(host).join("pid")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("cannot remove the pid file")
        }
        _ => Ok(()),
    }
}

/// Waits until the host's sshd says who it is.
pub fn wait_for_ssh(lab: &Lab, host: &HostSpec) -> anyhow::Result<()> {
    let deadline = Instant::now() + BOOT_TIMEOUT;
    let mut last = "not tried".to_owned();
    loop {
        match banner(lab, host) {
            Ok(banner) if banner.starts_with("SSH-2.0") => return Ok(()),
            Ok(other) => last = format!("it said {other:?}"),
            Err(error) => last = error.to_string().lines().next().unwrap_or(&last).to_owned(),
        }
        if leader(lab, host).is_none() && Remembered::load(&lab.host_directory(host).join("pid")).is_none() {
            let log =
                std::fs::read_to_string(lab.host_directory(host).join("console.log")).unwrap_or_default();
            anyhow::bail!(
                "host {} ended while booting: {}",
                host.name,
                log.lines().last().unwrap_or("no log")
            );
        }
        if Instant::now() > deadline {
            anyhow::bail!(
                "host {} does not answer SSH after {BOOT_TIMEOUT:?}: {last}",
                host.name
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The first line that port 22 sends, asked from within the lab's network.
fn banner(lab: &Lab, host: &HostSpec) -> anyhow::Result<String> {
    use nix::sched::{CloneFlags, setns};
    let namespace = std::fs::File::open(format!("/run/netns/{}", lab.outer_namespace()))?;
    let address: std::net::SocketAddr = format!("{}:22", host.address).parse()?;
    // A thread of its own, since the network namespace belongs to the thread.
    let asked = std::thread::spawn(move || -> anyhow::Result<String> {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        let stream = TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    });
    asked.join().map_err(|_| anyhow::anyhow!("the probe panicked"))?
}

/// Runs a command inside the host, with this process's standard streams.
pub fn exec(lab: &Lab, host: &HostSpec, command: &[String]) -> anyhow::Result<ExitCode> {
    let status = inside(lab, host)?
        .args(command)
        .status()
        .context("cannot run nsenter")?;
    Ok(crate::commands::exit_code(status))
}

/// Puts an image archive into the host's containerd.
pub fn load_image(lab: &Lab, host: &HostSpec, archive: &[u8]) -> anyhow::Result<()> {
    let mut child = inside(lab, host)?
        .args(["ctr", "-n", "k8s.io", "images", "import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run nsenter")?;
    let written = child
        .stdin
        .take()
        .context("no standard input")?
        .write_all(archive);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        anyhow::bail!(
            "ctr on {} failed: {}",
            host.name,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    written.with_context(|| format!("cannot send the image to {}", host.name))
}

/// A command that runs inside the host; its program and arguments are still to be added.
fn inside(lab: &Lab, host: &HostSpec) -> anyhow::Result<Command> {
    let leader = leader(lab, host).with_context(|| {
        format!(
            "host {} is off; hardway-lab --name {} start {}",
            host.name, lab.name, host.name
        )
    })?;
    let mut command = Command::new("nsenter");
    command
        .args([
            "--target",
            &leader.to_string(),
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
            "--wdns=/root",
            "--",
        ])
        .args([
            "/usr/bin/env",
            "-i",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "TERM=dumb",
        ]);
    Ok(command)
}
