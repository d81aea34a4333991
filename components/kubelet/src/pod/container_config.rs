//! A container as the runtime takes it: pure.

use std::collections::HashMap;

use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::expansion::expand;
use super::members::{PodView, Role};
use super::qos::oom_score_adj;
use super::resources::container_resources;
use super::sandbox_config::NodeSettings;
use super::security::{ImageUser, SecurityError, container_security};
use crate::runtime::{annotation, label};

/// What was prepared for a container before it is made.
pub struct Prepared<'a> {
    pub pod: &'a Pod,
    pub role: Role,
    pub container: &'a Container,
    pub attempt: u32,
    /// The image as the runtime knows it, and its user.
    pub image: String,
    pub image_user: ImageUser,
    pub environment: Vec<(String, String)>,
    pub mounts: Vec<cri::Mount>,
    pub devices: Vec<cri::Device>,
    /// The container whose process namespace an ephemeral container joins.
    pub target_id: Option<String>,
}

/// Identifies the parts of a container's spec whose change makes a new container. Computed exactly as upstream
/// does (FNV-1a over Go's dump of the JSON's bytes), so that neither kubelet restarts what the other started.
pub fn container_hash(container: &Container) -> String {
    let image = serde_json::Value::from(container.image.clone().unwrap_or_default());
    let json = format!(
        "{{\"image\":{image},\"name\":{}}}",
        serde_json::Value::from(container.name.clone())
    );
    let bytes: Vec<String> = json.bytes().map(|byte| byte.to_string()).collect();
    let dump = format!("([]uint8)[{}]", bytes.join(" "));
    let hash = dump.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{hash:x}")
}

/// The log file of an attempt, below the pod's log directory.
pub fn log_path(container: &str, attempt: u32) -> String {
    format!("{container}/{attempt}.log")
}

/// Makes the configuration.
pub fn container_config(
    prepared: Prepared<'_>,
    settings: &NodeSettings,
) -> Result<cri::ContainerConfig, SecurityError> {
    let Prepared {
        pod,
        role,
        container,
        attempt,
        ..
    } = prepared;
    let mut security = container_security(
        pod,
        container,
        &prepared.image_user,
        &settings.root,
        settings.seccomp_default,
    )?;
    if let (Some(target), Some(namespaces)) = (prepared.target_id, &mut security.namespace_options) {
        namespaces.pid = cri::NamespaceMode::Target as i32;
        namespaces.target_id = target;
    }
    let variables: HashMap<&str, &str> = prepared
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        words
            .iter()
            .flatten()
            .map(|word| expand(word, |name| variables.get(name).map(|value| (*value).to_owned())))
            .collect()
    };
    let command = expanded(&container.command);
    let args = expanded(&container.args);
    let score = oom_score_adj(pod, role, container, settings.memory_capacity);
    Ok(cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata {
            name: container.name.clone(),
            attempt,
        }),
        image: Some(cri::ImageSpec {
            image: prepared.image,
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..Default::default()
        }),
        command,
        args,
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: prepared
            .environment
            .iter()
            .map(|(key, value)| cri::KeyValue {
                key: key.clone(),
                value: value.clone(),
            })
            .collect(),
        mounts: prepared.mounts,
        devices: prepared.devices,
        labels: [
            (label::POD_NAME, pod.name()),
            (label::POD_NAMESPACE, pod.namespace()),
            (label::POD_UID, pod.uid()),
            (label::CONTAINER_NAME, container.name.as_str()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
        annotations: annotations(pod, container, attempt),
        log_path: log_path(&container.name, attempt),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(cri::LinuxContainerConfig {
            resources: Some(container_resources(
                container,
                score,
                settings.cpu,
                settings.unified,
            )),
            security_context: Some(security),
        }),
        ..Default::default()
    })
}

fn annotations(pod: &Pod, container: &Container, attempt: u32) -> HashMap<String, String> {
    let mut map: HashMap<String, String> = [
        (annotation::HASH, container_hash(container)),
        (annotation::RESTART_COUNT, attempt.to_string()),
        (
            annotation::TERMINATION_MESSAGE_PATH,
            termination_message_path(container).to_owned(),
        ),
        (
            annotation::TERMINATION_MESSAGE_POLICY,
            container
                .termination_message_policy
                .clone()
                .unwrap_or_else(|| "File".to_owned()),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if let Some(seconds) = pod.metadata.deletion_grace_period_seconds {
        map.insert(
            annotation::POD_DELETION_GRACE_PERIOD.to_owned(),
            seconds.to_string(),
        );
    }
    if let Some(seconds) = pod.view().termination_grace_period_seconds {
        map.insert(
            annotation::POD_TERMINATION_GRACE_PERIOD.to_owned(),
            seconds.to_string(),
        );
    }
    if let Some(Ok(text)) = container
        .lifecycle
        .as_ref()
        .and_then(|lifecycle| lifecycle.pre_stop.as_ref())
        .map(serde_json::to_string)
    {
        map.insert(annotation::PRE_STOP_HANDLER.to_owned(), text);
    }
    if let Some(Ok(text)) = container.ports.as_ref().map(serde_json::to_string) {
        map.insert(annotation::PORTS.to_owned(), text);
    }
    map
}

/// Where a container may leave a message about its end.
pub fn termination_message_path(container: &Container) -> &str {
    container
        .termination_message_path
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or("/dev/termination-log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_upstreams() {
        let container = Container {
            name: "test_container".to_owned(),
            image: Some("foo/image:v1".to_owned()),
            ..Container::default()
        };
        assert_eq!(container_hash(&container), "8e45cbd0");
    }
}
