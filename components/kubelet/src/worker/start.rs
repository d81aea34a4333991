//! Operations that make things: volumes, sandbox, containers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::events::Type;
use jiff::Timestamp;
use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use super::{Done, Worker};
use crate::context::Shared;
use crate::handlers::{HOOK_AGENT, Outcome, Target};
use crate::pod::container_config::{Prepared, container_config, log_path, termination_message_path};
use crate::pod::dns::{DnsWarning, host_dns, pod_dns};
use crate::pod::environment::{Objects, environment, referenced};
use crate::pod::expansion::expand;
use crate::pod::host_files::{host_network_hosts_file, hosts_file};
use crate::pod::members::{PodView, Role};
use crate::pod::sandbox_config::{SandboxConfigError, log_directory, sandbox_config};
use crate::pod::step::Start;
use crate::runtime::{Observed, ObservedSandbox, RunState, RuntimeError};
use crate::volumes::{PodDirectories, PreparedVolumes, VolumeError, resolve_sub_path};

/// A container that could not be started.
pub(super) struct StartError {
    pub reason: &'static str,
    pub message: String,
    /// The runtime has a container of this attempt.
    pub made: bool,
    pub retry_at: Option<Timestamp>,
}

impl StartError {
    fn config(message: impl ToString) -> Self {
        Self {
            reason: "CreateContainerConfigError",
            message: message.to_string(),
            made: false,
            retry_at: None,
        }
    }
}

/// Makes the pod's directories, cgroup and volumes.
pub(super) async fn prepare_volumes(
    context: &Shared,
    pod: &Arc<Pod>,
    pod_ips: &[String],
) -> Result<PreparedVolumes, VolumeError> {
    let directories = PodDirectories::new(Path::new(&context.settings.root), pod.uid());
    let pod_failed = |error: std::io::Error| VolumeError {
        volume: "pod directory".to_owned(),
        reason: error.to_string(),
    };
    std::fs::create_dir_all(directories.base()).map_err(pod_failed)?;
    let host_ips = context.host_ips.read().clone();
    let fields = crate::pod::environment::FieldContext {
        node_name: &context.settings.node_name,
        host_ips: &host_ips,
        pod_ips,
        allocatable: &context.allocatable,
    };
    context.volumes.prepare(pod, &fields).await
}

/// The configuration of a pod's sandbox on this node as it is now, and what is to be said about its DNS.
fn configured(
    context: &Shared,
    pod: &Pod,
    attempt: u32,
) -> Result<(cri::PodSandboxConfig, Vec<DnsWarning>), SandboxConfigError> {
    let settings = &context.settings;
    let host_ips = context.host_ips.read().clone();
    let dns = pod_dns(pod, &settings.dns, &host_ips, host_dns(&settings.dns)?);
    Ok((sandbox_config(pod, attempt, settings, dns.config)?, dns.warnings))
}

/// Makes a sandbox after stopping its predecessors.
pub(super) async fn create_sandbox(
    context: &Shared,
    pod: &Arc<Pod>,
    attempt: u32,
    old: &[ObservedSandbox],
) -> Result<(), RuntimeError> {
    for sandbox in old.iter().filter(|sandbox| sandbox.ready) {
        context.runtime.stop_sandbox(&sandbox.id).await?;
    }
    if !old.is_empty() {
        context.event(
            pod,
            None,
            Type::Normal,
            "SandboxChanged",
            "Pod sandbox changed, it will be killed and re-created.",
        );
    }
    let internal = |error: std::io::Error| RuntimeError {
        code: tonic::Code::Internal,
        message: error.to_string(),
    };
    let unfit = |error: &dyn std::error::Error| RuntimeError {
        code: tonic::Code::FailedPrecondition,
        message: error.to_string(),
    };
    let (config, warnings) = configured(context, pod, attempt).map_err(|error| unfit(&error))?;
    for warning in warnings {
        let mut message = warning.message;
        if warning.of_node {
            context.node_event(Type::Warning, warning.reason, message.as_str());
            message = format!("pod: {:?}. {message}", pod.full_name());
        }
        context.event(pod, None, Type::Warning, warning.reason, message);
    }
    context.cgroups.create(pod).await.map_err(internal)?;
    std::fs::create_dir_all(&config.log_directory).map_err(internal)?;
    let handler = match pod
        .view()
        .runtime_class_name
        .as_deref()
        .filter(|class| !class.is_empty())
    {
        Some(class) => {
            let handler = context.volumes.objects.runtime_handler(class).await;
            handler.map_err(|error| unfit(&error))?
        }
        None => String::new(),
    };
    context.runtime.run_sandbox(config, &handler).await?;
    // Under systemd on cgroup v1 the pod's slice exists only now.
    context.cgroups.limit(pod).map_err(internal)?;
    Ok(())
}

