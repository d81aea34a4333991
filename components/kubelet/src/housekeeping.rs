//! Removes what is not needed any more: old container records, rotated logs, unused images.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_cri::v1 as cri;
use tokio_util::sync::CancellationToken;

use crate::context::Shared;
use crate::images::{Thresholds, collect_garbage, remove_unused};
use crate::manager::PodTable;
use crate::runtime::{ContainerRecord, RunState, Runtime, RuntimeError, label, run_state};

/// When logs are rotated.
#[derive(Clone, Copy, Debug)]
pub struct LogRotation {
    /// Bytes.
    pub max_size: u64,
    pub max_files: usize,
}

const CONTAINERS: Duration = Duration::from_secs(60);
const LOGS: Duration = Duration::from_secs(10);
const IMAGES: Duration = Duration::from_secs(300);

/// Keeps house until `shutdown`.
pub async fn keep_house(
    context: Shared,
    table: PodTable,
    thresholds: Thresholds,
    rotation: LogRotation,
    shutdown: CancellationToken,
) {
    let later = |period| tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    let (mut containers, mut logs, mut images) = (later(CONTAINERS), later(LOGS), later(IMAGES));
    let mut unused_since = HashMap::new();
    loop {
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            _ = containers.tick() => {
                if let Err(error) = context.cgroups.share_out(&table.list()).await {
                    tracing::warn!(%error, "the cgroup of burstable pods keeps its share");
                }
                collect_containers(&context.runtime, &table).await
            }
            _ = logs.tick() => rotate_logs(&context.runtime, rotation).await,
            _ = images.tick() => match collect_garbage(&context.runtime, thresholds, &mut unused_since).await {
                Ok(0) => Ok(()),
                Ok(freed) => {
                    tracing::info!(freed, "unused images removed");
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = result {
            tracing::warn!(%error, "housekeeping failed, trying again later");
        }
    }
}

/// Removes everything on the disk that nobody needs: the node has no room left.
pub async fn free_disk(runtime: &Runtime, table: &PodTable) {
    if let Err(error) = collect_containers(runtime, table).await {
        tracing::warn!(%error, "dead containers not removed");
    }
    match remove_unused(runtime).await {
        Ok(0) => {}
        Ok(freed) => tracing::info!(freed, "unused images removed"),
        Err(error) => tracing::warn!(%error, "unused images not removed"),
    }
}

/// Removes all but the newest dead instance of each container, and dead sandboxes but the newest of each pod.
async fn collect_containers(runtime: &Runtime, table: &PodTable) -> Result<(), RuntimeError> {
    let containers = runtime.list_containers(None).await?;
    for container in superfluous_containers(&containers) {
        runtime.remove_container(container).await?;
    }
    let sandboxes = runtime.list_sandboxes(None).await?;
    let used: HashSet<&str> = containers
        .iter()
        .map(|container| container.pod_sandbox_id.as_str())
        .collect();
    let mut newest: HashMap<&str, &cri::PodSandbox> = HashMap::new();
    for sandbox in &sandboxes {
        let Some(uid) = sandbox.labels.get(label::POD_UID) else {
            continue;
        };
        let best = newest.entry(uid).or_insert(sandbox);
        if sandbox.created_at > best.created_at {
            *best = sandbox;
        }
    }
    for sandbox in &sandboxes {
        let Some(uid) = sandbox.labels.get(label::POD_UID) else {
            continue;
        };
        let dead = sandbox.state != cri::PodSandboxState::SandboxReady as i32;
        let is_newest = newest.get(uid.as_str()).is_some_and(|best| best.id == sandbox.id);
        if dead && !used.contains(sandbox.id.as_str()) && table.contains(uid) && !is_newest {
            runtime.remove_sandbox(&sandbox.id).await?;
        }
    }
    Ok(())
}

/// IDs of exited containers that have a newer exited one of the same name: pure. The newest two stay, for
/// the last state and its log.
fn superfluous_containers(containers: &[cri::Container]) -> Vec<&str> {
    let mut by_name: HashMap<(String, String), Vec<&cri::Container>> = HashMap::new();
    for container in containers {
        let record = ContainerRecord::read(&container.labels, &container.annotations);
        if !record.pod_uid.is_empty() {
            by_name
                .entry((record.pod_uid, record.name))
                .or_default()
                .push(container);
        }
    }
    let mut ids = Vec::new();
    for group in by_name.values_mut() {
        group.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        ids.extend(
            group
                .iter()
                .skip(2)
                .filter(|container| run_state(container.state) == RunState::Exited)
                .map(|container| container.id.as_str()),
        );
    }
    ids
}

async fn rotate_logs(runtime: &Runtime, rotation: LogRotation) -> Result<(), RuntimeError> {
    let running = runtime
        .list_containers(None)
        .await?
        .into_iter()
        .filter(|container| run_state(container.state) == RunState::Running);
    for container in running {
        let status = match runtime.container_status(&container.id).await {
            Ok(status) => status,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        let path = PathBuf::from(&status.log_path);
        if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > rotation.max_size) {
            match rename_away(&path, rotation.max_files) {
                Ok(()) => runtime.reopen_log(&container.id).await?,
                Err(error) => tracing::warn!(log = %path.display(), %error, "log not rotated"),
            }
        }
    }
    Ok(())
}

fn rename_away(path: &Path, max_files: usize) -> std::io::Result<()> {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
        .to_owned();
    std::fs::rename(path, path.with_file_name(format!("{name}.{stamp}")))?;
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    let mut rotated: Vec<PathBuf> = std::fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| {
            file.file_name()
                .and_then(|file| file.to_str())
                .is_some_and(|file| file.starts_with(&format!("{name}.")))
        })
        .collect();
    rotated.sort();
    // The file that is written to is one of them.
    let surplus = rotated.len().saturating_sub(max_files.saturating_sub(1));
    for old in rotated.into_iter().take(surplus) {
        std::fs::remove_file(old)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_two_instances_stay() {
        let container = |id: &str, created_at: i64, running: bool| cri::Container {
            id: id.to_owned(),
            created_at,
            state: if running {
                cri::ContainerState::ContainerRunning
            } else {
                cri::ContainerState::ContainerExited
            } as i32,
            labels: [
                (label::POD_UID.to_owned(), "u".to_owned()),
                (label::CONTAINER_NAME.to_owned(), "c".to_owned()),
            ]
            .into(),
            ..Default::default()
        };
        let containers = [
            container("a", 1, false),
            container("b", 2, false),
            container("c", 3, false),
            container("d", 4, true),
        ];
        let mut ids = superfluous_containers(&containers);
        ids.sort_unstable();
        assert_eq!(ids, ["a", "b"]);
    }

    #[test]
    fn rotated_logs_are_limited_in_number() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("0.log");
        for old in ["0.log.20200101-000000", "0.log.20200102-000000", "0.log"] {
            std::fs::write(directory.path().join(old), "x").unwrap();
        }
        rename_away(&log, 3).unwrap();
        assert!(!log.exists());
        assert!(!directory.path().join("0.log.20200101-000000").exists());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
