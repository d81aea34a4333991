//! What a running pod has been granted. A pod that asks for other resources gets them when the node has room; until
//! then it goes on with what it has.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, ResourceRequirements};

use crate::admission::{NodeFacts, is_over};
use crate::pod::members::PodView;
use crate::pod::resources::pod_requests;

/// Why a pod does not get what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `Deferred` until there is room, or `Infeasible` on this node.
    pub reason: &'static str,
    pub message: String,
}

type Resources = Option<ResourceRequirements>;

/// The pod with the resources that `granted` has.
pub fn with_resources_of(pod: &Pod, granted: &Pod) -> Pod {
    let mut result = pod.clone();
    let of = |name: &str| granted.member(name).map(|(_, container)| container.resources);
    replace(&mut result, |container| of(&container.name));
    if let (Some(spec), Some(granted)) = (&mut result.spec, &granted.spec) {
        spec.resources = granted.resources.clone();
    }
    result
}

/// The pod with the resources that its status says it has: what an earlier kubelet had granted.
pub fn with_resources_of_status(pod: &Pod) -> Pod {
    let mut result = pod.clone();
    let status = pod.status.clone().unwrap_or_default();
    let statuses: Vec<ContainerStatus> = status
        .container_statuses
        .into_iter()
        .chain(status.init_container_statuses)
        .flatten()
        .collect();
    replace(&mut result, |container| {
        let status = statuses.iter().find(|status| status.name == container.name)?;
        let mut resources = status.resources.clone()?;
        if status.allocated_resources.is_some() {
            resources.requests = status.allocated_resources.clone();
        }
        resources.claims = container.resources.as_ref().and_then(|own| own.claims.clone());
        Some(Some(resources))
    });
    result
}

fn replace(pod: &mut Pod, of: impl Fn(&Container) -> Option<Resources>) {
    let Some(spec) = &mut pod.spec else { return };
    let inits = spec.init_containers.iter_mut().flatten();
    for container in spec.containers.iter_mut().chain(inits) {
        if let Some(resources) = of(container) {
            container.resources = resources;
        }
    }
}

/// Whether two versions of a pod differ in what their containers get.
pub fn differ(a: &Pod, b: &Pod) -> bool {
    let of = |pod: &Pod| -> Vec<(String, Resources)> {
        pod.containers()
            .iter()
            .chain(pod.init_containers())
            .map(|container| (container.name.clone(), container.resources.clone()))
            .collect()
    };
    of(a) != of(b) || a.view().resources != b.view().resources
}

/// Whether the node has room for what the pod asks for now, beside what the others have been granted.
pub fn fits(pod: &Pod, others: &[Arc<Pod>], node: &NodeFacts) -> Result<(), Refusal> {
    if crate::sources::is_static(pod) {
        return Err(Refusal {
            reason: "Infeasible",
            message: "In-place resize of static-pods is not supported".to_owned(),
        });
    }
    let (cpu, memory) = pod_requests(pod);
    let wanted = [("cpu", cpu, node.milli_cpu), ("memory", memory, node.memory)];
    if let Some((name, requested, capacity)) = wanted.iter().find(|(_, wanted, capacity)| wanted > capacity) {
        return Err(Refusal {
            reason: "Infeasible",
            message: format!(
                "Node didn't have enough capacity: {name}, requested: {requested}, capacity: {capacity}"
            ),
        });
    }
    let used: Vec<(i64, i64)> = others
        .iter()
        .filter(|other| other.uid() != pod.uid() && !is_over(other))
        .map(|other| pod_requests(other))
        .collect();
    let used = [
        used.iter().map(|(cpu, _)| cpu).sum::<i64>(),
        used.iter().map(|(_, memory)| memory).sum(),
    ];
    for ((name, requested, capacity), used) in wanted.into_iter().zip(used) {
        if used.saturating_add(requested) > capacity {
            return Err(Refusal {
                reason: "Deferred",
                message: format!(
                    "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
                ),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(uid: &str, resources: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": uid, "namespace": "n", "uid": uid},
            "spec": {"containers": [{"name": "c", "resources": resources}]}
        }))
        .unwrap()
    }

    #[test]
    fn a_resize_needs_room() {
        let node = NodeFacts {
            milli_cpu: 1000,
            memory: 1000,
            pods: 9,
            ..NodeFacts::default()
        };
        let others = [
            Arc::new(pod("other", json!({"requests": {"cpu": "600m"}}))),
            // Its own earlier version does not count.
            Arc::new(pod("p", json!({"requests": {"cpu": "300m"}}))),
        ];
        for (requests, want) in [
            (json!({"cpu": "400m", "memory": "1000"}), None),
            (json!({"cpu": "401m"}), Some("Deferred")),
            (json!({"cpu": "1001m"}), Some("Infeasible")),
            (json!({"memory": "1001"}), Some("Infeasible")),
        ] {
            let wanted = pod("p", json!({"requests": requests}));
            let refusal = fits(&wanted, &others, &node).err();
            assert_eq!(refusal.map(|refusal| refusal.reason), want, "{requests}");
        }
    }

    #[test]
    fn until_then_a_pod_keeps_what_it_has() {
        let old = pod("p", json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}));
        let mut new = pod("p", json!({"requests": {"cpu": "5"}}));
        new.metadata.labels = Some([("new".to_owned(), "label".to_owned())].into());
        assert!(differ(&old, &new));
        let kept = with_resources_of(&new, &old);
        assert!(!differ(&old, &kept));
        assert_eq!(kept.metadata.labels, new.metadata.labels);
        // After a restart of the kubelet only the status knows it.
        new.status = serde_json::from_value(json!({"containerStatuses": [{
            "name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "allocatedResources": {"cpu": "1"},
            "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
        }]}))
        .unwrap();
        assert!(!differ(&old, &with_resources_of_status(&new)));
    }
}
