//! Security contexts as the runtime takes them.

use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, SELinuxOptions, SeccompProfile};

use super::members::PodView;

/// A security context that cannot be honoured; the container waits with CreateContainerConfigError.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct SecurityError(pub String);

/// What images say about their user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    pub uid: Option<i64>,
    pub name: String,
}

/// The namespaces of a pod's sandbox.
pub fn sandbox_namespaces(pod: &Pod) -> cri::NamespaceOption {
    let spec = pod.view();
    let node_or = |node: Option<bool>, other: cri::NamespaceMode| if node == Some(true) { cri::NamespaceMode::Node } else { other } as i32;
    let pid = if spec.share_process_namespace == Some(true) {
        cri::NamespaceMode::Pod
    } else {
        cri::NamespaceMode::Container
    };
    cri::NamespaceOption {
        network: node_or(spec.host_network, cri::NamespaceMode::Pod),
        pid: node_or(spec.host_pid, pid),
        ipc: node_or(spec.host_ipc, cri::NamespaceMode::Pod),
        target_id: String::new(),
        userns_options: None,
    }
}

fn int(value: Option<i64>) -> Option<cri::Int64Value> {
    value.map(|value| cri::Int64Value { value })
}

fn seccomp(profile: Option<&SeccompProfile>, root: &str, default_on: bool) -> cri::SecurityProfile {
    use cri::security_profile::ProfileType;
    let make = |kind: ProfileType, localhost_ref: String| cri::SecurityProfile {
        profile_type: kind as i32,
        localhost_ref,
    };
    match profile.map(|profile| (profile.type_.as_str(), profile.localhost_profile.as_deref())) {
        Some(("RuntimeDefault", _)) => make(ProfileType::RuntimeDefault, String::new()),
        Some(("Localhost", Some(file))) => make(ProfileType::Localhost, format!("{root}/seccomp/{file}")),
        Some(_) => make(ProfileType::Unconfined, String::new()),
        None if default_on => make(ProfileType::RuntimeDefault, String::new()),
        None => make(ProfileType::Unconfined, String::new()),
    }
}

fn apparmor(profile: Option<&AppArmorProfile>) -> Option<cri::SecurityProfile> {
    use cri::security_profile::ProfileType;
    let profile = profile?;
    let (kind, localhost_ref) = match profile.type_.as_str() {
        "RuntimeDefault" => (ProfileType::RuntimeDefault, String::new()),
        "Localhost" => (
            ProfileType::Localhost,
            profile.localhost_profile.clone().unwrap_or_default(),
        ),
        _ => (ProfileType::Unconfined, String::new()),
    };
    Some(cri::SecurityProfile {
        profile_type: kind as i32,
        localhost_ref,
    })
}

fn selinux(options: Option<&SELinuxOptions>) -> Option<cri::SeLinuxOption> {
    let options = options?.clone();
    Some(cri::SeLinuxOption {
        user: options.user.unwrap_or_default(),
        role: options.role.unwrap_or_default(),
        r#type: options.type_.unwrap_or_default(),
        level: options.level.unwrap_or_default(),
    })
}

fn supplemental_groups(pod: &Pod) -> (Vec<i64>, i32) {
    let Some(context) = &pod.view().security_context else {
        return (Vec::new(), 0);
    };
    let mut groups: Vec<i64> = context.fs_group.into_iter().collect();
    groups.extend(context.supplemental_groups.iter().flatten());
    let policy = match context.supplemental_groups_policy.as_deref() {
        Some("Strict") => cri::SupplementalGroupsPolicy::Strict,
        _ => cri::SupplementalGroupsPolicy::Merge,
    };
    (groups, policy as i32)
}