impl Worker {
    /// Begins to start a container.
    pub(super) fn start(
        &mut self,
        pod: &Arc<Pod>,
        start: Start,
        volumes: &PreparedVolumes,
        sandbox: &ObservedSandbox,
    ) {
        let last = self
            .observed
            .container(&start.name)
            .filter(|last| last.state == RunState::Exited);
        if let Some(finished) = last.and_then(|last| last.finished_at) {
            self.back_off.next(&start.name, finished, Timestamp::now());
        }
        self.busy.insert(start.name.clone());
        let name = start.name.clone();
        let starting = Starting {
            context: self.context.clone(),
            pod: pod.clone(),
            start,
            volumes: volumes.clone(),
            sandbox: sandbox.clone(),
            pod_ips: self.pod_ips(pod),
            observed: self.observed.clone(),
        };
        self.operations.spawn(async move {
            Done::Started {
                name,
                result: starting.run().await,
            }
        });
    }
}

struct Starting {
    context: Shared,
    pod: Arc<Pod>,
    start: Start,
    volumes: PreparedVolumes,
    sandbox: ObservedSandbox,
    pod_ips: Vec<String>,
    observed: Observed,
}

impl Starting {
    async fn run(self) -> Result<(), StartError> {
        let Some((role, container)) = self.pod.member(&self.start.name) else {
            return Err(StartError::config(format!(
                "container {} is not in the pod's spec",
                self.start.name
            )));
        };
        let who = Some((role, container.name.as_str()));
        let (context, pod) = (&self.context, &self.pod);
        let (sandbox_config, _) =
            configured(context, pod, self.sandbox.attempt).map_err(StartError::config)?;
        let image = context
            .images
            .ensure(context, pod, role, &container, sandbox_config.clone())
            .await
            .map_err(|error| {
                context.event(
                    pod,
                    who,
                    Type::Warning,
                    "Failed",
                    format!("Error: {}", error.reason),
                );
                StartError {
                    reason: error.reason,
                    message: error.message,
                    made: false,
                    retry_at: error.retry_at,
                }
            })?;
        let failed = |error: StartError| {
            context.event(
                pod,
                who,
                Type::Warning,
                "Failed",
                format!("Error: {}", error.message),
            );
            error
        };
        let config = self.config(role, &container, image).await.map_err(failed)?;
        // The runtime does not make the directory of the log.
        let log = Path::new(&log_directory(&context.settings.pod_logs, pod)).join(&container.name);
        std::fs::create_dir_all(&log)
            .map_err(StartError::config)
            .map_err(failed)?;
        let id = context
            .runtime
            .create_container(&self.sandbox.id, config, sandbox_config)
            .await
            .map_err(|error| {
                failed(StartError {
                    reason: "CreateContainerError",
                    message: error.message,
                    made: false,
                    retry_at: None,
                })
            })?;
        context.event(pod, who, Type::Normal, "Created", "Container created");
        context.runtime.start_container(&id).await.map_err(|error| {
            failed(StartError {
                reason: "RunContainerError",
                message: error.message,
                made: true,
                retry_at: None,
            })
        })?;
        context.event(pod, who, Type::Normal, "Started", "Container started");
        self.link_legacy_log(&container, &id);
        self.post_start(role, &container, &id).await
    }

