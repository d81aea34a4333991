//! Older versions of the built-in kinds: not served any more, but objects are stored in them, since nobody writes an
//! object anew that nobody changes. Upstream reads all that are in its scheme (pkg/apis/*/install), and writes some
//! kinds in an older version than it serves, so that the release before can read them after a downgrade.
mod admission;
mod definition;
mod devices;
mod network;
mod others;
mod workloads;

use crate::value::Object;
use apimachinery::{GroupVersion, GroupVersionKind};
use serde_json::{Value, json};

/// What the protobuf message of an older version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Field by field the one of now.
    Same,
    /// One that the protobuf codec knows as older.
    Older,
    /// That of another schema.
    Of(&'static str),
}

/// Fills in the defaults that differ from those of now, and turns the object into its kind's form of now.
type Upgrade = fn(&mut Object);

/// An older version of some kinds of a group.
#[derive(Debug)]
pub struct Former {
    group: &'static str,
    kinds: &'static [&'static str],
    versions: &'static [&'static str],
    pub message: Message,
    /// None where only the version differs.
    upgrade: Option<Upgrade>,
}

const fn same(
    group: &'static str,
    kinds: &'static [&'static str],
    versions: &'static [&'static str],
) -> Former {
    Former {
        group,
        kinds,
        versions,
        message: Message::Same,
        upgrade: None,
    }
}

impl Former {
    const fn with(self, upgrade: Upgrade) -> Self {
        Former {
            upgrade: Some(upgrade),
            ..self
        }
    }

    const fn message(self, message: Message) -> Self {
        Former { message, ..self }
    }

