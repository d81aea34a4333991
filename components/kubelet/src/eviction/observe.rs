//! How much the node has left, and what its pods use.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::file_systems::{self, Usage};
use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

use super::rank::{ContainerUse, PodUse};
use super::signals::{Observation, Observations, Signal};
use crate::context::Context;
use crate::pod::members::PodView;
use crate::pod::sandbox_config::log_directory;
use crate::runtime::{ContainerRecord, RuntimeError};
use crate::volumes::PodDirectories;

/// A measurement of a directory is good for this long: walking it is work.
const MEASURED_FOR: Duration = Duration::from_secs(60);

/// Bytes and inodes below a pod's directories.
#[derive(Clone, Debug, Default)]
pub struct PodDisk {
    /// By volume; only emptyDirs, whatever they are on.
    pub volumes: BTreeMap<String, (u64, u64)>,
    /// Logs, by container.
    pub logs: BTreeMap<String, (u64, u64)>,
}

/// What pods have on the disk, measured now and then; clones share it.
#[derive(Clone, Default)]
pub struct DiskUse {
    known: Arc<Mutex<HashMap<String, (Instant, Arc<PodDisk>)>>>,
}

impl DiskUse {
    /// What the pod had lately.
    pub async fn of(&self, pod: &Arc<Pod>, root: &Path, logs: &str, at_most: Duration) -> Arc<PodDisk> {
        if let Some((at, known)) = self.known.lock().get(pod.uid())
            && at.elapsed() < at_most
        {
            return known.clone();
        }
        let (pod_of_task, root, logs) = (pod.clone(), root.to_owned(), log_directory(logs, pod));
        let measured =
            tokio::task::spawn_blocking(move || measure(&pod_of_task, &root, Path::new(&logs))).await;
        // A panic there counts as nothing found; it is in the log.
        let measured = Arc::new(measured.unwrap_or_default());
        self.known
            .lock()
            .insert(pod.uid().to_owned(), (Instant::now(), measured.clone()));
        measured
    }

    /// What `of` gives for a pod that need not be measured more often than others.
    pub async fn lately(&self, pod: &Arc<Pod>, root: &Path, logs: &str) -> Arc<PodDisk> {
        self.of(pod, root, logs, MEASURED_FOR).await
    }

    /// Forgets all pods but these.
    pub fn retain(&self, pods: &[Arc<Pod>]) {
        self.known
            .lock()
            .retain(|uid, _| pods.iter().any(|pod| pod.uid() == uid));
    }
}

fn measure(pod: &Pod, root: &Path, logs: &Path) -> PodDisk {
    let directories = PodDirectories::new(root, pod.uid());
    let empty = pod
        .view()
        .volumes
        .iter()
        .flatten()
        .filter(|volume| volume.empty_dir.is_some());
    let volumes = empty.map(|volume| {
        (
            volume.name.clone(),
            file_systems::below(&directories.volume("empty-dir", &volume.name)),
        )
    });
    let containers = pod.init_containers().iter().chain(pod.containers());
    PodDisk {
        volumes: volumes.collect(),
        logs: containers
            .map(|container| {
                (
                    container.name.clone(),
                    file_systems::below(&logs.join(&container.name)),
                )
            })
            .collect(),
    }
}

fn of_file_system(usage: Usage) -> (Observation, Observation) {
    (
        Observation {
            available: usage.available,
            capacity: usage.capacity,
        },
        Observation {
            available: usage.inodes_free,
            capacity: usage.inodes,
        },
    )
}

/// The file systems of images and of writable layers, as the runtime says.
pub async fn image_file_systems(
    context: &Context,
) -> Result<(Option<PathBuf>, Option<PathBuf>), RuntimeError> {
    let found = context.runtime.image_file_systems().await?;
    let mount =
        |list: &[cri::FilesystemUsage]| Some(PathBuf::from(&list.first()?.fs_id.as_ref()?.mountpoint));
    Ok((
        mount(&found.image_filesystems),
        mount(&found.container_filesystems),
    ))
}

