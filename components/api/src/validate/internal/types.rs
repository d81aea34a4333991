use super::Kind::{Flag, List, Number, Plain, Pointer, Struct, Text};
use super::Member;
pub(in crate::validate) use super::pod::{
    CONTAINER_SECURITY, EPHEMERAL_CONTAINER, POD_SPEC, POD_TEMPLATE, RESIZE_POLICY, spec as pod_spec,
    template,
};

pub(in crate::validate) use super::volumes::{VOLUME_CLAIM, VOLUME_CLAIM_SPEC, VOLUME_SOURCE};

type Members = &'static [Member];

/// rbac.RoleRef
pub(in crate::validate) const ROLE_REF: Members = &[
    Member("APIGroup", "apiGroup", Text),
    Member("Kind", "kind", Text),
    Member("Name", "name", Text),
];

/// admissionregistration.AuditAnnotation
pub(in crate::validate) const AUDIT_ANNOTATION: Members = &[
    Member("Key", "key", Text),
    Member("ValueExpression", "valueExpression", Text),
];

/// networking.ParentReference
pub(in crate::validate) const PARENT_REF: Members = &[
    Member("Group", "group", Text),
    Member("Resource", "resource", Text),
    Member("Namespace", "namespace", Text),
    Member("Name", "name", Text),
];

/// core.Taint
pub(in crate::validate) const TAINT: Members = &[
    Member("Key", "key", Text),
    Member("Value", "value", Text),
    Member("Effect", "effect", Text),
    Member("TimeAdded", "timeAdded", Plain),
];

/// core.NodeAddress
pub(in crate::validate) const NODE_ADDRESS: Members =
    &[Member("Type", "type", Text), Member("Address", "address", Text)];

/// A source of a kubelet's configuration that names none.
pub(in crate::validate) const NODE_CONFIG_SOURCE: Members = &[Member("ConfigMap", "configMap", Plain)];

/// core.PodIP and core.HostIP
pub(in crate::validate) const IP: Members = &[Member("IP", "ip", Text)];

/// core.ScopeSelector
pub(in crate::validate) const SCOPE_SELECTOR: Members = &[Member(
    "MatchExpressions",
    "matchExpressions",
    List(&[
        Member("ScopeName", "scopeName", Text),
        Member("Operator", "operator", Text),
        Member("Values", "values", Plain),
    ]),
)];

/// policy.PodDisruptionBudgetSpec
pub(in crate::validate) const DISRUPTION_BUDGET: Members = &[
    Member("MinAvailable", "minAvailable", Plain),
    Member("Selector", "selector", Plain),
    Member("MaxUnavailable", "maxUnavailable", Plain),
    Member("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy", Plain),
];

/// core.Toleration
pub(in crate::validate) const TOLERATION: Members = &[
    Member("Key", "key", Text),
    Member("Operator", "operator", Text),
    Member("Value", "value", Text),
    Member("Effect", "effect", Text),
    Member("TolerationSeconds", "tolerationSeconds", Plain),
];

const NODE_REQUIREMENT: Members = &[
    Member("Key", "key", Text),
    Member("Operator", "operator", Text),
    Member("Values", "values", Plain),
];

/// core.NodeSelectorTerm
pub(in crate::validate) const NODE_TERM: Members = &[
    Member("MatchExpressions", "matchExpressions", List(NODE_REQUIREMENT)),
    Member("MatchFields", "matchFields", List(NODE_REQUIREMENT)),
];

/// core.NodeSelector
pub(in crate::validate) const NODE_SELECTOR: Members =
    &[Member("NodeSelectorTerms", "nodeSelectorTerms", List(NODE_TERM))];

/// core.VolumeNodeAffinity
pub(in crate::validate) const VOLUME_NODE_AFFINITY: Members =
    &[Member("Required", "required", Pointer(NODE_SELECTOR))];

