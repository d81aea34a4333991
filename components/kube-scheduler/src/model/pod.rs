//! A pod, reduced to what scheduling looks at.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1;

use super::affinity::{AffinityTerm, SpreadConstraint};
use super::declared_features::DeclaredFeatures;
use super::node_affinity::NodeSelection;
use super::ports::{HostPort, host_ports};
use super::requests::{PodRequests, pod_requests};
use super::selector::Labels;
use super::taints::Toleration;
use super::volumes::{VolumeUse, volumes};

#[derive(Clone, Debug, Default)]
pub struct Pod {
    pub uid: Arc<str>,
    pub namespace: String,
    pub name: String,
    pub labels: Labels,
    pub generation: Option<i64>,
    pub scheduler_name: String,
    pub priority: i32,
    pub never_preempts: bool,
    pub created: Option<Timestamp>,
    pub started: Option<Timestamp>,
    pub deleting: bool,
    /// Succeeded or Failed: holds nothing on its node any more.
    pub ended: bool,
    pub node_name: Option<String>,
    pub nominated_node: Option<String>,
    pub gated: bool,
    pub has_resource_claims: bool,
    /// What its node must declare.
    pub needs: DeclaredFeatures,
    pub requests: PodRequests,
    pub nodes: NodeSelection,
    pub tolerations: Vec<Toleration>,
    pub host_ports: Vec<HostPort>,
    /// Images of all containers, in the form under which nodes report them.
    pub images: Vec<String>,
    pub container_count: usize,
    pub affinity: PodAffinity,
    pub anti_affinity: PodAffinity,
    pub spread: Vec<SpreadConstraint>,
    pub volumes: Vec<VolumeUse>,
    pub controller: Option<Controller>,
    /// The PodScheduled condition as (status, reason, message), to be written only when it changes.
    pub scheduled_condition: Option<(String, String, String)>,
    pub has_disruption_target: bool,
    /// The pod waits for victims of its own preemption to be gone, if this is its nominated node.
    pub preempted_by_scheduler: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodAffinity {
    pub required: Vec<AffinityTerm>,
    pub preferred: Vec<(i64, AffinityTerm)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    pub kind: String,
    pub name: String,
}

impl Pod {
    pub fn of(pod: &v1::Pod) -> Self {
        let meta = &pod.metadata;
        let namespace = meta.namespace.clone().unwrap_or_default();
        let name = meta.name.clone().unwrap_or_default();
        let labels = meta.labels.clone().unwrap_or_default();
        let status = pod.status.as_ref();
        let mut made = Self {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            generation: meta.generation,
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            deleting: meta.deletion_timestamp.is_some(),
            controller: meta
                .owner_references
                .iter()
                .flatten()
                .find(|owner| owner.controller == Some(true))
                .map(|owner| Controller {
                    kind: owner.kind.clone(),
                    name: owner.name.clone(),
                }),
            ..Self::default()
        };
        if let Some(status) = status {
            made.started = status.start_time.as_ref().map(|time| time.0);
            made.ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
            made.nominated_node = status.nominated_node_name.clone().filter(|name| !name.is_empty());
            for condition in status.conditions.iter().flatten() {
                match condition.type_.as_str() {
                    "PodScheduled" => {
                        made.scheduled_condition = Some((
                            condition.status.clone(),
                            condition.reason.clone().unwrap_or_default(),
                            condition.message.clone().unwrap_or_default(),
                        ));
                    }
                    "DisruptionTarget" if condition.status == "True" => {
                        made.has_disruption_target = true;
                        made.preempted_by_scheduler =
                            condition.reason.as_deref() == Some("PreemptionByScheduler");
                    }
                    _ => {}
                }
            }
        }
        if let Some(spec) = &pod.spec {
            made.read_spec(spec, status, &namespace, &name, &labels);
        }
        made.namespace = namespace;
        made.name = name;
        made.labels = labels;
        made
    }

    fn read_spec(
        &mut self,
        spec: &v1::PodSpec,
        status: Option<&v1::PodStatus>,
        namespace: &str,
        name: &str,
        labels: &Labels,
    ) {
        self.scheduler_name = spec
            .scheduler_name
            .clone()
            .unwrap_or_else(|| "default-scheduler".to_owned());
        self.priority = spec.priority.unwrap_or(0);
        self.never_preempts = spec.preemption_policy.as_deref() == Some("Never");
        self.node_name = spec.node_name.clone().filter(|name| !name.is_empty());
        self.gated = spec
            .scheduling_gates
            .as_ref()
            .is_some_and(|gates| !gates.is_empty());
        self.needs = DeclaredFeatures::of_pod(spec);
        self.has_resource_claims = spec
            .resource_claims
            .as_ref()
            .is_some_and(|claims| !claims.is_empty());
        self.requests = pod_requests(spec, status);
        self.nodes = NodeSelection::of(spec);
        self.tolerations = spec
            .tolerations
            .iter()
            .flatten()
            .filter_map(Toleration::of)
            .collect();
        self.host_ports = host_ports(spec);
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        self.images = containers
            .filter_map(|one| one.image.as_deref())
            .map(normalized_image)
            .collect();
        self.container_count = spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len);
        self.volumes = volumes(spec, name);
        self.spread = spec
            .topology_spread_constraints
            .iter()
            .flatten()
            .map(|constraint| SpreadConstraint::of(constraint, namespace, labels))
            .collect();
        let Some(affinity) = &spec.affinity else { return };
        let term = |term: &v1::PodAffinityTerm| AffinityTerm::of(term, namespace, labels);
        let weighted =
            |one: &v1::WeightedPodAffinityTerm| (i64::from(one.weight), term(&one.pod_affinity_term));
        if let Some(affinity) = &affinity.pod_affinity {
            self.affinity = PodAffinity {
                required: affinity
                    .required_during_scheduling_ignored_during_execution
                    .iter()
                    .flatten()
                    .map(term)
                    .collect(),
                preferred: affinity
                    .preferred_during_scheduling_ignored_during_execution
                    .iter()
                    .flatten()
                    .map(weighted)
                    .collect(),
            };
        }
        if let Some(affinity) = &affinity.pod_anti_affinity {
            self.anti_affinity = PodAffinity {
                required: affinity
                    .required_during_scheduling_ignored_during_execution
                    .iter()
                    .flatten()
                    .map(term)
                    .collect(),
                preferred: affinity
                    .preferred_during_scheduling_ignored_during_execution
                    .iter()
                    .flatten()
                    .map(weighted)
                    .collect(),
            };
        }
    }

    /// `namespace/name`, as messages name it.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether a change from `old` to this may let a waiting pod be placed: what the plugins look at differs.
    pub fn differs_for_scheduling(&self, old: &Self) -> bool {
        self.labels != old.labels
            || self.requests != old.requests
            || self.tolerations != old.tolerations
            || self.gated != old.gated
            || self.nodes != old.nodes
            || self.priority != old.priority
    }
}

/// An image name with its tag: `latest` when it has neither tag nor digest.
pub fn normalized_image(image: &str) -> String {
    let after_host = image.rfind('/').map_or(0, |slash| slash + 1);
    if image[after_host..].contains([':', '@']) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_without_a_tag_are_the_latest() {
        for (image, normalized) in [
            ("busybox", "busybox:latest"),
            ("r.local:5000/busybox", "r.local:5000/busybox:latest"),
            ("r.local:5000/busybox:1", "r.local:5000/busybox:1"),
            ("busybox@sha256:00", "busybox@sha256:00"),
        ] {
            assert_eq!(normalized_image(image), normalized);
        }
    }
}
