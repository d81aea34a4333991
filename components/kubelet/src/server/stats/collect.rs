//! Asks runtime and kernel what pods and node use.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::cgroups::Used;
use host::file_systems::{self, Usage};
use jiff::Timestamp;
use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

use crate::eviction::PodDisk;
use crate::pod::members::PodView;
use crate::runtime::{ContainerRecord, RuntimeError, label};
use crate::server::ServerState;

/// Two samples of a CPU counter must be this far apart to say how fast it grows.
const SHORTEST: Duration = Duration::from_secs(1);

/// The last CPU counters by cgroup, from which rates are made; clones share them.
#[derive(Clone, Default)]
pub struct CpuRates {
    last: Arc<Mutex<HashMap<String, Sample>>>,
}

struct Sample {
    at: Instant,
    nanoseconds: u64,
    rate: Option<u64>,
}

impl CpuRates {
    /// Nanoseconds of CPU per second since the sample before; None at the first one.
    fn rate(&self, path: &str, nanoseconds: u64, now: Instant) -> Option<u64> {
        let mut last = self.last.lock();
        // Groups that are gone are not asked for any more.
        if last.len() > 2048 {
            last.clear();
        }
        let Some(sample) = last.get_mut(path) else {
            last.insert(
                path.to_owned(),
                Sample {
                    at: now,
                    nanoseconds,
                    rate: None,
                },
            );
            return None;
        };
        let passed = now.duration_since(sample.at);
        if passed >= SHORTEST {
            let rate = (nanoseconds.saturating_sub(sample.nanoseconds)) as f64 / passed.as_secs_f64();
            *sample = Sample {
                at: now,
                nanoseconds,
                rate: Some(rate as u64),
            };
        }
        sample.rate
    }
}

/// A cgroup's use and how fast it uses CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupUse {
    pub used: Used,
    pub nano_cores: Option<u64>,
}

/// One container's use.
pub struct ContainerUse {
    pub record: ContainerRecord,
    pub started: Option<Timestamp>,
    pub stats: cri::ContainerStats,
}

impl ContainerUse {
    pub fn cpu_nanoseconds(&self) -> u64 {
        self.stats
            .cpu
            .as_ref()
            .and_then(|cpu| value(&cpu.usage_core_nano_seconds))
            .unwrap_or(0)
    }

    pub fn working_set(&self) -> u64 {
        self.stats
            .memory
            .as_ref()
            .and_then(|memory| value(&memory.working_set_bytes))
            .unwrap_or(0)
    }

    pub fn swap(&self) -> Option<u64> {
        self.stats
            .swap
            .as_ref()
            .and_then(|swap| value(&swap.swap_usage_bytes))
    }
}

/// One pod's use.
pub struct PodStats {
    pub pod: Arc<Pod>,
    pub group: Option<GroupUse>,
    pub processes: Option<u64>,
    pub network: Option<cri::NetworkUsage>,
    pub disk: Arc<PodDisk>,
    pub containers: Vec<ContainerUse>,
}

pub fn value(number: &Option<cri::UInt64Value>) -> Option<u64> {
    number.as_ref().map(|number| number.value)
}

/// The use of a cgroup; None when it is not there (yet).
pub fn group_use(state: &ServerState, path: &str) -> Option<GroupUse> {
    let used = state.context.cgroups.cgroups().used(path).ok()?;
    Some(GroupUse {
        used,
        nano_cores: state.rates.rate(path, used.cpu_nanoseconds, Instant::now()),
    })
}

/// The use of the whole machine.
pub fn node_use(state: &ServerState) -> GroupUse {
    group_use(state, "/").unwrap_or_default()
}