/// core.ServicePort; a target port that was not given is 0.
pub(in crate::validate) const SERVICE_PORT: Members = &[
    Member("Name", "name", Text),
    Member("Protocol", "protocol", Text),
    Member("AppProtocol", "appProtocol", Plain),
    Member("Port", "port", Number),
    Member("TargetPort", "targetPort", Number),
    Member("NodePort", "nodePort", Number),
];

/// apps.DeploymentStrategy and apps.DaemonSetUpdateStrategy
pub(in crate::validate) const UPDATE_STRATEGY: Members = &[
    Member("Type", "type", Text),
    Member(
        "RollingUpdate",
        "rollingUpdate",
        Pointer(&[
            Member("MaxUnavailable", "maxUnavailable", Number),
            Member("MaxSurge", "maxSurge", Number),
        ]),
    ),
];

/// apps.StatefulSetUpdateStrategy
pub(in crate::validate) const STATEFUL_SET_STRATEGY: Members = &[
    Member("Type", "type", Text),
    Member("RollingUpdate", "rollingUpdate", Pointer(ROLLING_STATEFUL_SET)),
];

/// apps.RollingUpdateStatefulSetStrategy
pub(in crate::validate) const ROLLING_STATEFUL_SET: Members = &[
    Member("Partition", "partition", Number),
    Member("MaxUnavailable", "maxUnavailable", Plain),
];

/// batch.PodFailurePolicy
pub(in crate::validate) const POD_FAILURE_POLICY: Members = &[Member(
    "Rules",
    "rules",
    List(&[
        Member("Action", "action", Text),
        Member(
            "OnExitCodes",
            "onExitCodes",
            Pointer(&[
                Member("ContainerName", "containerName", Plain),
                Member("Operator", "operator", Text),
                Member("Values", "values", Plain),
            ]),
        ),
        Member(
            "OnPodConditions",
            "onPodConditions",
            List(&[Member("Type", "type", Text), Member("Status", "status", Text)]),
        ),
    ]),
)];

/// batch.SuccessPolicy
pub(in crate::validate) const UNCOUNTED_PODS: Members = &[
    Member("Succeeded", "succeeded", Plain),
    Member("Failed", "failed", Plain),
];

pub(in crate::validate) const SUCCESS_POLICY: Members = &[Member(
    "Rules",
    "rules",
    List(&[
        Member("SucceededIndexes", "succeededIndexes", Plain),
        Member("SucceededCount", "succeededCount", Plain),
    ]),
)];

/// flowcontrol.FlowDistinguisherMethod
pub(in crate::validate) const DISTINGUISHER: Members = &[Member("Type", "type", Text)];

const NAMED: Members = &[Member("Name", "name", Text)];

const ACCOUNT: Members = &[
    Member("Namespace", "namespace", Text),
    Member("Name", "name", Text),
];

const FLOW_SUBJECT: Members = &[
    Member("Kind", "kind", Text),
    Member("User", "user", Pointer(NAMED)),
    Member("Group", "group", Pointer(NAMED)),
    Member("ServiceAccount", "serviceAccount", Pointer(ACCOUNT)),
];

const RESOURCE_RULE: Members = &[
    Member("Verbs", "verbs", Plain),
    Member("APIGroups", "apiGroups", Plain),
    Member("Resources", "resources", Plain),
    Member("ClusterScope", "clusterScope", Flag),
    Member("Namespaces", "namespaces", Plain),
];

const NON_RESOURCE_RULE: Members = &[
    Member("Verbs", "verbs", Plain),
    Member("NonResourceURLs", "nonResourceURLs", Plain),
];

const FLOW_RULE: Members = &[
    Member("Subjects", "subjects", List(FLOW_SUBJECT)),
    Member("ResourceRules", "resourceRules", List(RESOURCE_RULE)),
    Member("NonResourceRules", "nonResourceRules", List(NON_RESOURCE_RULE)),
];