/// Looks at the machine. `image` and `container` are the runtime's file systems, where they are known.
pub fn observe(context: &Context, image: Option<&Path>, container: Option<&Path>) -> Observations {
    let mut seen = Observations::new();
    let cgroups = context.cgroups.cgroups();
    let capacity = u64::try_from(context.settings.memory_capacity).unwrap_or(0);
    if let Ok(used) = cgroups.used("/") {
        seen.insert(
            Signal::Memory,
            Observation {
                available: capacity.saturating_sub(used.working_set_bytes),
                capacity,
            },
        );
    }
    let all_pods = context.cgroups.all_pods();
    if let (Ok(used), Some(limit)) = (cgroups.used(&all_pods), cgroups.memory_limit(&all_pods)) {
        let capacity = limit.min(capacity);
        seen.insert(
            Signal::AllocatableMemory,
            Observation {
                available: capacity.saturating_sub(used.working_set_bytes),
                capacity,
            },
        );
    }
    let paths = [
        (
            Some(context.volumes.root.as_path()),
            Signal::NodeFs,
            Signal::NodeFsInodes,
        ),
        (image, Signal::ImageFs, Signal::ImageFsInodes),
        (container, Signal::ContainerFs, Signal::ContainerFsInodes),
    ];
    for (path, room, inodes) in paths {
        let Some(Ok(usage)) = path.map(file_systems::usage) else {
            continue;
        };
        let (bytes, files) = of_file_system(usage);
        seen.insert(room, bytes);
        // Some file systems make inodes as they need them.
        if usage.inodes > 0 {
            seen.insert(inodes, files);
        }
    }
    if let Some(pids) = pids() {
        seen.insert(Signal::Pids, pids);
    }
    seen
}

fn pids() -> Option<Observation> {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let most =
        number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max").unwrap_or(u64::MAX));
    let load = std::fs::read_to_string("/proc/loadavg").ok()?;
    let threads: u64 = load.split('/').nth(1)?.split(' ').next()?.parse().ok()?;
    Some(Observation {
        available: most.saturating_sub(threads),
        capacity: most,
    })
}

/// What each of the pods uses now. Directories are walked for pods that `exactly` chooses, and else counted as lately.
pub async fn pod_use(
    context: &Context,
    pods: &[Arc<Pod>],
    exactly: impl Fn(&Pod) -> bool,
) -> Result<Vec<PodUse>, RuntimeError> {
    let stats = context.runtime.container_stats().await?;
    let mut all = Vec::with_capacity(pods.len());
    for pod in pods {
        let at_most = if exactly(pod) {
            Duration::ZERO
        } else {
            MEASURED_FOR
        };
        let disk = context
            .disk
            .of(pod, &context.volumes.root, &context.settings.pod_logs, at_most)
            .await;
        let mut used = PodUse {
            pod: pod.clone(),
            memory: 0,
            disk: 0,
            inodes: 0,
            processes: 0,
            containers: Vec::new(),
        };
        for stats in &stats {
            let Some(attributes) = &stats.attributes else {
                continue;
            };
            let record = ContainerRecord::read(&attributes.labels, &attributes.annotations);
            if record.pod_uid != pod.uid() {
                continue;
            }
            let number = |value: &Option<cri::UInt64Value>| value.as_ref().map_or(0, |value| value.value);
            let memory = stats
                .memory
                .as_ref()
                .map_or(0, |memory| number(&memory.working_set_bytes));
            let layer = stats.writable_layer.as_ref();
            let logs = disk.logs.get(&record.name).copied().unwrap_or_default();
            let own = layer
                .map_or(0, |layer| number(&layer.used_bytes))
                .saturating_add(logs.0);
            used.memory = used.memory.saturating_add(memory);
            used.disk = used.disk.saturating_add(own);
            used.inodes = used
                .inodes
                .saturating_add(layer.map_or(0, |layer| number(&layer.inodes_used)))
                .saturating_add(logs.1);
            used.containers.push(ContainerUse {
                name: record.name,
                memory,
                disk: own,
            });
        }
        let path = context.cgroups.path(pod);
        if let Ok(group) = context.cgroups.cgroups().used(&path) {
            used.memory = group.working_set_bytes;
        }
        used.processes = context.cgroups.cgroups().process_count(&path).unwrap_or(0);
        for (bytes, inodes) in on_disk(pod, &disk) {
            used.disk = used.disk.saturating_add(bytes);
            used.inodes = used.inodes.saturating_add(inodes);
        }
        all.push(used);
    }
    Ok(all)
}

/// The emptyDirs that are not in memory, where the pod's memory counts them already.
fn on_disk<'a>(pod: &'a Pod, disk: &'a PodDisk) -> impl Iterator<Item = (u64, u64)> + 'a {
    let of_disk = |volume: &&k8s_openapi::api::core::v1::Volume| {
        volume
            .empty_dir
            .as_ref()
            .is_some_and(|source| source.medium.as_deref().unwrap_or_default().is_empty())
    };
    pod.view()
        .volumes
        .iter()
        .flatten()
        .filter(of_disk)
        .filter_map(|volume| disk.volumes.get(&volume.name).copied())
}