    /// Makes the object one of its kind's storage version, but for the defaults, which are those of now from here on.
    pub fn upgrade(&self, now: &GroupVersion, object: &mut Value) {
        if let (Some(upgrade), Some(object)) = (self.upgrade, object.as_object_mut()) {
            upgrade(object);
        }
        object["apiVersion"] = json!(now.to_string());
    }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const EXTENSIONS: &[&str] = &["extensions/v1beta1"];
const NETWORKING: &str = "networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const RESOURCE: &str = "resource.k8s.io";
const FLOW_CONTROL: &str = "flowcontrol.apiserver.k8s.io";
const STORAGE: &str = "storage.k8s.io";

/// All that v1.36 decodes and that an API server ever stored.
static FORMER: &[Former] = &[
    same(
        ADMISSION,
        &[
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
        ],
        &[
            "admissionregistration.k8s.io/v1beta1",
            "admissionregistration.k8s.io/v1alpha1",
        ],
    ),
    same(
        ADMISSION,
        &["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"],
        &["admissionregistration.k8s.io/v1beta1"],
    )
    .with(admission::webhooks),
    same(
        "apiextensions.k8s.io",
        &["CustomResourceDefinition"],
        &["apiextensions.k8s.io/v1beta1"],
    )
    .with(definition::upgrade),
    same(
        "apiregistration.k8s.io",
        &["APIService"],
        &["apiregistration.k8s.io/v1beta1"],
    ),
    same("apps", &["ControllerRevision"], &["apps/v1beta2", "apps/v1beta1"]),
    same(
        "apps",
        &["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"],
        &["apps/v1beta2"],
    ),
    same("apps", &["Deployment"], &["apps/v1beta1"])
        .with(workloads::deployment)
        .message(Message::Older),
    same("apps", &["StatefulSet"], &["apps/v1beta1"]).with(workloads::stateful_set),
    same("apps", &["Deployment"], EXTENSIONS)
        .with(workloads::first_deployment)
        .message(Message::Older),
    same("apps", &["DaemonSet"], EXTENSIONS)
        .with(workloads::daemon_set)
        .message(Message::Older),
    same("apps", &["ReplicaSet"], EXTENSIONS).with(workloads::of_template),
    same("autoscaling", &["HorizontalPodAutoscaler"], &["autoscaling/v1"])
        .with(others::autoscaler)
        .message(Message::Of("io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler")),
    same("batch", &["CronJob"], &["batch/v1beta1"]),
    same(
        "certificates.k8s.io",
        &["CertificateSigningRequest"],
        &["certificates.k8s.io/v1beta1"],
    )
    .with(others::signing_request),
    same(
        "coordination.k8s.io",
        &["Lease"],
        &["coordination.k8s.io/v1beta1"],
    ),
    same(
        "discovery.k8s.io",
        &["EndpointSlice"],
        &["discovery.k8s.io/v1beta1"],
    )
    .with(network::endpoint_slice)
    .message(Message::Older),
    same(
        FLOW_CONTROL,
        &["FlowSchema"],
        &[
            "flowcontrol.apiserver.k8s.io/v1beta3",
            "flowcontrol.apiserver.k8s.io/v1beta2",
            "flowcontrol.apiserver.k8s.io/v1beta1",
        ],
    ),
    same(
        FLOW_CONTROL,
        &["PriorityLevelConfiguration"],
        &["flowcontrol.apiserver.k8s.io/v1beta3"],
    )
    .with(others::priority_level),
    same(
        FLOW_CONTROL,
        &["PriorityLevelConfiguration"],
        &[
            "flowcontrol.apiserver.k8s.io/v1beta2",
            "flowcontrol.apiserver.k8s.io/v1beta1",
        ],
    )
    .with(others::assured_priority_level)
    .message(Message::Older),
    same(NETWORKING, &["NetworkPolicy"], EXTENSIONS),
    same(
        NETWORKING,
        &["Ingress"],
        &["networking.k8s.io/v1beta1", "extensions/v1beta1"],
    )
    .with(network::ingress)
    .message(Message::Older),
    same(
        NETWORKING,
        &["IngressClass", "IPAddress", "ServiceCIDR"],
        &["networking.k8s.io/v1beta1"],
    ),
    same("node.k8s.io", &["RuntimeClass"], &["node.k8s.io/v1beta1"]),
    same("node.k8s.io", &["RuntimeClass"], &["node.k8s.io/v1alpha1"])
        .with(others::runtime_class)
        .message(Message::Older),
    same("policy", &["PodDisruptionBudget"], &["policy/v1beta1"]).with(others::disruption_budget),
    same(
        RBAC,
        &["ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"],
        &["rbac.authorization.k8s.io/v1beta1"],
    ),
    same(
        RBAC,
        &["ClusterRole", "Role"],
        &["rbac.authorization.k8s.io/v1alpha1"],
    )
    .message(Message::Older),
    same(
        RBAC,
        &["ClusterRoleBinding", "RoleBinding"],
        &["rbac.authorization.k8s.io/v1alpha1"],
    )
    .with(others::role_binding)
    .message(Message::Older),
    same(
        RESOURCE,
        &[
            "DeviceClass",
            "ResourceClaim",
            "ResourceClaimTemplate",
            "ResourceSlice",
        ],
        &["resource.k8s.io/v1beta2"],
    ),
    same(RESOURCE, &["DeviceClass"], &["resource.k8s.io/v1beta1"]),
    same(RESOURCE, &["ResourceClaim"], &["resource.k8s.io/v1beta1"])
        .with(devices::claim)
        .message(Message::Older),
    same(RESOURCE, &["ResourceClaimTemplate"], &["resource.k8s.io/v1beta1"])
        .with(devices::claim_template)
        .message(Message::Older),
    same(RESOURCE, &["ResourceSlice"], &["resource.k8s.io/v1beta1"])
        .with(devices::slice)
        .message(Message::Older),
    same(
        "scheduling.k8s.io",
        &["PriorityClass"],
        &["scheduling.k8s.io/v1beta1", "scheduling.k8s.io/v1alpha1"],
    ),
    same(
        STORAGE,
        &["CSIDriver", "CSINode", "StorageClass"],
        &["storage.k8s.io/v1beta1"],
    ),
    same(
        STORAGE,
        &["CSIStorageCapacity", "VolumeAttachment", "VolumeAttributesClass"],
        &["storage.k8s.io/v1beta1", "storage.k8s.io/v1alpha1"],
    ),
];

/// What is to be known of a version that objects of a kind may be stored in; `kind` is the kind of now.
pub fn find(kind: &GroupVersionKind, api_version: &str) -> Option<&'static Former> {
    FORMER.iter().find(|former| {
        former.group == kind.group
            && former.kinds.contains(&kind.kind.as_str())
            && former.versions.contains(&api_version)
    })
}

/// The older version in which upstream v1.36 writes a kind (pkg/kubeapiserver/default_storage_factory_builder.go,
/// pkg/controlplane/apiserver/apiextensions.go).
pub(crate) fn written(kind: &GroupVersionKind) -> Option<GroupVersion> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        (ADMISSION, "MutatingAdmissionPolicy" | "MutatingAdmissionPolicyBinding")
        | ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            Some(GroupVersion::new(&*kind.group, "v1beta1"))
        }
        _ => None,
    }
}

/// The version before the one that a kind is served in, for servers that don't know that one. It was there in each version
/// that a cluster may still have servers of.
pub(crate) fn before(kind: &GroupVersionKind) -> Option<GroupVersion> {
    let version = match (kind.group.as_str(), kind.kind.as_str()) {
        (RESOURCE, "DeviceClass" | "ResourceClaim" | "ResourceClaimTemplate" | "ResourceSlice") => "v1beta2",
        (STORAGE, "VolumeAttributesClass") => "v1beta1",
        _ => return None,
    };
    Some(GroupVersion::new(&*kind.group, version))
}

/// Turns an object of the kind of now into the older version in which it is written.
pub fn downgrade(kind: &str, written: &GroupVersion, object: &mut Value) {
    if let ("CustomResourceDefinition", Some(object)) = (kind, object.as_object_mut()) {
        definition::downgrade(object);
    }
    object["apiVersion"] = json!(written.to_string());
}

#[cfg(test)]
mod tests;