/// flowcontrol.FlowSchemaSpec
pub(in crate::validate) const SCHEMA_SPEC: Members = &[
    Member(
        "PriorityLevelConfiguration",
        "priorityLevelConfiguration",
        Struct(NAMED),
    ),
    Member("MatchingPrecedence", "matchingPrecedence", Number),
    Member(
        "DistinguisherMethod",
        "distinguisherMethod",
        Pointer(DISTINGUISHER),
    ),
    Member("Rules", "rules", List(FLOW_RULE)),
];

const QUEUING: Members = &[
    Member("Queues", "queues", Number),
    Member("HandSize", "handSize", Number),
    Member("QueueLengthLimit", "queueLengthLimit", Number),
];

const LIMIT_RESPONSE: Members = &[
    Member("Type", "type", Text),
    Member("Queuing", "queuing", Pointer(QUEUING)),
];

const LIMITED_LEVEL: Members = &[
    Member("NominalConcurrencyShares", "nominalConcurrencyShares", Number),
    Member("LimitResponse", "limitResponse", Struct(LIMIT_RESPONSE)),
    Member("LendablePercent", "lendablePercent", Plain),
    Member("BorrowingLimitPercent", "borrowingLimitPercent", Plain),
];

const EXEMPT_LEVEL: Members = &[
    Member("NominalConcurrencyShares", "nominalConcurrencyShares", Plain),
    Member("LendablePercent", "lendablePercent", Plain),
];

/// flowcontrol.PriorityLevelConfigurationSpec
pub(in crate::validate) const LEVEL_SPEC: Members = &[
    Member("Type", "type", Text),
    Member("Limited", "limited", Pointer(LIMITED_LEVEL)),
    Member("Exempt", "exempt", Pointer(EXEMPT_LEVEL)),
];

/// storage.CSINodeDriver; its allocatable count is cleared before it is compared.
pub(in crate::validate) const CSI_NODE_DRIVER: Members = &[
    Member("Name", "name", Text),
    Member("NodeID", "nodeID", Text),
    Member("TopologyKeys", "topologyKeys", Plain),
    Member(
        "Allocatable",
        "allocatable",
        Pointer(&[Member("Count", "count", Plain)]),
    ),
];

const SECRET_REFERENCE: Members = &[
    Member("Name", "name", Text),
    Member("Namespace", "namespace", Text),
];

