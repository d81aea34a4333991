//! A unit of a hollow host that runs: its name, its environment, its ports, nothing else.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;

use super::record;

/// Starts a unit's process and waits until it listens.
pub fn start(unit: &str, environment: &[(String, String)]) -> anyhow::Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .arg0("hollow-unit")
        .arg(unit)
        .env_clear()
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {unit}"))?;
    let mut said = [0u8; 1];
    let ready = child.stdout.take().map(|mut out| out.read(&mut said));
    anyhow::ensure!(
        matches!(ready, Some(Ok(1))),
        "{unit} does not listen on {:?}; is a port taken?",
        record::ports(unit)
    );
    record::remember(unit, child.id())?;
    Ok(())
}

/// The process itself; ends by a signal.
pub fn main(unit: &str) -> anyhow::Result<ExitCode> {
    // As `ss` shows it.
    std::fs::write("/proc/self/comm", unit.trim_end_matches(".service"))?;
    let listeners = record::ports(unit)
        .iter()
        .map(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)))
        .collect::<Result<Vec<_>, _>>()?;
    println!();
    loop {
        std::thread::park();
        // A park may end by itself; the ports stay open.
        std::hint::black_box(&listeners);
    }
}
