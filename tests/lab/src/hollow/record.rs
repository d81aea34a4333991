//! What a hollow host remembers: calls of its tools, and the units that "run".

use std::io::Write as _;
use std::path::PathBuf;

pub const CALLS: &str = "/var/lib/hollow/calls";
pub const IMAGES: &str = "/var/lib/hollow/images";
pub const PORTS: &str = "/var/lib/hollow/ports";
const UNITS: &str = "/run/hollow/units";

/// Appends a line; lines of calls at the same time do not mix.
pub fn append(path: &str, line: &str) -> std::io::Result<()> {
    std::fs::create_dir_all("/var/lib/hollow")?;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?
        .write_all(format!("{line}\n").as_bytes())
}

fn pid_file(unit: &str) -> PathBuf {
    PathBuf::from(UNITS).join(unit)
}

/// The process that stands for a unit; 0 when it does not run.
pub fn pid(unit: &str) -> i32 {
    let pid = std::fs::read_to_string(pid_file(unit))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or_default();
    let alive = pid > 0 && PathBuf::from(format!("/proc/{pid}")).exists();
    if alive { pid } else { 0 }
}

pub fn remember(unit: &str, pid: u32) -> std::io::Result<()> {
    std::fs::create_dir_all(UNITS)?;
    std::fs::write(pid_file(unit), pid.to_string())
}

pub fn forget(unit: &str) {
    // It may never have run.
    let _ = std::fs::remove_file(pid_file(unit));
}

/// The ports of a unit.
pub fn ports(unit: &str) -> Vec<u16> {
    std::fs::read_to_string(PORTS)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| *name == unit)
        .filter_map(|(_, port)| port.parse().ok())
        .collect()
}
