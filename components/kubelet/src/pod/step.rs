//! The decision of what to do next for one pod: a function over a snapshot.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::back_off::BackOff;
use super::members::{PodView, RestartPolicy, Role, init_role, should_restart};
use super::probe_state::ProbeTable;
use crate::runtime::{Observed, ObservedContainer, RunState};

/// All that the decision depends on.
pub struct Snapshot<'a> {
    pub pod: &'a Pod,
    pub observed: &'a Observed,
    pub probes: &'a ProbeTable,
    /// Containers with a start or kill in progress.
    pub busy: &'a BTreeSet<String>,
    pub back_off: &'a BackOff,
    /// The hash that a container made from this spec would have.
    pub hash: &'a dyn Fn(&Container) -> String,
    pub now: Timestamp,
}

/// A container to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub name: String,
    pub role: Role,
    pub attempt: u32,
}

/// A container to stop and why; the message goes into the Killing event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    pub id: String,
    pub name: String,
    pub message: String,
    pub cause: KillCause,
}

/// Which grace period applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillCause {
    Changed,
    Startup,
    Liveness,
    SandboxLost,
}

/// A container that waits because it failed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub name: String,
    pub reason: &'static str,
    pub message: String,
}

/// What to do next. Everything in it may be done at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Make a sandbox with this attempt number.
    pub create_sandbox: Option<u32>,
    pub starts: Vec<Start>,
    pub kills: Vec<Kill>,
    pub waiting: Vec<Waiting>,
    /// Nothing of this pod will run again: stop what is left.
    pub finished: bool,
    /// When to decide again although nothing has changed.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// Decides. Never looks at the clock or the system.
pub fn step(snapshot: &Snapshot<'_>) -> Plan {
    let mut plan = Plan::default();
    let Snapshot { pod, observed, .. } = snapshot;

    match usable_sandbox(snapshot) {
        None => {
            if sandbox_is_wanted(snapshot) {
                // Containers cannot live without their sandbox; its successor is made when they are gone.
                for container in observed
                    .containers
                    .iter()
                    .filter(|container| container.state == RunState::Running)
                {
                    plan.kill(
                        snapshot,
                        container,
                        "Pod sandbox changed, it will be killed and re-created.".to_owned(),
                        KillCause::SandboxLost,
                    );
                }
                if plan.kills.is_empty() && snapshot.busy.is_empty() {
                    plan.create_sandbox = Some(observed.sandbox().map_or(0, |sandbox| sandbox.attempt + 1));
                }
            } else {
                plan.finished = true;
            }
            return plan;
        }
        Some(sandbox) => {
            for container in &observed.containers {
                if container.state == RunState::Running && container.sandbox_id != sandbox {
                    plan.kill(
                        snapshot,
                        container,
                        format!("Container {} belongs to an old sandbox", container.name),
                        KillCause::SandboxLost,
                    );
                }
            }
        }
    }

    let initialized = has_initialized(pod, observed);
    let mut ready_for_apps = true;
    for (index, container) in pod.init_containers().iter().enumerate() {
        let later_seen = || {
            pod.init_containers()[index + 1..]
                .iter()
                .any(|later| observed.container(&later.name).is_some())
        };
        match init_role(container) {
            Role::Sidecar => {
                plan.keep_running(snapshot, Role::Sidecar, container);
                if !initialized && !is_started(snapshot, container) {
                    ready_for_apps = false;
                    break;
                }
            }
            _ if initialized => {}
            role => match observed.container(&container.name) {
                None if later_seen() => {}
                Some(last) if last.state == RunState::Exited && last.exit_code == 0 => {}
                Some(last) if last.state == RunState::Running => {
                    ready_for_apps = false;
                    break;
                }
                last => {
                    if should_restart(pod, role, container, last) {
                        plan.start(snapshot, role, container, last);
                    } else {
                        plan.finished = true;
                        return plan;
                    }
                    ready_for_apps = false;
                    break;
                }
            },
        }
    }

    // Debugging must be possible while the pod is stuck in its initialization.
    for container in pod.ephemeral_containers() {
        if observed.container(&container.name).is_none() {
            plan.start(snapshot, Role::Ephemeral, &container, None);
        }
    }

    if ready_for_apps {
        for container in pod.containers() {
            plan.keep_running(snapshot, Role::App, container);
        }
        let alive = |container: &Container| {
            snapshot.busy.contains(&container.name)
                || observed.container(&container.name).is_none_or(|last| {
                    last.state != RunState::Exited || should_restart(pod, Role::App, container, Some(last))
                })
        };
        plan.finished = !pod.containers().iter().any(alive);
        if plan.finished {
            plan.starts.clear();
        }
    }
    plan
}

