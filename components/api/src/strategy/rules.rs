use crate::Resource;
use crate::features::Feature;

/// What is particular to writes of a kind, as data.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `metadata.generation` counts changes of these paths, and starts at 1.
    pub generation: &'static [&'static str],
    /// A new object has the generation that the client sent, if any; what changes it counts from there.
    pub generation_as_sent: bool,
    /// What a gate that is off drops from an update has been counted as a change.
    pub generation_before_gates: bool,
    /// The main endpoint leaves `status` alone.
    pub status: bool,
    /// Fields that the main endpoint leaves alone in an update, besides `status`.
    pub main_keeps: &'static [&'static str],
    /// A new object keeps the `status` that the client sent.
    pub status_on_create: bool,
    /// Paths that the status endpoint leaves alone.
    pub status_keeps: &'static [&'static str],
    /// Paths that whoever writes through the status endpoint does not come to own; `None` for those that it leaves alone.
    pub status_disowns: Option<&'static [&'static str]>,
    /// PUT to a name that isn't there creates the object.
    pub create_on_update: bool,
    /// PUT and PATCH may come without a resource version.
    pub unconditional_update: bool,
}

const SPEC: &[&str] = &["spec"];

/// What upstream's `ResetObjectMetaForStatus` keeps, of what a client can change at all, and the spec. The prefix of a name that was
/// to be made up is not in it.
const SPEC_AND_METADATA: &[&str] = &[
    "spec",
    "metadata.labels",
    "metadata.annotations",
    "metadata.finalizers",
    "metadata.ownerReferences",
];

/// What the status endpoints that keep metadata say of themselves to those who apply.
const ALL_BUT_STATUS: Option<&[&str]> = Some(&["spec", "metadata"]);

/// The rules of a kind.
pub fn rules(resource: &Resource) -> Rules {
    let has_status = resource.subresource("status").is_some();
    let plain = Rules {
        generation: &[],
        generation_as_sent: false,
        generation_before_gates: false,
        status: has_status,
        main_keeps: &[],
        status_on_create: false,
        status_keeps: SPEC,
        status_disowns: None,
        create_on_update: false,
        unconditional_update: true,
    };
    if resource.custom.is_some() {
        return Rules {
            unconditional_update: false,
            ..plain
        };
    }
    match resource.gvk.kind.as_str() {
        "Pod" => Rules {
            generation: SPEC,
            status_keeps: &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"],
            ..plain
        },
        // Its annotations are copied to its replica sets.
        "Deployment" => Rules {
            generation: &["spec", "metadata.annotations"],
            status_keeps: &["spec", "metadata.labels"],
            ..plain
        },
        "Job"
        | "CronJob"
        | "ReplicaSet"
        | "DaemonSet"
        | "StatefulSet"
        | "ReplicationController"
        | "Ingress"
        | "IngressClass"
        | "NetworkPolicy" => Rules {
            generation: SPEC,
            ..plain
        },
        "PodDisruptionBudget" => Rules {
            generation: SPEC,
            unconditional_update: false,
            ..plain
        },
        "FlowSchema" | "PriorityLevelConfiguration" => Rules {
            generation: SPEC,
            status_keeps: &["spec", "metadata"],
            ..plain
        },
        "ValidatingAdmissionPolicy"
        | "ValidatingAdmissionPolicyBinding"
        | "MutatingAdmissionPolicy"
        | "MutatingAdmissionPolicyBinding" => Rules {
            generation: SPEC,
            status_keeps: SPEC_AND_METADATA,
            status_disowns: ALL_BUT_STATUS,
            unconditional_update: false,
            ..plain
        },
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => Rules {
            generation: &["webhooks"],
            unconditional_update: false,
            ..plain
        },
        // Its status endpoint is meant to keep metadata, too, but compares that with itself; controllers take their finalizer
        // away through it.
        "CustomResourceDefinition" => Rules {
            generation: SPEC,
            status_disowns: Some(&["spec"]),
            unconditional_update: false,
            ..plain
        },
        "APIService" => Rules {
            status_keeps: SPEC_AND_METADATA,
            status_disowns: ALL_BUT_STATUS,
            unconditional_update: false,
            ..plain
        },
        "CSIDriver" => Rules {
            generation: SPEC,
            generation_as_sent: true,
            unconditional_update: false,
            ..plain
        },
        "PodTemplate" => Rules {
            generation: &["template"],
            ..plain
        },
        "EndpointSlice" => Rules {
            generation: &["addressType", "endpoints", "ports", "metadata.labels"],
            generation_before_gates: true,
            ..plain
        },
        "PriorityClass" => Rules {
            generation: &["value"],
            ..plain
        },
        "DeviceClass" => Rules {
            generation: SPEC,
            ..plain
        },
        "ResourceSlice" => Rules {
            generation: SPEC,
            generation_before_gates: true,
            ..plain
        },
        "ResourceClaim" => Rules {
            status_keeps: SPEC_AND_METADATA,
            status_disowns: ALL_BUT_STATUS,
            ..plain
        },
        // A signer may write conditions of its own, but those who apply don't come to own any.
        "CertificateSigningRequest" => Rules {
            main_keeps: SPEC,
            status_disowns: Some(&["spec", "status.conditions"]),
            ..plain
        },
        "Node" => Rules {
            status_on_create: true,
            ..plain
        },
        // Before v1.36 the status that a client sent was kept everywhere.
        "ServiceCIDR" => Rules {
            status: resource.features.has(Feature::ServiceCIDRStatusFieldWiping),
            status_keeps: SPEC_AND_METADATA,
            status_disowns: ALL_BUT_STATUS,
            ..plain
        },
        "CSINode" | "CSIStorageCapacity" => Rules {
            unconditional_update: false,
            ..plain
        },
        "Lease" | "RuntimeClass" => Rules {
            create_on_update: true,
            unconditional_update: false,
            ..plain
        },
        "VolumeAttachment" => Rules {
            status_keeps: SPEC_AND_METADATA,
            status_disowns: ALL_BUT_STATUS,
            unconditional_update: false,
            ..plain
        },
        "Endpoints" | "Event" | "LimitRange" | "Service" | "Role" | "ClusterRole" | "RoleBinding"
        | "ClusterRoleBinding" => Rules {
            create_on_update: true,
            ..plain
        },
        _ => plain,
    }
}
