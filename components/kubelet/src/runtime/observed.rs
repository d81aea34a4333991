//! What the runtime has of one pod, newest first.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_cri::v1 as cri;

use super::{ContainerRecord, Runtime, RuntimeError};

/// A container's state as the runtime tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunState {
    Created,
    Running,
    Exited,
    #[default]
    Unknown,
}

/// One container that exists in the runtime, running or not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedContainer {
    pub id: String,
    pub sandbox_id: String,
    pub name: String,
    pub attempt: u32,
    pub state: RunState,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
    pub image: String,
    pub image_ref: String,
    pub hash: String,
    pub log_path: String,
    pub user: Option<cri::LinuxContainerUser>,
    pub resources: Option<cri::LinuxContainerResources>,
}

/// One sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedSandbox {
    pub id: String,
    pub attempt: u32,
    pub ready: bool,
    pub created_at: i64,
    pub ips: Vec<String>,
    pub host_network: bool,
}

/// Everything of one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    pub sandboxes: Vec<ObservedSandbox>,
    pub containers: Vec<ObservedContainer>,
}

impl Observed {
    /// The newest instance of the container called `name`.
    pub fn container(&self, name: &str) -> Option<&ObservedContainer> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The instance before the newest one.
    pub fn previous(&self, name: &str) -> Option<&ObservedContainer> {
        self.containers
            .iter()
            .filter(|container| container.name == name)
            .nth(1)
    }

    pub fn sandbox(&self) -> Option<&ObservedSandbox> {
        self.sandboxes.first()
    }

    pub fn running(&self) -> impl Iterator<Item = &ObservedContainer> {
        self.containers.iter().filter(|container| {
            matches!(
                container.state,
                RunState::Running | RunState::Created | RunState::Unknown
            )
        })
    }

    pub fn any_running(&self) -> bool {
        self.containers
            .iter()
            .any(|container| container.state == RunState::Running)
    }
}

fn time(nanoseconds: i64) -> Option<Timestamp> {
    if nanoseconds <= 0 {
        None
    } else {
        Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()
    }
}

pub(crate) fn run_state(state: i32) -> RunState {
    match cri::ContainerState::try_from(state) {
        Ok(cri::ContainerState::ContainerCreated) => RunState::Created,
        Ok(cri::ContainerState::ContainerRunning) => RunState::Running,
        Ok(cri::ContainerState::ContainerExited) => RunState::Exited,
        _ => RunState::Unknown,
    }
}

impl ObservedContainer {
    fn read(sandbox_id: String, status: cri::ContainerStatus) -> Self {
        let record = ContainerRecord::read(&status.labels, &status.annotations);
        let state = run_state(status.state);
        let metadata = status.metadata.clone().unwrap_or_default();
        let mut container = Self {
            id: status.id.clone(),
            sandbox_id,
            name: if record.name.is_empty() {
                metadata.name
            } else {
                record.name.clone()
            },
            attempt: record.restart_count.unwrap_or(metadata.attempt),
            state,
            created_at: time(status.created_at).unwrap_or_default(),
            started_at: time(status.started_at),
            finished_at: time(status.finished_at),
            exit_code: status.exit_code,
            reason: status.reason.clone(),
            message: status.message.clone(),
            image: status
                .image
                .as_ref()
                .map(|image| image.image.clone())
                .unwrap_or_default(),
            image_ref: status.image_ref.clone(),
            hash: record.hash.clone(),
            log_path: status.log_path.clone(),
            user: status.user.clone().and_then(|user| user.linux),
            resources: status.resources.clone().and_then(|resources| resources.linux),
        };
        if state == RunState::Exited
            && let Some(message) = termination_message(&record, &status)
        {
            container.message = message;
        }
        container
    }
}

/// The longest message that is taken from a container.
const MAX_MESSAGE_BYTES: u64 = 4096;
const MAX_MESSAGE_LINES: usize = 80;

fn termination_message(record: &ContainerRecord, status: &cri::ContainerStatus) -> Option<String> {
    let path = record.termination_message_path.as_str();
    let mount = status
        .mounts
        .iter()
        .find(|mount| !path.is_empty() && mount.container_path == path);
    let from_file = mount
        .and_then(|mount| read_tail(&mount.host_path, MAX_MESSAGE_BYTES).ok())
        .unwrap_or_default();
    if !from_file.is_empty() {
        return Some(from_file);
    }
    let failed = status.exit_code != 0 || status.reason == "OOMKilled";
    if record.termination_message_policy == "FallbackToLogsOnError" && failed {
        let text = read_tail(&status.log_path, 64 << 10).ok()?;
        let lines: Vec<String> = text
            .lines()
            .filter_map(crate::server::logs::text_of_line)
            .collect();
        let first = lines.len().saturating_sub(MAX_MESSAGE_LINES);
        let mut message = lines[first..].concat();
        while message.len() > 2048 {
            let cut = (message.len() - 2048..message.len())
                .find(|at| message.is_char_boundary(*at))
                .unwrap_or(message.len());
            message = message.split_off(cut);
        }
        return Some(message);
    }
    None
}

