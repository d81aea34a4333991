//! The phase of a pod, from its container statuses.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::members::{PodView, RestartPolicy, Role, init_role};

/// A pod's phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed]
            .into_iter()
            .find(|phase| phase.as_str() == text)
    }

    pub fn is_terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

fn find<'a>(statuses: &'a [ContainerStatus], name: &str) -> Option<&'a ContainerStatus> {
    statuses.iter().find(|status| status.name == name)
}

/// `terminal` says that nothing will be started any more.
pub fn phase(pod: &Pod, init: &[ContainerStatus], apps: &[ContainerStatus], terminal: bool) -> Phase {
    let mut pending_initialization = 0;
    let mut failed_initialization = 0;
    for container in pod.init_containers() {
        let sidecar = init_role(container) == Role::Sidecar;
        let Some(status) = find(init, &container.name) else {
            pending_initialization += 1;
            continue;
        };
        let state = status.state.clone().unwrap_or_default();
        if state.running.is_some() {
            if !sidecar || status.started != Some(true) {
                pending_initialization += 1;
            }
        } else if let Some(terminated) = &state.terminated {
            if !sidecar && terminated.exit_code != 0 {
                failed_initialization += 1;
            } else if sidecar && apps.iter().all(|app| !has_run(app)) {
                pending_initialization += 1;
            }
        } else {
            let last = status
                .last_state
                .as_ref()
                .and_then(|last| last.terminated.as_ref());
            match last {
                Some(last) if !sidecar && last.exit_code != 0 => failed_initialization += 1,
                Some(_) if !sidecar => {}
                _ => pending_initialization += 1,
            }
        }
    }

    let (mut unknown, mut running, mut waiting, mut stopped, mut succeeded) = (0, 0, 0, 0, 0);
    let mut restartable = false;
    for container in pod.containers() {
        let Some(status) = find(apps, &container.name) else {
            unknown += 1;
            continue;
        };
        let state = status.state.clone().unwrap_or_default();
        let last = status
            .last_state
            .as_ref()
            .and_then(|last| last.terminated.as_ref());
        if state.running.is_some() {
            running += 1;
        } else if let Some(terminated) = &state.terminated {
            stopped += 1;
            succeeded += usize::from(terminated.exit_code == 0);
            restartable |= restarts(pod, container, terminated.exit_code);
        } else if let (Some(last), Some(_)) = (last, &state.waiting) {
            stopped += 1;
            restartable |= restarts(pod, container, last.exit_code);
        } else {
            waiting += 1;
        }
    }

    if failed_initialization > 0 && pod.restart_policy() == RestartPolicy::Never {
        return Phase::Failed;
    }
    let any_app_ran = apps.iter().any(has_run);
    if !any_app_ran && (pending_initialization > 0 || failed_initialization > 0) {
        return if terminal { Phase::Failed } else { Phase::Pending };
    }
    if waiting > 0 {
        return if terminal { Phase::Failed } else { Phase::Pending };
    }
    if running > 0 && unknown == 0 {
        return Phase::Running;
    }
    if running == 0 && stopped > 0 && unknown == 0 {
        return match (terminal || !restartable, stopped == succeeded) {
            (true, true) => Phase::Succeeded,
            (true, false) => Phase::Failed,
            (false, _) => Phase::Running,
        };
    }
    Phase::Pending
}

fn restarts(pod: &Pod, container: &k8s_openapi::api::core::v1::Container, exit_code: i32) -> bool {
    match super::members::container_policy(pod, container, exit_code) {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

fn has_run(status: &ContainerStatus) -> bool {
    status.restart_count > 0
        || status
            .state
            .as_ref()
            .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        || status
            .last_state
            .as_ref()
            .is_some_and(|last| last.terminated.is_some())
}
