//! Fields of workloads, of what scales them, of leases, nodes and definitions (strategies in pkg/registry/apps, batch,
//! autoscaling and coordination, pkg/api/node, apiextensions-apiserver's customresourcedefinition).
use super::special;
use super::{Drop, Root, Rule, Used};
use crate::features::Feature;

pub(super) const RULES: &[Rule] = &[
    Rule::fields(
        &[Feature::MaxUnavailableStatefulSet],
        Root::Kind("StatefulSet"),
        &["spec.updateStrategy.rollingUpdate.maxUnavailable"],
    ),
    Rule::fields(
        &[Feature::DeploymentReplicaSetTerminatingReplicas],
        Root::Kind("Deployment"),
        &["status.terminatingReplicas"],
    ),
    Rule::fields(
        &[Feature::DeploymentReplicaSetTerminatingReplicas],
        Root::Kind("ReplicaSet"),
        &["status.terminatingReplicas"],
    ),
    Rule::fields(&[Feature::JobManagedBy], Root::JobSpec, &["managedBy"]),
    Rule::fields(
        &[Feature::JobPodReplacementPolicy],
        Root::JobSpec,
        &["podReplacementPolicy"],
    ),
    Rule {
        features: &[Feature::HPAConfigurableTolerance],
        root: Root::Kind("HorizontalPodAutoscaler"),
        drop: Drop::By(special::drop_tolerances),
        used: Used::By(special::has_tolerance),
    },
    Rule::fields(
        &[Feature::CoordinatedLeaderElection],
        Root::Kind("Lease"),
        &["spec.strategy"],
    ),
    Rule::fields(
        &[Feature::CoordinatedLeaderElection],
        Root::Kind("Lease"),
        &["spec.preferredHolder"],
    ),
    Rule::fields(
        &[Feature::NodeDeclaredFeatures],
        Root::Kind("Node"),
        &["status.declaredFeatures"],
    ),
    Rule::fields(
        &[Feature::SupplementalGroupsPolicy],
        Root::Kind("Node"),
        &["status.features"],
    )
    .unless(Used::Never),
    Rule::fields(
        &[Feature::CRDObservedGenerationTracking],
        Root::Kind("CustomResourceDefinition"),
        &["status.conditions[].observedGeneration"],
    ),
];