fn read_tail(path: &str, limit: u64) -> std::io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Runtime {
    /// Looks at everything of one pod. Exited containers that `known` has are not asked about again.
    pub async fn observe(&self, pod_uid: &str, known: &Observed) -> Result<Observed, RuntimeError> {
        let (sandboxes, containers) = tokio::try_join!(
            self.list_sandboxes(Some(pod_uid)),
            self.list_containers(Some(pod_uid))
        )?;
        let known_containers: HashMap<&str, &ObservedContainer> = known
            .containers
            .iter()
            .map(|container| (container.id.as_str(), container))
            .collect();
        let known_containers = &known_containers;
        let containers = containers.into_iter().map(|listed| async move {
            if let Some(container) = known_containers.get(listed.id.as_str())
                && (container.state == RunState::Exited
                    || (container.state == RunState::Running && run_state(listed.state) == RunState::Running))
            {
                return Ok(Some((*container).clone()));
            }
            match self.container_status(&listed.id).await {
                Ok(status) => Ok(Some(ObservedContainer::read(listed.pod_sandbox_id, status))),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        });
        let sandboxes = sandboxes.into_iter().map(|listed| async move {
            let ready = listed.state == cri::PodSandboxState::SandboxReady as i32;
            let known = known
                .sandboxes
                .iter()
                .find(|sandbox| sandbox.id == listed.id && !sandbox.ips.is_empty());
            let mut sandbox = ObservedSandbox {
                attempt: listed.metadata.as_ref().map_or(0, |metadata| metadata.attempt),
                created_at: listed.created_at,
                ready,
                ips: known.map(|known| known.ips.clone()).unwrap_or_default(),
                host_network: known.is_some_and(|known| known.host_network),
                id: listed.id,
            };
            if ready && known.is_none() {
                match self.sandbox_status(&sandbox.id, false).await {
                    Ok(response) => read_network(&mut sandbox, response.status.unwrap_or_default()),
                    Err(error) if error.is_not_found() => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
            Ok(Some(sandbox))
        });
        let (containers, sandboxes) = tokio::try_join!(
            futures::future::try_join_all(containers),
            futures::future::try_join_all(sandboxes)
        )?;
        let mut containers: Vec<ObservedContainer> = containers.into_iter().flatten().collect();
        containers.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        let mut sandboxes: Vec<ObservedSandbox> = sandboxes.into_iter().flatten().collect();
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        Ok(Observed {
            sandboxes,
            containers,
        })
    }
}

fn read_network(sandbox: &mut ObservedSandbox, status: cri::PodSandboxStatus) {
    let options = status
        .linux
        .and_then(|linux| linux.namespaces)
        .and_then(|namespaces| namespaces.options);
    sandbox.host_network = options.is_some_and(|options| options.network == cri::NamespaceMode::Node as i32);
    if sandbox.host_network {
        return;
    }
    if let Some(network) = status.network.filter(|network| !network.ip.is_empty()) {
        sandbox.ips.push(network.ip);
        sandbox
            .ips
            .extend(network.additional_ips.into_iter().map(|ip| ip.ip));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_from_the_log_ends_as_the_log_does() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let line = |tag: &str, text: &str| format!("2026-01-01T00:00:00.000000000Z stdout {tag} {text}\n");
        let record = ContainerRecord {
            termination_message_policy: "FallbackToLogsOnError".to_owned(),
            ..ContainerRecord::default()
        };
        for (text, exit_code, want) in [
            (line("F", "one") + &line("F", "two"), 1, Some("one\ntwo\n")),
            // What is written without a newline at the end.
            (line("F", "one") + &line("P", "DONE"), 1, Some("one\nDONE")),
            (line("P", "long ") + &line("F", "line"), 1, Some("long line\n")),
            (line("F", "one"), 0, None),
        ] {
            std::fs::write(log.path(), &text).unwrap();
            let status = cri::ContainerStatus {
                exit_code,
                log_path: log.path().to_string_lossy().into_owned(),
                ..Default::default()
            };
            assert_eq!(termination_message(&record, &status).as_deref(), want, "{text}");
        }
    }
}
