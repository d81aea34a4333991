//! Running commands, and processes that are remembered across runs of this program.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Runs a command and returns its output; a failure carries what it said.
pub fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::bail!(
            "{program} {} failed ({}): {}",
            arguments.join(" "),
            output.status,
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A process as a file remembers it. Its start time tells it from another one that got its number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub pid: i32,
    started: u64,
}

impl Remembered {
    pub fn now(pid: i32) -> Option<Self> {
        Some(Self {
            pid,
            started: start_time(pid)?,
        })
    }

    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, format!("{} {}\n", self.pid, self.started))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The process that the file names, if it still runs.
    pub fn load(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let remembered = Self {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        };
        (start_time(remembered.pid) == Some(remembered.started)).then_some(remembered)
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&self) -> anyhow::Result<()> {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while start_time(self.pid) == Some(self.started) {
            match kill(Pid::from_raw(self.pid), Signal::SIGKILL) {
                Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
                Err(error) => anyhow::bail!("cannot kill process {}: {error}", self.pid),
            }
            if is_zombie(self.pid) {
                return Ok(());
            }
            if std::time::Instant::now() > deadline {
                anyhow::bail!("process {} does not die", self.pid);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Ok(())
    }
}

/// The fields of stat(5) after the command name, which may hold spaces and parentheses.
fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn start_time(pid: i32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

fn is_zombie(pid: i32) -> bool {
    stat(pid)
        .and_then(|fields| fields.first().cloned())
        .is_some_and(|state| state == "Z")
}

/// The child of `parent` that is the first process of its PID namespace.
pub fn namespace_init(parent: i32) -> Option<i32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children
        .split_whitespace()
        .filter_map(|pid| pid.parse::<i32>().ok())
        .find(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| {
                status
                    .lines()
                    .find_map(|line| line.strip_prefix("NSpid:"))
                    .is_some_and(|numbers| {
                        numbers.split_whitespace().count() > 1 && numbers.trim_end().ends_with("\t1")
                    })
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_process_is_known_by_its_start() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("pid");
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep runs");
        let remembered = Remembered::now(i32::try_from(child.id()).expect("pid")).expect("it runs");
        remembered.save(&path).expect("saved");
        assert_eq!(Remembered::load(&path), Some(remembered));
        remembered.kill().expect("killed");
        child.wait().expect("reaped");
        assert_eq!(Remembered::load(&path), None);
    }
}
