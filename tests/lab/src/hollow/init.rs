//! Process 1 of a hollow host: starts sshd and reaps. It is called `systemd`, which is what the provisioner looks for.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use nix::sys::wait::waitpid;

/// Relative to the host's root; the file's name becomes the process's.
pub const PROGRAM: &str = "usr/lib/hollow/systemd";

/// Does not return while the host lives.
pub fn main() -> anyhow::Result<ExitCode> {
    // Without PAM a login runs no scripts of the distribution; its cost is not what is measured here.
    Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-o", "UsePAM=no"])
        .stdin(Stdio::null())
        .spawn()
        .context("cannot run sshd")?;
    loop {
        // Ended when sshd and everything it started is gone; sshd does not end by itself.
        if waitpid(None, None) == Err(nix::errno::Errno::ECHILD) {
            return Ok(ExitCode::FAILURE);
        }
    }
}
