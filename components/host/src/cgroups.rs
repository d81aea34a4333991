//! Control groups, version 1 and 2.

use std::io;
use std::path::{Path, PathBuf};

/// Which hierarchy the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// The mounted hierarchies.
#[derive(Clone, Debug)]
pub struct Cgroups {
    root: PathBuf,
    version: Version,
}

/// Controllers of version 1 in which pods get groups.
const CONTROLLERS_V1: [&str; 8] = [
    "cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer",
];

/// Limits of one group. None leaves what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub cpu_shares: Option<i64>,
    /// Microseconds per `cpu_period`; -1 is no limit.
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<i64>,
    /// Bytes; -1 is no limit.
    pub memory: Option<i64>,
    pub pids: Option<i64>,
}

/// What a group has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub cpu_nanoseconds: u64,
    pub memory_bytes: u64,
    pub working_set_bytes: u64,
    pub rss_bytes: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    /// None when swapping is not accounted for.
    pub swap_bytes: Option<u64>,
}

impl Cgroups {
    /// Finds out which version is mounted at `root`, usually `/sys/fs/cgroup`.
    pub fn open(root: &Path) -> Self {
        let version = if root.join("cgroup.controllers").exists() {
            Version::V2
        } else {
            Version::V1
        };
        Self {
            root: root.to_owned(),
            version,
        }
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether groups can be kept from swapping (version 2; the root group itself has no limits).
    pub fn controls_swap(&self) -> bool {
        subdirectories(&self.root)
            .iter()
            .any(|group| group.join("memory.swap.max").exists())
    }

    fn directories(&self, path: &str) -> Vec<PathBuf> {
        let path = path.trim_start_matches('/');
        match self.version {
            Version::V2 => vec![self.root.join(path)],
            Version::V1 => CONTROLLERS_V1
                .iter()
                .map(|controller| self.root.join(controller))
                .filter(|mount| mount.is_dir())
                .map(|mount| mount.join(path))
                .collect(),
        }
    }

    fn directory(&self, controller: &str, path: &str) -> PathBuf {
        let path = path.trim_start_matches('/');
        match self.version {
            Version::V2 => self.root.join(path),
            Version::V1 => self.root.join(controller).join(path),
        }
    }

    /// Makes a group and its ancestors in every hierarchy.
    pub fn create(&self, path: &str) -> io::Result<()> {
        for directory in self.directories(path) {
            std::fs::create_dir_all(&directory)?;
        }
        match self.version {
            Version::V1 => self.inherit_cpuset(path),
            Version::V2 => self.delegate(path),
        }
    }

    /// Groups of version 1 begin with no CPU and no memory node, which keeps every process out.
    fn inherit_cpuset(&self, path: &str) -> io::Result<()> {
        let mount = self.root.join("cpuset");
        if !mount.is_dir() {
            return Ok(());
        }
        let mut directory = mount;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let parent = directory.clone();
            directory.push(part);
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let own = std::fs::read_to_string(directory.join(file))?;
                if own.trim().is_empty() {
                    let inherited = std::fs::read_to_string(parent.join(file))?;
                    std::fs::write(directory.join(file), inherited.trim())?;
                }
            }
        }
        Ok(())
    }

    /// A group of version 2 has the controllers that its parent passes on.
    fn delegate(&self, path: &str) -> io::Result<()> {
        let mut directory = self.root.clone();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let available = std::fs::read_to_string(directory.join("cgroup.controllers"))?;
            for controller in available.split_whitespace() {
                // A controller that cannot be passed on is not fatal: only its limits are missing.
                let _ = std::fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}"));
            }
            directory.push(part);
        }
        Ok(())
    }

    pub fn exists(&self, path: &str) -> bool {
        self.directories(path).iter().any(|directory| directory.is_dir())
    }

    /// Sets limits.
    pub fn limit(&self, path: &str, limits: Limits) -> io::Result<()> {
        for (controller, file, value) in settings(self.version, limits) {
            let target = self.directory(controller, path).join(file);
            if target.exists() {
                std::fs::write(&target, value)?;
            }
        }
        Ok(())
    }

    /// Processes in a group and its descendants.
    pub fn processes(&self, path: &str) -> Vec<i32> {
        let mut found = Vec::new();
        let mut queue = vec![self.directory("memory", path)];
        while let Some(directory) = queue.pop() {
            if let Ok(text) = std::fs::read_to_string(directory.join("cgroup.procs")) {
                found.extend(text.lines().filter_map(|line| line.trim().parse::<i32>().ok()));
            }
            queue.extend(subdirectories(&directory));
        }
        found
    }

    /// Removes a group and its descendants, which must have no processes left.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        for directory in self.directories(path) {
            remove_tree(&directory)?;
        }
        Ok(())
    }

    /// Names of the groups directly below `path`.
    pub fn children(&self, path: &str) -> Vec<String> {
        let directory = self.directory("memory", path);
        subdirectories(&directory)
            .iter()
            .filter_map(|child| Some(child.file_name()?.to_str()?.to_owned()))
            .collect()
    }

    /// The group's limit in bytes; None when there is none.
    pub fn memory_limit(&self, path: &str) -> Option<u64> {
        let file = match self.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        let text = std::fs::read_to_string(self.directory("memory", path).join(file)).ok()?;
        // Version 1 says the largest number of whole pages.
        text.trim().parse().ok().filter(|limit| *limit < u64::MAX / 4)
    }

    /// Processes and threads in a group and its descendants.
    pub fn process_count(&self, path: &str) -> Option<u64> {
        std::fs::read_to_string(self.directory("pids", path).join("pids.current"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// What a group has used so far.
    pub fn used(&self, path: &str) -> io::Result<Used> {
        let number = |file: PathBuf| -> io::Result<u64> {
            Ok(std::fs::read_to_string(file)?.trim().parse().unwrap_or(0))
        };
        match self.version {
            Version::V1 => {
                let memory = self.directory("memory", path);
                let usage = number(memory.join("memory.usage_in_bytes"))?;
                let stat = std::fs::read_to_string(memory.join("memory.stat"))?;
                Ok(Used {
                    cpu_nanoseconds: number(self.directory("cpuacct", path).join("cpuacct.usage"))?,
                    memory_bytes: usage,
                    working_set_bytes: usage.saturating_sub(field(&stat, "total_inactive_file")),
                    rss_bytes: field(&stat, "total_rss"),
                    page_faults: field(&stat, "total_pgfault"),
                    major_page_faults: field(&stat, "total_pgmajfault"),
                    swap_bytes: number(memory.join("memory.memsw.usage_in_bytes"))
                        .ok()
                        .map(|both| both.saturating_sub(usage)),
                })
            }
            Version::V2 => {
                let directory = self.directory("", path);
                let stat = std::fs::read_to_string(directory.join("memory.stat"))?;
                let cpu = std::fs::read_to_string(directory.join("cpu.stat"))?;
                // The root group has no memory.current; what it uses is what the machine does not have free.
                let usage = match number(directory.join("memory.current")) {
                    Ok(usage) => usage,
                    Err(_) => machine_memory_in_use(&std::fs::read_to_string("/proc/meminfo")?),
                };
                Ok(Used {
                    cpu_nanoseconds: field(&cpu, "usage_usec").saturating_mul(1000),
                    memory_bytes: usage,
                    working_set_bytes: usage.saturating_sub(field(&stat, "inactive_file")),
                    rss_bytes: field(&stat, "anon"),
                    page_faults: field(&stat, "pgfault"),
                    major_page_faults: field(&stat, "pgmajfault"),
                    swap_bytes: number(directory.join("memory.swap.current")).ok(),
                })
            }
        }
    }
}

/// Bytes that are not free, from /proc/meminfo.
fn machine_memory_in_use(meminfo: &str) -> u64 {
    let of = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
            .unwrap_or(0)
    };
    of("MemTotal:")
        .saturating_sub(of("MemFree:"))
        .saturating_mul(1024)
}

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
        .unwrap_or(0)
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    for child in subdirectories(directory) {
        remove_tree(&child)?;
    }
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The files to write: controller, file and text.
fn settings(version: Version, limits: Limits) -> Vec<(&'static str, &'static str, String)> {
    let unlimited = |value: i64| {
        if value < 0 {
            "max".to_owned()
        } else {
            value.to_string()
        }
    };
    let mut files = Vec::new();
    match version {
        Version::V1 => {
            files.extend(
                limits
                    .cpu_shares
                    .map(|shares| ("cpu", "cpu.shares", shares.to_string())),
            );
            files.extend(
                limits
                    .cpu_period
                    .filter(|period| *period > 0)
                    .map(|period| ("cpu", "cpu.cfs_period_us", period.to_string())),
            );
            files.extend(
                limits
                    .cpu_quota
                    .map(|quota| ("cpu", "cpu.cfs_quota_us", quota.to_string())),
            );
            files.extend(
                limits
                    .memory
                    .map(|bytes| ("memory", "memory.limit_in_bytes", bytes.to_string())),
            );
            files.extend(limits.pids.map(|count| ("pids", "pids.max", unlimited(count))));
        }
        Version::V2 => {
            files.extend(
                limits
                    .cpu_shares
                    .map(|shares| ("cpu", "cpu.weight", weight(shares).to_string())),
            );
            if let Some(quota) = limits.cpu_quota {
                let period = limits.cpu_period.filter(|period| *period > 0).unwrap_or(100_000);
                files.push(("cpu", "cpu.max", format!("{} {period}", unlimited(quota))));
            }
            files.extend(
                limits
                    .memory
                    .map(|bytes| ("memory", "memory.max", unlimited(bytes))),
            );
            files.extend(limits.pids.map(|count| ("pids", "pids.max", unlimited(count))));
        }
    }
    files
}

/// Shares (2 to 262144) as weight (1 to 10000).
pub(crate) fn weight(shares: i64) -> i64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_files_of_either_version() {
        let limits = Limits {
            cpu_shares: Some(1024),
            cpu_quota: Some(-1),
            cpu_period: Some(100_000),
            memory: Some(4096),
            pids: None,
        };
        let v1 = settings(Version::V1, limits);
        assert!(v1.contains(&("cpu", "cpu.cfs_quota_us", "-1".to_owned())));
        assert!(v1.contains(&("memory", "memory.limit_in_bytes", "4096".to_owned())));
        let v2 = settings(Version::V2, limits);
        assert!(v2.contains(&("cpu", "cpu.max", "max 100000".to_owned())));
        assert!(v2.contains(&("cpu", "cpu.weight", "39".to_owned())));
        assert_eq!((weight(2), weight(262_144)), (1, 10_000));
    }

    #[test]
    fn statistics_are_found_by_their_whole_name() {
        assert_eq!(field("inactive_file_x 1\ninactive_file 7\n", "inactive_file"), 7);
        assert_eq!(field("", "anon"), 0);
        assert_eq!(
            machine_memory_in_use("MemTotal:       100 kB\nMemFree:         60 kB\n"),
            40 * 1024
        );
    }
}