/// The sandbox that containers can be started in: the newest one, if it is ready, alone and has an address.
fn usable_sandbox<'a>(snapshot: &Snapshot<'a>) -> Option<&'a str> {
    let sandbox = snapshot.observed.sandbox()?;
    let fits =
        sandbox.ready && (sandbox.host_network == snapshot.pod.host_network() || !sandbox.ips.is_empty());
    let addressed = snapshot.pod.host_network() || !sandbox.ips.is_empty();
    (fits && addressed).then_some(sandbox.id.as_str())
}

/// Whether a new sandbox would have anything to run.
fn sandbox_is_wanted(snapshot: &Snapshot<'_>) -> bool {
    let Snapshot { pod, observed, .. } = snapshot;
    let ran_before = observed.sandbox().is_some() && !observed.containers.is_empty();
    if pod.restart_policy() == RestartPolicy::Never
        && ran_before
        && pod
            .containers()
            .iter()
            .all(|c| c.restart_policy_rules.is_none() && c.restart_policy.is_none())
    {
        return false;
    }
    let initialized = has_initialized(pod, observed);
    if !initialized {
        return true;
    }
    pod.containers()
        .iter()
        .any(|container| match observed.container(&container.name) {
            Some(last) if last.state == RunState::Exited => {
                should_restart(pod, Role::App, container, Some(last))
            }
            _ => true,
        })
}

/// Init containers are over once any app container exists.
pub fn has_initialized(pod: &Pod, observed: &Observed) -> bool {
    pod.containers()
        .iter()
        .any(|container| observed.container(&container.name).is_some())
}

fn is_started(snapshot: &Snapshot<'_>, container: &Container) -> bool {
    let Some(running) = snapshot
        .observed
        .container(&container.name)
        .filter(|last| last.state == RunState::Running)
    else {
        return false;
    };
    let probed = snapshot
        .probes
        .get(&running.id)
        .and_then(|results| results.started);
    !snapshot.busy.contains(&container.name) && (container.startup_probe.is_none() || probed == Some(true))
}

impl Plan {
    /// Keeps an app container or sidecar running as its spec and probes want it.
    fn keep_running(&mut self, snapshot: &Snapshot<'_>, role: Role, container: &Container) {
        let last = snapshot.observed.container(&container.name);
        let Some(running) = last.filter(|last| last.state == RunState::Running) else {
            if should_restart(snapshot.pod, role, container, last) {
                self.start(snapshot, role, container, last);
            }
            return;
        };
        let results = snapshot.probes.get(&running.id).copied().unwrap_or_default();
        let name = &container.name;
        if !running.hash.is_empty() && running.hash != (snapshot.hash)(container) {
            self.kill(
                snapshot,
                running,
                format!("Container {name} definition changed, will be restarted"),
                KillCause::Changed,
            );
        } else if results.started == Some(false) {
            self.kill(
                snapshot,
                running,
                format!("Container {name} failed startup probe, will be restarted"),
                KillCause::Startup,
            );
        } else if results.alive == Some(false) {
            self.kill(
                snapshot,
                running,
                format!("Container {name} failed liveness probe, will be restarted"),
                KillCause::Liveness,
            );
        }
    }

    fn kill(
        &mut self,
        snapshot: &Snapshot<'_>,
        container: &ObservedContainer,
        message: String,
        cause: KillCause,
    ) {
        if !snapshot.busy.contains(&container.name) && !self.kills.iter().any(|kill| kill.id == container.id)
        {
            self.kills.push(Kill {
                id: container.id.clone(),
                name: container.name.clone(),
                message,
                cause,
            });
        }
    }

    fn start(
        &mut self,
        snapshot: &Snapshot<'_>,
        role: Role,
        container: &Container,
        last: Option<&ObservedContainer>,
    ) {
        let name = container.name.clone();
        if snapshot.busy.contains(&name) || self.kills.iter().any(|kill| kill.name == name) {
            return;
        }
        let failed_at = last
            .filter(|last| last.state == RunState::Exited)
            .and_then(|last| last.finished_at);
        if let Some((until, pause)) =
            failed_at.and_then(|at| snapshot.back_off.waits_until(&name, at, snapshot.now))
        {
            self.wake(until);
            let said = until.checked_sub(pause - end_is_shown(pause)).unwrap_or(until);
            if snapshot.now < said {
                self.wake(said);
                return;
            }
            let message = format!(
                "back-off {} restarting failed container={name} pod={}",
                go_seconds(pause),
                snapshot.pod.full_name()
            );
            self.waiting.push(Waiting {
                name,
                reason: "CrashLoopBackOff",
                message,
            });
            return;
        }
        self.starts.push(Start {
            name,
            role,
            attempt: last.map_or(0, |last| last.attempt + 1),
        });
    }
}

/// How long after a container's end its state is that end, before it is that it waits. Upstream looks at the pod again only
/// some ten seconds later; whoever watches for the end, as the conformance suite does every four seconds, relies on it.
fn end_is_shown(pause: Duration) -> Duration {
    (pause / 2).min(Duration::from_secs(10))
}

/// Whole seconds as Go prints a duration.
pub fn go_seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests;