    async fn config(
        &self,
        role: Role,
        container: &Container,
        image: crate::images::Found,
    ) -> Result<cri::ContainerConfig, StartError> {
        let objects = self.objects(container).await?;
        let environment = self
            .context
            .with_fields(&self.pod_ips, |fields| {
                environment(&self.pod, container, &objects, fields)
            })
            .map_err(StartError::config)?;
        let mounts = self.mounts(container, &environment).map_err(StartError::config)?;
        let target = self
            .pod
            .view()
            .ephemeral_containers
            .iter()
            .flatten()
            .find(|ephemeral| ephemeral.name == container.name);
        let target_id = target
            .and_then(|ephemeral| ephemeral.target_container_name.as_deref())
            .and_then(|name| self.observed.container(name))
            .map(|observed| observed.id.clone());
        let prepared = Prepared {
            pod: &self.pod,
            role,
            container,
            attempt: self.start.attempt,
            image: image.id,
            image_user: image.user,
            environment,
            mounts,
            devices: Vec::new(),
            target_id,
        };
        container_config(prepared, &self.context.settings).map_err(StartError::config)
    }

    async fn objects(&self, container: &Container) -> Result<Objects, StartError> {
        let (config_maps, secrets) = referenced(container);
        let cache = &self.context.volumes.objects;
        let namespace = self.pod.namespace();
        let mut objects = Objects::default();
        for name in config_maps {
            if let Some(found) = cache
                .config_map(namespace, &name)
                .await
                .map_err(StartError::config)?
            {
                objects.config_maps.insert(name, (*found).clone());
            }
        }
        for name in secrets {
            if let Some(found) = cache.secret(namespace, &name).await.map_err(StartError::config)? {
                objects.secrets.insert(name, (*found).clone());
            }
        }
        if let Some(services) = &self.context.services {
            objects.services = services
                .list_namespace(namespace)
                .iter()
                .map(|service| (**service).clone())
                .collect();
            if namespace != "default" {
                objects.services.extend(
                    services
                        .get("default", "kubernetes")
                        .map(|service| (*service).clone()),
                );
            }
        }
        Ok(objects)
    }

    fn mounts(
        &self,
        container: &Container,
        environment: &[(String, String)],
    ) -> Result<Vec<cri::Mount>, String> {
        let directories = PodDirectories::new(Path::new(&self.context.settings.root), self.pod.uid());
        let mut mounts = Vec::new();
        let declared = container.volume_mounts.as_deref().unwrap_or_default();
        for (index, mount) in declared.iter().enumerate() {
            let volume = self
                .volumes
                .paths
                .get(&mount.name)
                .ok_or_else(|| format!("volume {:?} is not prepared", mount.name))?;
            let host_path = self.host_path(&directories, container, environment, mount, index, volume)?;
            mounts.push(cri::Mount {
                container_path: absolute(&mount.mount_path),
                host_path: host_path.to_string_lossy().into_owned(),
                readonly: mount.read_only.unwrap_or(false) || self.volumes.read_only.contains(&mount.name),
                propagation: propagation(mount.mount_propagation.as_deref()) as i32,
                recursive_read_only: matches!(mount.recursive_read_only.as_deref(), Some("Enabled")),
                ..Default::default()
            });
        }
        let is_taken = |path: &str| {
            declared
                .iter()
                .any(|mount| mount.mount_path.trim_end_matches('/') == path)
        };
        if !is_taken("/etc/hosts") && !self.pod_ips.is_empty() {
            mounts.push(
                self.hosts(&directories, container)
                    .map_err(|error| format!("cannot write the hosts file: {error}"))?,
            );
        }
        let message = self
            .termination_log(&directories, container)
            .map_err(|error| format!("cannot make the termination log: {error}"))?;
        mounts.push(message);
        Ok(mounts)
    }

