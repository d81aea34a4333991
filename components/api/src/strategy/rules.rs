use crate::Resource;
use crate::features::Feature;

/// What is particular to writes of a kind, as data.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `metadata.generation` starts at 1 and counts changes of these parts.
    pub generation: &'static [&'static str],
    /// A new object has no generation; the first change makes it 1.
    pub generation_from_zero: bool,
    /// The main endpoint leaves `status` alone.
    pub status: bool,
    /// Fields that the main endpoint leaves alone in an update, besides `status`.
    pub main_keeps: &'static [&'static str],
    /// A new object keeps the `status` that the client sent.
    pub status_on_create: bool,
    /// Fields that the status endpoint leaves alone.
    pub status_keeps: &'static [&'static str],
    /// PUT to a name that isn't there creates the object.
    pub create_on_update: bool,
    /// PUT and PATCH may come without a resource version.
    pub unconditional_update: bool,
}

const SPEC: &[&str] = &["spec"];

/// The rules of a kind.
pub fn rules(resource: &Resource) -> Rules {
    let has_status = resource.subresource("status").is_some();
    let plain = Rules {
        generation: &[],
        generation_from_zero: false,
        status: has_status,
        main_keeps: &[],
        status_on_create: false,
        status_keeps: SPEC,
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
        "Deployment" => Rules {
            generation: SPEC,
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
        | "NetworkPolicy"
        | "PodDisruptionBudget" => Rules {
            generation: SPEC,
            ..plain
        },
        "IngressClass" | "PersistentVolumeClaimTemplate" => Rules {
            generation: SPEC,
            ..plain
        },
        "FlowSchema" | "PriorityLevelConfiguration" => Rules {
            generation: SPEC,
            status_keeps: &["spec", "metadata"],
            unconditional_update: false,
            ..plain
        },
        "ValidatingAdmissionPolicy"
        | "ValidatingAdmissionPolicyBinding"
        | "MutatingAdmissionPolicy"
        | "MutatingAdmissionPolicyBinding" => Rules {
            generation: SPEC,
            status_keeps: &["spec", "metadata"],
            unconditional_update: false,
            ..plain
        },
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => Rules {
            generation: &["webhooks"],
            unconditional_update: false,
            ..plain
        },
        "CustomResourceDefinition" => Rules {
            generation: SPEC,
            status_keeps: &["spec", "metadata"],
            unconditional_update: false,
            ..plain
        },
        "APIService" => Rules {
            status_keeps: &["spec", "metadata"],
            unconditional_update: false,
            ..plain
        },
        "CSIDriver" => Rules {
            generation: SPEC,
            generation_from_zero: true,
            unconditional_update: false,
            ..plain
        },
        "PodTemplate" => Rules {
            generation: &["template"],
            ..plain
        },
        "EndpointSlice" => Rules {
            generation: &["addressType", "endpoints", "ports"],
            ..plain
        },
        "PriorityClass" => Rules {
            generation: &["value"],
            ..plain
        },
        "DeviceClass" | "ResourceSlice" => Rules {
            generation: SPEC,
            ..plain
        },
        "ResourceClaim" => Rules {
            status_keeps: &["spec", "metadata"],
            ..plain
        },
        "CertificateSigningRequest" => Rules {
            main_keeps: SPEC,
            ..plain
        },
        "Node" => Rules {
            status_on_create: true,
            ..plain
        },
        // Before v1.36 the status that a client sent was kept everywhere.
        "ServiceCIDR" if !resource.features.has(Feature::ServiceCIDRStatusFieldWiping) => Rules {
            status: false,
            ..plain
        },
        "Lease" | "IPAddress" | "CSINode" | "CSIStorageCapacity" | "RuntimeClass" => Rules {
            create_on_update: resource.gvk.kind == "Lease",
            unconditional_update: resource.gvk.kind == "IPAddress",
            ..plain
        },
        "VolumeAttachment" => Rules {
            status_keeps: &["spec", "metadata"],
            unconditional_update: false,
            ..plain
        },
        "LimitRange" | "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => Rules {
            create_on_update: true,
            ..plain
        },
        "Event" => Rules {
            create_on_update: true,
            ..plain
        },
        _ => plain,
    }
}
