//! The two kinds that keep a number of pods, seen as one.

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind that can be seen as a ReplicaSet.
pub trait ReplicaKind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + DeserializeOwned
    + Serialize
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
    const ACCOUNT: &'static str;

    /// Specification and status; the metadata is the object's own.
    fn view(&self) -> (ReplicaSetSpec, ReplicaSetStatus);

    fn with_status(&self, status: ReplicaSetStatus) -> Self;
}

impl ReplicaKind for ReplicaSet {
    const ACCOUNT: &'static str = "replicaset-controller";

    fn view(&self) -> (ReplicaSetSpec, ReplicaSetStatus) {
        (
            self.spec.clone().unwrap_or_default(),
            self.status.clone().unwrap_or_default(),
        )
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        Self {
            status: Some(status),
            ..self.clone()
        }
    }
}

impl ReplicaKind for ReplicationController {
    const ACCOUNT: &'static str = "replication-controller";

    fn view(&self) -> (ReplicaSetSpec, ReplicaSetStatus) {
        let spec = self.spec.clone().unwrap_or_default();
        let status = self.status.clone().unwrap_or_default();
        let conditions = status.conditions.map(|conditions| {
            let convert = |condition: ReplicationControllerCondition| ReplicaSetCondition {
                last_transition_time: condition.last_transition_time,
                message: condition.message,
                reason: condition.reason,
                status: condition.status,
                type_: condition.type_,
            };
            conditions.into_iter().map(convert).collect()
        });
        (
            ReplicaSetSpec {
                min_ready_seconds: spec.min_ready_seconds,
                replicas: spec.replicas,
                selector: LabelSelector {
                    match_labels: spec.selector,
                    match_expressions: None,
                },
                template: spec.template,
            },
            ReplicaSetStatus {
                available_replicas: status.available_replicas,
                conditions,
                fully_labeled_replicas: status.fully_labeled_replicas,
                observed_generation: status.observed_generation,
                ready_replicas: status.ready_replicas,
                replicas: status.replicas,
                terminating_replicas: None,
            },
        )
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        let conditions = status.conditions.map(|conditions| {
            let convert = |condition: ReplicaSetCondition| ReplicationControllerCondition {
                last_transition_time: condition.last_transition_time,
                message: condition.message,
                reason: condition.reason,
                status: condition.status,
                type_: condition.type_,
            };
            conditions.into_iter().map(convert).collect()
        });
        Self {
            status: Some(ReplicationControllerStatus {
                available_replicas: status.available_replicas,
                conditions,
                fully_labeled_replicas: status.fully_labeled_replicas,
                observed_generation: status.observed_generation,
                ready_replicas: status.ready_replicas,
                replicas: status.replicas,
            }),
            ..self.clone()
        }
    }
}