/// The sandbox's security context.
pub fn sandbox_security(pod: &Pod, root: &str) -> cri::LinuxSandboxSecurityContext {
    let context = pod.view().security_context.clone().unwrap_or_default();
    let (groups, policy) = supplemental_groups(pod);
    let privileged = |container: &Container| {
        container
            .security_context
            .as_ref()
            .is_some_and(|context| context.privileged == Some(true))
    };
    cri::LinuxSandboxSecurityContext {
        namespace_options: Some(sandbox_namespaces(pod)),
        selinux_options: selinux(context.se_linux_options.as_ref()),
        run_as_user: int(context.run_as_user),
        run_as_group: if context.run_as_user.is_some() {
            int(context.run_as_group)
        } else {
            None
        },
        supplemental_groups: groups,
        supplemental_groups_policy: policy,
        privileged: pod
            .init_containers()
            .iter()
            .chain(pod.containers())
            .any(privileged),
        // Upstream always confines the sandbox's own process.
        seccomp: Some(seccomp(context.seccomp_profile.as_ref(), root, true)),
        ..Default::default()
    }
}

/// A container's security context, its own settings over the pod's.
pub fn container_security(
    pod: &Pod,
    container: &Container,
    user: &ImageUser,
    root: &str,
    seccomp_default: bool,
) -> Result<cri::LinuxContainerSecurityContext, SecurityError> {
    let outer = pod.view().security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let run_as_user = own.run_as_user.or(outer.run_as_user);
    let run_as_group = own.run_as_group.or(outer.run_as_group);
    if own.run_as_non_root.or(outer.run_as_non_root) == Some(true) {
        check_non_root(pod, container, run_as_user, user)?;
    }
    let privileged = own.privileged == Some(true);
    let capabilities = own.capabilities.clone().unwrap_or_default();
    let (masked_paths, readonly_paths) = proc_paths(own.proc_mount.as_deref());
    let (groups, policy) = supplemental_groups(pod);
    let uid = run_as_user.or(user.uid);
    Ok(cri::LinuxContainerSecurityContext {
        capabilities: Some(cri::Capability {
            add_capabilities: capabilities.add.unwrap_or_default(),
            drop_capabilities: capabilities.drop.unwrap_or_default(),
            ..Default::default()
        }),
        privileged,
        namespace_options: Some(sandbox_namespaces(pod)),
        selinux_options: selinux(own.se_linux_options.as_ref().or(outer.se_linux_options.as_ref())),
        run_as_user: int(uid),
        run_as_group: int(run_as_group),
        run_as_username: if uid.is_none() {
            user.name.clone()
        } else {
            String::new()
        },
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: groups,
        supplemental_groups_policy: policy,
        no_new_privs: own.allow_privilege_escalation == Some(false) && !privileged,
        masked_paths: if privileged { Vec::new() } else { masked_paths },
        readonly_paths: if privileged { Vec::new() } else { readonly_paths },
        seccomp: (!privileged).then(|| {
            seccomp(
                own.seccomp_profile.as_ref().or(outer.seccomp_profile.as_ref()),
                root,
                seccomp_default,
            )
        }),
        apparmor: apparmor(
            own.app_armor_profile
                .as_ref()
                .or(outer.app_armor_profile.as_ref()),
        ),
        ..Default::default()
    })
}

fn check_non_root(
    pod: &Pod,
    container: &Container,
    run_as_user: Option<i64>,
    user: &ImageUser,
) -> Result<(), SecurityError> {
    let place = format!("(pod: \"{}\", container: {})", pod.full_name(), container.name);
    match run_as_user.or(user.uid) {
        Some(0) if run_as_user.is_some() => Err(SecurityError(format!(
            "container's runAsUser breaks non-root policy {place}"
        ))),
        Some(0) => Err(SecurityError(format!(
            "container has runAsNonRoot and image will run as root {place}"
        ))),
        Some(_) => Ok(()),
        None if user.name.is_empty() => Err(SecurityError(format!(
            "container has runAsNonRoot and image will run as root {place}"
        ))),
        None => Err(SecurityError(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {place}",
            user.name
        ))),
    }
}

fn proc_paths(proc_mount: Option<&str>) -> (Vec<String>, Vec<String>) {
    if proc_mount == Some("Unmasked") {
        return (Vec::new(), Vec::new());
    }
    let own = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    let masked = own(&[
        "/proc/asound",
        "/proc/acpi",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ]);
    let read_only = own(&[
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sysrq-trigger",
    ]);
    (masked, read_only)
}
