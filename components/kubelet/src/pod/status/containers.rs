//! Container statuses with upstream's reasons.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, LinuxContainerUser, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{StatusInput, whole_seconds};
use crate::pod::members::{PodView, Role, init_role, should_restart};
use crate::pod::step::has_initialized;
use crate::runtime::{ObservedContainer, RunState};

pub(super) fn init_statuses(input: &StatusInput<'_>) -> Vec<ContainerStatus> {
    let previous = input
        .previous
        .init_container_statuses
        .as_deref()
        .unwrap_or_default();
    input
        .pod
        .init_containers()
        .iter()
        .map(|container| one(input, init_role(container), container, previous))
        .collect()
}

pub(super) fn app_statuses(input: &StatusInput<'_>) -> Vec<ContainerStatus> {
    let previous = input.previous.container_statuses.as_deref().unwrap_or_default();
    let mut statuses: Vec<_> = input
        .pod
        .containers()
        .iter()
        .map(|container| one(input, Role::App, container, previous))
        .collect();
    statuses.sort_by(|a, b| a.name.cmp(&b.name));
    statuses
}

pub(super) fn ephemeral_statuses(input: &StatusInput<'_>) -> Vec<ContainerStatus> {
    let previous = input
        .previous
        .ephemeral_container_statuses
        .as_deref()
        .unwrap_or_default();
    input
        .pod
        .ephemeral_containers()
        .iter()
        .map(|container| one(input, Role::Ephemeral, container, previous))
        .collect()
}

fn one(
    input: &StatusInput<'_>,
    role: Role,
    container: &Container,
    previous: &[ContainerStatus],
) -> ContainerStatus {
    let name = &container.name;
    let before = previous.iter().find(|status| status.name == *name);
    let mut status = ContainerStatus {
        name: name.clone(),
        image: container.image.clone().unwrap_or_default(),
        started: (role != Role::Ephemeral).then_some(false),
        volume_mounts: volume_mounts(container),
        ..ContainerStatus::default()
    };
    match input.observed.container(name) {
        Some(newest) => {
            fill(input, &mut status, newest);
            status.last_state = input
                .observed
                .previous(name)
                .filter(|earlier| earlier.state == RunState::Exited)
                .map(|earlier| terminated(input, earlier));
            let waits = newest.state != RunState::Running
                && !input.terminal
                && should_restart(input.pod, role, container, Some(newest));
            if let (true, Some((reason, message))) = (waits, input.reasons.get(name)) {
                if newest.state == RunState::Exited {
                    status.last_state = status.state.take();
                }
                status.state = Some(waiting(reason, message));
                status.started = status.started.map(|_| false);
            }
        }
        None => absent(input, role, &mut status, before),
    }
    if let Some(before) = before {
        // A removed record must not make the count go back.
        status.restart_count = status.restart_count.max(before.restart_count);
        if status
            .last_state
            .as_ref()
            .is_none_or(|last| last.terminated.is_none())
            && status.restart_count > 0
        {
            status.last_state = before.last_state.clone();
        }
    }
    decide_ready(input, role, container, &mut status);
    if input
        .observed
        .container(name)
        .is_some_and(|newest| newest.state == RunState::Running)
    {
        // What it still runs with is what was said before its resize.
        let actual = before
            .filter(|_| input.resizing.containers.contains(name))
            .and_then(|before| before.resources.clone());
        status.resources = actual.or_else(|| container.resources.clone());
        status.allocated_resources = container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.clone());
    }
    status
}

/// No instance exists: not started yet, or its record is gone.
fn absent(
    input: &StatusInput<'_>,
    role: Role,
    status: &mut ContainerStatus,
    before: Option<&ContainerStatus>,
) {
    let ran = before.filter(|before| before.container_id.is_some());
    if let Some(before) = ran {
        let state = before.state.clone().unwrap_or_default();
        status.container_id = before.container_id.clone();
        status.image_id = before.image_id.clone();
        status.last_state = before.last_state.clone();
        status.restart_count = before.restart_count;
        if state.terminated.is_some() {
            status.state = Some(state);
            return;
        }
        if role == Role::Init && has_initialized(input.pod, input.observed) {
            status.state = Some(completed_init());
            return;
        }
        if input.terminal || input.lost_is_ended {
            status.state = Some(lost());
            return;
        }
    }
    if role == Role::Init && has_initialized(input.pod, input.observed) {
        status.state = Some(completed_init());
        return;
    }
    let (reason, message) = match input.reasons.get(&status.name) {
        Some((reason, message)) => (reason.as_str(), message.as_str()),
        None if !input.pod.init_containers().is_empty() && role != Role::Ephemeral => ("PodInitializing", ""),
        None => ("ContainerCreating", ""),
    };
    status.state = Some(waiting(reason, message));
}