    fn host_path(
        &self,
        directories: &PodDirectories,
        container: &Container,
        environment: &[(String, String)],
        mount: &VolumeMount,
        index: usize,
        volume: &Path,
    ) -> Result<PathBuf, String> {
        let lookup = |name: &str| {
            environment
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        let sub_path = match (mount.sub_path.as_deref(), mount.sub_path_expr.as_deref()) {
            (_, Some(expression)) if !expression.is_empty() => {
                let expanded = expand(expression, lookup);
                if expanded.contains("$(") {
                    return Err(format!("missing value for {expression:?}"));
                }
                expanded
            }
            (Some(path), _) if !path.is_empty() => path.to_owned(),
            _ => return Ok(volume.to_owned()),
        };
        let target = directories.sub_path(&mount.name, &container.name, index);
        resolve_sub_path(&mount.name, volume, &sub_path, &target).map_err(|error| error.to_string())
    }

    fn hosts(&self, directories: &PodDirectories, container: &Container) -> std::io::Result<cri::Mount> {
        let settings = &self.context.settings;
        let text = if self.pod.host_network() {
            host_network_hosts_file(
                &self.pod,
                &std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
            )
        } else {
            hosts_file(
                &self.pod,
                &self.pod_ips,
                &settings.cluster_domain,
                &settings.node_name,
            )
        };
        let path = directories.hosts_file();
        std::fs::write(&path, text)?;
        let read_only = container
            .security_context
            .as_ref()
            .is_some_and(|context| context.read_only_root_filesystem == Some(true));
        Ok(cri::Mount {
            container_path: "/etc/hosts".to_owned(),
            host_path: path.to_string_lossy().into_owned(),
            readonly: read_only,
            ..Default::default()
        })
    }

    fn termination_log(
        &self,
        directories: &PodDirectories,
        container: &Container,
    ) -> std::io::Result<cri::Mount> {
        use std::os::unix::fs::PermissionsExt;
        let directory = directories.container(&container.name);
        std::fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{:08x}", rand::random::<u32>()));
        let file = std::fs::File::create(&path)?;
        // Any user of the container may write it.
        file.set_permissions(PermissionsExt::from_mode(0o666))?;
        Ok(cri::Mount {
            container_path: termination_message_path(container).to_owned(),
            host_path: path.to_string_lossy().into_owned(),
            ..Default::default()
        })
    }

    /// Log collectors look for `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`.
    fn link_legacy_log(&self, container: &Container, id: &str) {
        let directory = Path::new("/var/log/containers");
        if self.context.settings.pod_logs != "/var/log/pods" || !directory.is_dir() {
            return;
        }
        let target = Path::new(&log_directory(&self.context.settings.pod_logs, &self.pod))
            .join(log_path(&container.name, self.start.attempt));
        let link = directory.join(format!(
            "{}_{}_{}-{id}.log",
            self.pod.name(),
            self.pod.namespace(),
            container.name
        ));
        if let Err(error) = std::os::unix::fs::symlink(&target, &link) {
            tracing::debug!(link = %link.display(), %error, "log link not made");
        }
    }

    async fn post_start(&self, role: Role, container: &Container, id: &str) -> Result<(), StartError> {
        let Some(hook) = container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.post_start.as_ref())
        else {
            return Ok(());
        };
        let pod_ip = self.pod_ips.first().map_or("", String::as_str);
        let target = Target {
            runtime: &self.context.runtime,
            pod: &self.pod,
            container,
            container_id: id,
            pod_ip,
        };
        let Err(message) = run_hook(&target, hook).await else {
            return Ok(());
        };
        let who = Some((role, container.name.as_str()));
        let message = format!("PostStartHook failed: {message}");
        self.context.event(
            &self.pod,
            who,
            Type::Warning,
            "FailedPostStartHook",
            message.clone(),
        );
        let grace = super::stop::grace_period(&self.pod);
        super::stop::stop_container(
            &self.context,
            &self.pod,
            id,
            &container.name,
            "FailedPostStartHook",
            grace,
            &self.pod_ips,
        )
        .await;
        Err(StartError {
            reason: "PostStartHookError",
            message,
            made: true,
            retry_at: None,
        })
    }
}

/// Runs a lifecycle hook.
pub(super) async fn run_hook(
    target: &Target<'_>,
    hook: &k8s_openapi::api::core::v1::LifecycleHandler,
) -> Result<(), String> {
    if let Some(action) = &hook.exec {
        return target.exec_hook(action).await;
    }
    if let Some(action) = &hook.http_get {
        return match target.http_get(action, HOOK_AGENT).await {
            Outcome::Success(_) => Ok(()),
            Outcome::Failure(message) | Outcome::Unknown(message) => Err(message),
        };
    }
    if let Some(action) = &hook.sleep {
        tokio::time::sleep(std::time::Duration::from_secs(
            u64::try_from(action.seconds).unwrap_or(0),
        ))
        .await;
    }
    Ok(())
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

fn propagation(mode: Option<&str>) -> cri::MountPropagation {
    match mode {
        Some("HostToContainer") => cri::MountPropagation::PropagationHostToContainer,
        Some("Bidirectional") => cri::MountPropagation::PropagationBidirectional,
        _ => cri::MountPropagation::PropagationPrivate,
    }
}
