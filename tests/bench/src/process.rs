//! CPU and memory of a process, from /proc.

use anyhow::{Context, Result};
use std::time::Duration;

/// Clock ticks per second in /proc, the same on every Linux that Rust runs on.
const TICKS: u64 = 100;

/// A process that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Process(u32);

impl Process {
    /// Fails when there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let process = Self(pid);
        process.cpu()?;
        Ok(process)
    }

    fn read(self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        std::fs::read_to_string(&path).with_context(|| format!("read {path}"))
    }

    /// CPU used so far in user and kernel mode, in steps of 10 ms.
    pub fn cpu(self) -> Result<Duration> {
        let stat = self.read("stat")?;
        // The name in parentheses may hold spaces; utime and stime are fields 14 and 15.
        let rest = stat.rsplit_once(')').context("stat without a name")?.1;
        let mut fields = rest.split_ascii_whitespace().skip(11);
        let mut next = || -> Result<u64> { Ok(fields.next().context("short stat")?.parse()?) };
        let ticks = next()? + next()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS))
    }

    /// CPU used so far by the threads that live, exact.
    pub fn exact_cpu(self) -> Result<Duration> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0)).context("threads")?;
        let mut total = 0;
        for task in tasks {
            let path = task?.path().join("schedstat");
            // A thread may end between the two reads.
            let Ok(text) = std::fs::read_to_string(path) else {
                continue;
            };
            total += text.split(' ').next().context("schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(total))
    }

    /// Resident memory in bytes.
    pub fn rss(self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most resident memory so far, since the last [`Process::reset_peak`], in bytes.
    pub fn peak(self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    /// Begins to count the peak anew; without permission the peak of the whole life stays.
    pub fn reset_peak(self) {
        // Only as exact as the permissions allow; the report says what was read.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.0), "5");
    }

    fn memory(self, field: &str) -> Result<u64> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kilobytes = line
            .and_then(|line| line.split_ascii_whitespace().next())
            .context("no memory in status")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }
}