fn completed_init() -> ContainerState {
    let terminated = ContainerStateTerminated {
        reason: Some("Completed".to_owned()),
        message: Some("Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally".to_owned()),
        exit_code: 0,
        ..ContainerStateTerminated::default()
    };
    ContainerState {
        terminated: Some(terminated),
        ..ContainerState::default()
    }
}

fn lost() -> ContainerState {
    let terminated = ContainerStateTerminated {
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some("The container could not be located when the pod was terminated".to_owned()),
        exit_code: 137,
        ..ContainerStateTerminated::default()
    };
    ContainerState {
        terminated: Some(terminated),
        ..ContainerState::default()
    }
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    let waiting = ContainerStateWaiting {
        reason: Some(reason.to_owned()),
        message: (!message.is_empty()).then(|| message.to_owned()),
    };
    ContainerState {
        waiting: Some(waiting),
        ..ContainerState::default()
    }
}

fn fill(input: &StatusInput<'_>, status: &mut ContainerStatus, newest: &ObservedContainer) {
    status.container_id = Some(format!("{}://{}", input.runtime_name, newest.id));
    if !newest.image.is_empty() {
        status.image = newest.image.clone();
    }
    status.image_id = newest.image_ref.clone();
    status.restart_count = i32::try_from(newest.attempt).unwrap_or(i32::MAX);
    status.user = newest.user.clone().map(|user| ContainerUser {
        linux: Some(LinuxContainerUser {
            uid: user.uid,
            gid: user.gid,
            supplemental_groups: Some(user.supplemental_groups).filter(|groups| !groups.is_empty()),
        }),
    });
    status.state = Some(match newest.state {
        RunState::Running => ContainerState {
            running: Some(ContainerStateRunning {
                started_at: newest.started_at.map(|at| Time(whole_seconds(at))),
            }),
            ..ContainerState::default()
        },
        RunState::Exited => terminated(input, newest),
        RunState::Created | RunState::Unknown => match input.reasons.get(&newest.name) {
            Some((reason, message)) => waiting(reason, message),
            None => waiting("ContainerCreating", ""),
        },
    });
}

fn terminated(input: &StatusInput<'_>, container: &ObservedContainer) -> ContainerState {
    let reason = match container.reason.as_str() {
        "" if container.exit_code == 0 => "Completed",
        "" => "Error",
        reason => reason,
    };
    let terminated = ContainerStateTerminated {
        container_id: Some(format!("{}://{}", input.runtime_name, container.id)),
        exit_code: container.exit_code,
        reason: Some(reason.to_owned()),
        message: (!container.message.is_empty()).then(|| container.message.clone()),
        started_at: container
            .started_at
            .or(Some(container.created_at))
            .map(|at| Time(whole_seconds(at))),
        finished_at: container.finished_at.map(|at| Time(whole_seconds(at))),
        signal: None,
    };
    ContainerState {
        terminated: Some(terminated),
        ..ContainerState::default()
    }
}

fn decide_ready(input: &StatusInput<'_>, role: Role, container: &Container, status: &mut ContainerStatus) {
    let state = status.state.clone().unwrap_or_default();
    if role == Role::Init {
        status.ready = state
            .terminated
            .is_some_and(|terminated| terminated.exit_code == 0);
        status.started = Some(state.running.is_some());
        return;
    }
    let results = input
        .observed
        .container(&status.name)
        .and_then(|newest| input.probes.get(&newest.id))
        .copied()
        .unwrap_or_default();
    if state.running.is_none() || role == Role::Ephemeral {
        status.ready = false;
        return;
    }
    let started = container.startup_probe.is_none() || results.started == Some(true);
    status.started = Some(started);
    status.ready = started && (container.readiness_probe.is_none() || results.ready == Some(true));
}

fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_ref()?;
    let statuses: Vec<_> = mounts
        .iter()
        .map(|mount| {
            let read_only = mount.read_only.unwrap_or(false);
            VolumeMountStatus {
                name: mount.name.clone(),
                mount_path: mount.mount_path.clone(),
                read_only: read_only.then_some(true),
                recursive_read_only: read_only.then(|| {
                    mount
                        .recursive_read_only
                        .clone()
                        .unwrap_or_else(|| "Disabled".to_owned())
                }),
                volume_status: None,
            }
        })
        .collect();
    if statuses.is_empty() { None } else { Some(statuses) }
}