/// core.PersistentVolumeSpec, which has a driver's volume in an attachment. Other sources are shown as the API has them.
const INLINE_VOLUME: Members = &[
    Member("Capacity", "capacity", Plain),
    Member("GCEPersistentDisk", "gcePersistentDisk", Plain),
    Member("AWSElasticBlockStore", "awsElasticBlockStore", Plain),
    Member("HostPath", "hostPath", Plain),
    Member("Glusterfs", "glusterfs", Plain),
    Member("NFS", "nfs", Plain),
    Member("RBD", "rbd", Plain),
    Member("Quobyte", "quobyte", Plain),
    Member("ISCSI", "iscsi", Plain),
    Member("FlexVolume", "flexVolume", Plain),
    Member("Cinder", "cinder", Plain),
    Member("CephFS", "cephfs", Plain),
    Member("FC", "fc", Plain),
    Member("Flocker", "flocker", Plain),
    Member("AzureFile", "azureFile", Plain),
    Member("VsphereVolume", "vsphereVolume", Plain),
    Member("AzureDisk", "azureDisk", Plain),
    Member("PhotonPersistentDisk", "photonPersistentDisk", Plain),
    Member("PortworxVolume", "portworxVolume", Plain),
    Member("ScaleIO", "scaleIO", Plain),
    Member("Local", "local", Plain),
    Member("StorageOS", "storageos", Plain),
    Member(
        "CSI",
        "csi",
        Pointer(&[
            Member("Driver", "driver", Text),
            Member("VolumeHandle", "volumeHandle", Text),
            Member("ReadOnly", "readOnly", Flag),
            Member("FSType", "fsType", Text),
            Member("VolumeAttributes", "volumeAttributes", Plain),
            Member(
                "ControllerPublishSecretRef",
                "controllerPublishSecretRef",
                Pointer(SECRET_REFERENCE),
            ),
            Member(
                "NodeStageSecretRef",
                "nodeStageSecretRef",
                Pointer(SECRET_REFERENCE),
            ),
            Member(
                "NodePublishSecretRef",
                "nodePublishSecretRef",
                Pointer(SECRET_REFERENCE),
            ),
            Member(
                "ControllerExpandSecretRef",
                "controllerExpandSecretRef",
                Pointer(SECRET_REFERENCE),
            ),
            Member(
                "NodeExpandSecretRef",
                "nodeExpandSecretRef",
                Pointer(SECRET_REFERENCE),
            ),
        ]),
    ),
    Member("AccessModes", "accessModes", Plain),
    Member("ClaimRef", "claimRef", Plain),
    Member(
        "PersistentVolumeReclaimPolicy",
        "persistentVolumeReclaimPolicy",
        Text,
    ),
    Member("StorageClassName", "storageClassName", Text),
    Member("MountOptions", "mountOptions", Plain),
    Member("VolumeMode", "volumeMode", Plain),
    Member("NodeAffinity", "nodeAffinity", Pointer(VOLUME_NODE_AFFINITY)),
    Member("VolumeAttributesClassName", "volumeAttributesClassName", Plain),
];

/// storage.VolumeAttachmentSpec
pub(in crate::validate) const VOLUME_ATTACHMENT_SPEC: Members = &[
    Member("Attacher", "attacher", Text),
    Member(
        "Source",
        "source",
        Struct(&[
            Member("PersistentVolumeName", "persistentVolumeName", Plain),
            Member("InlineVolumeSpec", "inlineVolumeSpec", Pointer(INLINE_VOLUME)),
        ]),
    ),
    Member("NodeName", "nodeName", Text),
];

const DEVICE_TOLERATION: Members = &[
    Member("Key", "key", Text),
    Member("Operator", "operator", Text),
    Member("Value", "value", Text),
    Member("Effect", "effect", Text),
    Member("TolerationSeconds", "tolerationSeconds", Plain),
];

const DEVICE_SELECTOR: Members = &[Member(
    "CEL",
    "cel",
    Pointer(&[Member("Expression", "expression", Text)]),
)];

const CAPACITY_REQUIREMENTS: Members = &[Member("Requests", "requests", Plain)];

const EXACT_REQUEST: Members = &[
    Member("DeviceClassName", "deviceClassName", Text),
    Member("Selectors", "selectors", List(DEVICE_SELECTOR)),
    Member("AllocationMode", "allocationMode", Text),
    Member("Count", "count", Number),
    Member("AdminAccess", "adminAccess", Plain),
    Member("Tolerations", "tolerations", List(DEVICE_TOLERATION)),
    Member("Capacity", "capacity", Pointer(CAPACITY_REQUIREMENTS)),
];

const SUB_REQUEST: Members = &[
    Member("Name", "name", Text),
    Member("DeviceClassName", "deviceClassName", Text),
    Member("Selectors", "selectors", List(DEVICE_SELECTOR)),
    Member("AllocationMode", "allocationMode", Text),
    Member("Count", "count", Number),
    Member("Tolerations", "tolerations", List(DEVICE_TOLERATION)),
    Member("Capacity", "capacity", Pointer(CAPACITY_REQUIREMENTS)),
];

const DEVICE_CONSTRAINT: Members = &[
    Member("Requests", "requests", Plain),
    Member("MatchAttribute", "matchAttribute", Plain),
    Member("DistinctAttribute", "distinctAttribute", Plain),
];