/// Running containers of the pods that are known.
pub async fn containers(state: &ServerState) -> Result<Vec<ContainerUse>, RuntimeError> {
    let runtime = &state.context.runtime;
    let (stats, listed) = tokio::try_join!(runtime.container_stats(), runtime.list_containers(None))?;
    let started: HashMap<&str, i64> = listed
        .iter()
        .map(|container| (container.id.as_str(), container.created_at))
        .collect();
    let of = |stats: cri::ContainerStats| {
        let attributes = stats.attributes.clone()?;
        let record = ContainerRecord::read(&attributes.labels, &attributes.annotations);
        let created = started
            .get(attributes.id.as_str())
            .and_then(|at| Timestamp::from_nanosecond(i128::from(*at)).ok());
        state.table.contains(&record.pod_uid).then_some(ContainerUse {
            record,
            started: created,
            stats,
        })
    };
    Ok(stats.into_iter().filter_map(of).collect())
}

/// Everything about every pod.
pub async fn pods(state: &ServerState) -> Result<Vec<PodStats>, RuntimeError> {
    let context = &state.context;
    let (mut containers, sandboxes) = tokio::try_join!(containers(state), context.runtime.sandbox_stats())?;
    let mut networks: HashMap<String, cri::NetworkUsage> = HashMap::new();
    for sandbox in sandboxes {
        let uid = sandbox
            .attributes
            .and_then(|attributes| attributes.labels.get(label::POD_UID).cloned());
        if let (Some(uid), Some(network)) = (uid, sandbox.linux.and_then(|linux| linux.network)) {
            networks.insert(uid, network);
        }
    }
    let mut all = Vec::new();
    for pod in state.table.list() {
        let path = context.cgroups.path(&pod);
        let own = containers
            .extract_if(.., |used| used.record.pod_uid == pod.uid())
            .collect();
        all.push(PodStats {
            group: group_use(state, &path),
            processes: context.cgroups.cgroups().process_count(&path),
            // A pod in the host's network has no traffic of its own.
            network: networks.remove(pod.uid()).filter(|_| !pod.host_network()),
            disk: context
                .disk
                .lately(&pod, &context.volumes.root, &context.settings.pod_logs)
                .await,
            containers: own,
            pod,
        });
    }
    Ok(all)
}

/// Room on a file system; nothing when it cannot be asked.
pub fn room(path: &Path) -> Usage {
    file_systems::usage(path).unwrap_or_default()
}

/// When the machine was booted, from /proc/stat.
pub fn boot_time(stat: &str) -> Option<Timestamp> {
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Timestamp::from_second(seconds.trim().parse().ok()?).ok()
}

/// The cgroup of this process, by /proc/self/cgroup.
pub fn own_group(text: &str) -> Option<&str> {
    let mut rows = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        Some((parts.next()?, parts.next()?, parts.next()?))
    });
    let unified = |row: &(&str, &str, &str)| row.1.is_empty();
    let by_controller = rows
        .clone()
        .find(|row| row.1.split(',').any(|controller| controller == "memory"));
    by_controller
        .or_else(|| rows.find(unified))
        .map(|(_, _, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_need_two_samples() {
        let (rates, begin) = (CpuRates::default(), Instant::now());
        for (seconds, counter, want) in [
            (0, 1_000, None),
            (2, 4_001_000, Some(2_000_000)),
            (2, 9_000_000, Some(2_000_000)),
            (3, 4_002_000, Some(1_000)),
        ] {
            assert_eq!(
                rates.rate("/a", counter, begin + Duration::from_secs(seconds)),
                want
            );
        }
    }

    #[test]
    fn the_own_group_is_found_in_either_version() {
        for (text, want) in [
            (
                "0::/system.slice/kubelet.service\n",
                Some("/system.slice/kubelet.service"),
            ),
            ("5:cpu:/a\n3:memory:/b\n0::/c\n", Some("/b")),
            ("", None),
        ] {
            assert_eq!(own_group(text), want);
        }
    }

    #[test]
    fn the_boot_time_is_read() {
        assert_eq!(
            boot_time("cpu 1\nbtime 1700000000\n").map(|time| time.as_second()),
            Some(1_700_000_000)
        );
        assert_eq!(boot_time(""), None);
    }
}
