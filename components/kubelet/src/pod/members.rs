//! The containers of a pod and the roles that they play.

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};

use crate::runtime::{ObservedContainer, RunState};

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that keeps running beside the app containers.
    Sidecar,
    App,
    /// Added to a running pod for debugging; never restarted.
    Ephemeral,
}

/// A pod without a spec is malformed; this stands in for it, so that nothing has to unwrap.
static NO_SPEC: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);

/// Shorthand for what is read from pods everywhere.
pub trait PodView {
    fn view(&self) -> &PodSpec;
    fn uid(&self) -> &str;
    fn name(&self) -> &str;
    fn namespace(&self) -> &str;
    fn annotation(&self, key: &str) -> Option<&str>;
    fn is_deleted(&self) -> bool;
    /// `name_namespace(uid)`, as upstream writes it in messages.
    fn full_name(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid())
    }
    fn restart_policy(&self) -> RestartPolicy {
        match self.view().restart_policy.as_deref() {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        }
    }
    fn host_network(&self) -> bool {
        self.view().host_network.unwrap_or(false)
    }
    fn init_containers(&self) -> &[Container] {
        self.view().init_containers.as_deref().unwrap_or_default()
    }
    fn containers(&self) -> &[Container] {
        &self.view().containers
    }
    fn ephemeral_containers(&self) -> Vec<Container> {
        self.view()
            .ephemeral_containers
            .iter()
            .flatten()
            .map(ephemeral_as_container)
            .collect()
    }
    /// The container called `name` and its role.
    fn member(&self, name: &str) -> Option<(Role, Container)> {
        if let Some(container) = self
            .init_containers()
            .iter()
            .find(|container| container.name == name)
        {
            return Some((init_role(container), container.clone()));
        }
        if let Some(container) = self.containers().iter().find(|container| container.name == name) {
            return Some((Role::App, container.clone()));
        }
        self.ephemeral_containers()
            .into_iter()
            .find(|container| container.name == name)
            .map(|container| (Role::Ephemeral, container))
    }
}

impl PodView for Pod {
    fn view(&self) -> &PodSpec {
        self.spec.as_ref().unwrap_or(&NO_SPEC)
    }
    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
    fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }
    fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }
    fn is_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

/// When ended containers are started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// Sidecars are init containers that are always restarted.
pub fn init_role(container: &Container) -> Role {
    if container.restart_policy.as_deref() == Some("Always") {
        Role::Sidecar
    } else {
        Role::Init
    }
}

fn ephemeral_as_container(ephemeral: &EphemeralContainer) -> Container {
    let e = ephemeral.clone();
    Container {
        args: e.args,
        command: e.command,
        env: e.env,
        env_from: e.env_from,
        image: e.image,
        image_pull_policy: e.image_pull_policy,
        name: e.name,
        resources: e.resources,
        security_context: e.security_context,
        stdin: e.stdin,
        stdin_once: e.stdin_once,
        termination_message_path: e.termination_message_path,
        termination_message_policy: e.termination_message_policy,
        tty: e.tty,
        volume_devices: e.volume_devices,
        volume_mounts: e.volume_mounts,
        working_dir: e.working_dir,
        ..Container::default()
    }
}

/// Whether a container that is not running is to be started (again), by the policies of container and pod.
pub fn should_restart(
    pod: &Pod,
    role: Role,
    container: &Container,
    last: Option<&ObservedContainer>,
) -> bool {
    let Some(last) = last else { return true };
    match last.state {
        RunState::Running => return false,
        RunState::Created | RunState::Unknown => return role != Role::Ephemeral,
        RunState::Exited => {}
    }
    let policy = match role {
        Role::Ephemeral => return false,
        Role::Sidecar => return true,
        Role::Init | Role::App => container_policy(pod, container, last.exit_code),
    };
    match policy {
        RestartPolicy::Always => role == Role::App || last.exit_code != 0,
        RestartPolicy::OnFailure => last.exit_code != 0,
        RestartPolicy::Never => false,
    }
}

/// The policy that applies to one exit of a container: its matching rule, its own policy, or the pod's.
pub fn container_policy(pod: &Pod, container: &Container, exit_code: i32) -> RestartPolicy {
    for rule in container.restart_policy_rules.iter().flatten() {
        let Some(codes) = &rule.exit_codes else { continue };
        let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
        let matches = match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        if matches && rule.action == "Restart" {
            return RestartPolicy::Always;
        }
    }
    match container.restart_policy.as_deref() {
        Some("Always") => RestartPolicy::Always,
        Some("OnFailure") => RestartPolicy::OnFailure,
        Some("Never") => RestartPolicy::Never,
        _ => pod.restart_policy(),
    }
}