const DEVICE_CONFIG: Members = &[
    Member("Requests", "requests", Plain),
    Member("Opaque", "opaque", Pointer(OPAQUE_CONFIG)),
];

const OPAQUE_CONFIG: Members = &[
    Member("Driver", "driver", Text),
    Member("Parameters", "parameters", Plain),
];

/// resource.ResourceClaimSpec
pub(in crate::validate) const CLAIM_SPEC: Members = &[Member(
    "Devices",
    "devices",
    Struct(&[
        Member(
            "Requests",
            "requests",
            List(&[
                Member("Name", "name", Text),
                Member("Exactly", "exactly", Pointer(EXACT_REQUEST)),
                Member("FirstAvailable", "firstAvailable", List(SUB_REQUEST)),
            ]),
        ),
        Member("Constraints", "constraints", List(DEVICE_CONSTRAINT)),
        Member("Config", "config", List(DEVICE_CONFIG)),
    ]),
)];

/// resource.ResourceClaimTemplateSpec
pub(in crate::validate) const CLAIM_TEMPLATE_SPEC: Members = &[
    Member("", "metadata", super::Kind::Metadata),
    Member("Spec", "spec", Struct(CLAIM_SPEC)),
];

/// resource.AllocationResult
pub(in crate::validate) const ALLOCATION_RESULT: Members = &[
    Member(
        "Devices",
        "devices",
        Struct(&[
            Member("Results", "results", List(ALLOCATED_DEVICE)),
            Member("Config", "config", List(ALLOCATED_CONFIG)),
        ]),
    ),
    Member("NodeSelector", "nodeSelector", Pointer(NODE_SELECTOR)),
    Member("AllocationTimestamp", "allocationTimestamp", Plain),
];

const ALLOCATED_DEVICE: Members = &[
    Member("Request", "request", Text),
    Member("Driver", "driver", Text),
    Member("Pool", "pool", Text),
    Member("Device", "device", Text),
    Member("AdminAccess", "adminAccess", Plain),
    Member("Tolerations", "tolerations", List(DEVICE_TOLERATION)),
    Member("BindingConditions", "bindingConditions", Plain),
    Member("BindingFailureConditions", "bindingFailureConditions", Plain),
    Member("ShareID", "shareID", Plain),
    Member("ConsumedCapacity", "consumedCapacity", Plain),
];

const ALLOCATED_CONFIG: Members = &[
    Member("Source", "source", Text),
    Member("Requests", "requests", Plain),
    Member("Opaque", "opaque", Pointer(OPAQUE_CONFIG)),
];

/// resource.DeviceAttribute
pub(in crate::validate) const DEVICE_ATTRIBUTE: Members = &[
    Member("IntValue", "int", Plain),
    Member("BoolValue", "bool", Plain),
    Member("StringValue", "string", Plain),
    Member("VersionValue", "version", Plain),
    Member("IntValues", "ints", Plain),
    Member("BoolValues", "bools", Plain),
    Member("StringValues", "strings", Plain),
    Member("VersionValues", "versions", Plain),
];

/// core.PodResourceClaim
pub(in crate::validate) const POD_RESOURCE_CLAIM: Members = &[
    Member("Name", "name", Text),
    Member("ResourceClaimName", "resourceClaimName", Plain),
    Member("ResourceClaimTemplateName", "resourceClaimTemplateName", Plain),
];

/// core.SeccompProfile
pub(in crate::validate) const PROFILE: Members = &[
    Member("Type", "type", Text),
    Member("LocalhostProfile", "localhostProfile", Plain),
];

/// core.ClusterTrustBundleProjection
pub(in crate::validate) const TRUST_BUNDLE: Members = &[
    Member("Name", "name", Plain),
    Member("SignerName", "signerName", Plain),
    Member("LabelSelector", "labelSelector", Plain),
    Member("Optional", "optional", Plain),
    Member("Path", "path", Text),
];
