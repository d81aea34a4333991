//! From what a container was granted to what it runs with: pure.

use std::collections::BTreeSet;

use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::members::PodView;
use super::resources::{CpuSettings, Unified, container_resources};
use crate::runtime::{Observed, RunState};

/// How far a pod's resize has come.
#[derive(Clone, Debug, Default)]
pub struct Resizing {
    /// Why the node does not grant it: reason and message.
    pub pending: Option<(&'static str, String)>,
    /// The containers that run with other resources than they have been granted.
    pub containers: BTreeSet<String>,
    /// What went wrong the last time.
    pub error: Option<String>,
}

/// What is to be done about one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The runtime can change it as it runs.
    Update {
        id: String,
        name: String,
        lowers_memory: Option<i64>,
    },
    /// Its policy wants a new instance.
    Restart { id: String, name: String },
}

impl Change {
    pub fn name(&self) -> &str {
        match self {
            Self::Update { name, .. } | Self::Restart { name, .. } => name,
        }
    }
}

/// The running containers whose resources, as far as the runtime tells them, are not what `pod` says.
pub fn changes(pod: &Pod, observed: &Observed, cpu: CpuSettings, unified: Option<Unified>) -> Vec<Change> {
    let mut changes = Vec::new();
    for container in pod.init_containers().iter().chain(pod.containers()) {
        let Some(running) = observed
            .container(&container.name)
            .filter(|last| last.state == RunState::Running)
        else {
            continue;
        };
        let Some(actual) = &running.resources else {
            continue;
        };
        let wanted = container_resources(container, 0, cpu, unified);
        let (cpu_differs, memory_differs) = (cpu_differs(&wanted, actual), memory_differs(&wanted, actual));
        if !cpu_differs && !memory_differs {
            continue;
        }
        let (id, name) = (running.id.clone(), container.name.clone());
        let restart =
            (cpu_differs && restarts(container, "cpu")) || (memory_differs && restarts(container, "memory"));
        changes.push(if restart {
            Change::Restart { id, name }
        } else {
            let (new, old) = (wanted.memory_limit_in_bytes, actual.memory_limit_in_bytes);
            let lowers_memory = (memory_differs && (old <= 0 || new < old)).then_some(new);
            Change::Update {
                id,
                name,
                lowers_memory,
            }
        });
    }
    changes
}

/// Limits are never taken away, so none wanted means that there is none to compare.
fn cpu_differs(wanted: &cri::LinuxContainerResources, actual: &cri::LinuxContainerResources) -> bool {
    wanted.cpu_shares != actual.cpu_shares
        || (wanted.cpu_quota > 0
            && (wanted.cpu_quota, wanted.cpu_period) != (actual.cpu_quota, actual.cpu_period))
}

fn memory_differs(wanted: &cri::LinuxContainerResources, actual: &cri::LinuxContainerResources) -> bool {
    wanted.memory_limit_in_bytes > 0 && wanted.memory_limit_in_bytes != actual.memory_limit_in_bytes
}

fn restarts(container: &Container, resource: &str) -> bool {
    container
        .resize_policy
        .iter()
        .flatten()
        .any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::runtime::ObservedContainer;

    const CPU: CpuSettings = CpuSettings {
        quota_enabled: true,
        quota_period: 100_000,
    };

    fn pod(resources: Value, policy: Value) -> Pod {
        serde_json::from_value(
            json!({"spec": {"containers": [{"name": "c", "resources": resources, "resizePolicy": policy}]}}),
        )
        .unwrap()
    }

    #[test]
    fn what_runs_with_other_resources_is_changed() {
        let before = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m", "memory": "2Ki"}});
        let before = pod(before, json!([]));
        let running = ObservedContainer {
            id: "1".to_owned(),
            name: "c".to_owned(),
            state: RunState::Running,
            resources: Some(container_resources(&before.containers()[0], 0, CPU, None)),
            ..ObservedContainer::default()
        };
        let update = |lowers_memory| Change::Update {
            id: "1".to_owned(),
            name: "c".to_owned(),
            lowers_memory,
        };
        let restart = Change::Restart {
            id: "1".to_owned(),
            name: "c".to_owned(),
        };
        let memory_restarts = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
        for (cpu_request, cpu_limit, memory, policy, want) in [
            ("100m", "200m", "2Ki", json!([]), None),
            ("0.1", "0.2", "2048", json!([]), None),
            ("150m", "200m", "2Ki", json!([]), Some(update(None))),
            ("100m", "300m", "2Ki", json!([]), Some(update(None))),
            ("100m", "200m", "3Ki", json!([]), Some(update(None))),
            ("100m", "200m", "1Ki", json!([]), Some(update(Some(1024)))),
            ("150m", "200m", "2Ki", memory_restarts.clone(), Some(update(None))),
            ("100m", "200m", "3Ki", memory_restarts, Some(restart)),
        ] {
            let resources =
                json!({"requests": {"cpu": cpu_request}, "limits": {"cpu": cpu_limit, "memory": memory}});
            let observed = Observed {
                containers: vec![running.clone()],
                ..Observed::default()
            };
            let found = changes(&pod(resources.clone(), policy), &observed, CPU, None);
            assert_eq!(found.first(), want.as_ref(), "{resources}");
        }
    }
}
