//! Volumes and claims as upstream has them inside.
use super::Kind::{Flag, Metadata, Number, Plain, Pointer, Struct, Tagged, Text};
use super::Member;

type Members = &'static [Member];

/// core.PersistentVolumeClaimSpec
pub(in crate::validate) const VOLUME_CLAIM_SPEC: Members = &[
    Member("AccessModes", "accessModes", Plain),
    Member(
        "Selector",
        "selector",
        Tagged(&["matchLabels", "matchExpressions"]),
    ),
    Member(
        "Resources",
        "resources",
        Struct(&[
            Member("Limits", "limits", Plain),
            Member("Requests", "requests", Plain),
        ]),
    ),
    Member("VolumeName", "volumeName", Text),
    Member("StorageClassName", "storageClassName", Plain),
    Member("VolumeMode", "volumeMode", Plain),
    Member(
        "DataSource",
        "dataSource",
        Pointer(&[
            Member("APIGroup", "apiGroup", Plain),
            Member("Kind", "kind", Text),
            Member("Name", "name", Text),
        ]),
    ),
    Member(
        "DataSourceRef",
        "dataSourceRef",
        Pointer(&[
            Member("APIGroup", "apiGroup", Plain),
            Member("Kind", "kind", Text),
            Member("Name", "name", Text),
            Member("Namespace", "namespace", Plain),
        ]),
    ),
    Member("VolumeAttributesClassName", "volumeAttributesClassName", Plain),
];

/// core.PersistentVolumeClaim
pub(in crate::validate) const VOLUME_CLAIM: Members = &[
    Member("", "metadata", Metadata),
    Member("Spec", "spec", Struct(VOLUME_CLAIM_SPEC)),
    Member(
        "Status",
        "status",
        Struct(&[
            Member("Phase", "phase", Text),
            Member("AccessModes", "accessModes", Plain),
            Member("Capacity", "capacity", Plain),
            Member("Conditions", "conditions", Plain),
            Member("AllocatedResources", "allocatedResources", Plain),
            Member("AllocatedResourceStatuses", "allocatedResourceStatuses", Plain),
            Member(
                "CurrentVolumeAttributesClassName",
                "currentVolumeAttributesClassName",
                Plain,
            ),
            Member(
                "ModifyVolumeStatus",
                "modifyVolumeStatus",
                Pointer(&[
                    Member(
                        "TargetVolumeAttributesClassName",
                        "targetVolumeAttributesClassName",
                        Text,
                    ),
                    Member("Status", "status", Text),
                ]),
            ),
        ]),
    ),
];

const SECRET: Members = &[
    Member("Name", "name", Text),
    Member("Namespace", "namespace", Text),
];

/// core.PersistentVolumeSource; those that no release provisions any more are shown as the API has them.
pub(in crate::validate) const VOLUME_SOURCE: Members = &[
    Member("GCEPersistentDisk", "gcePersistentDisk", Plain),
    Member("AWSElasticBlockStore", "awsElasticBlockStore", Plain),
    Member(
        "HostPath",
        "hostPath",
        Pointer(&[Member("Path", "path", Text), Member("Type", "type", Plain)]),
    ),
    Member("Glusterfs", "glusterfs", Plain),
    Member(
        "NFS",
        "nfs",
        Pointer(&[
            Member("Server", "server", Text),
            Member("Path", "path", Text),
            Member("ReadOnly", "readOnly", Flag),
        ]),
    ),
    Member("RBD", "rbd", Plain),
    Member("Quobyte", "quobyte", Plain),
    Member(
        "ISCSI",
        "iscsi",
        Pointer(&[
            Member("TargetPortal", "targetPortal", Text),
            Member("IQN", "iqn", Text),
            Member("Lun", "lun", Number),
            Member("ISCSIInterface", "iscsiInterface", Text),
            Member("FSType", "fsType", Text),
            Member("ReadOnly", "readOnly", Flag),
            Member("Portals", "portals", Plain),
            Member("DiscoveryCHAPAuth", "chapAuthDiscovery", Flag),
            Member("SessionCHAPAuth", "chapAuthSession", Flag),
            Member("SecretRef", "secretRef", Pointer(SECRET)),
            Member("InitiatorName", "initiatorName", Plain),
        ]),
    ),
    Member("FlexVolume", "flexVolume", Plain),
    Member("Cinder", "cinder", Plain),
    Member("CephFS", "cephfs", Plain),
    Member(
        "FC",
        "fc",
        Pointer(&[
            Member("TargetWWNs", "targetWWNs", Plain),
            Member("Lun", "lun", Plain),
            Member("FSType", "fsType", Text),
            Member("ReadOnly", "readOnly", Flag),
            Member("WWIDs", "wwids", Plain),
        ]),
    ),
    Member("Flocker", "flocker", Plain),
    Member("AzureFile", "azureFile", Plain),
    Member("VsphereVolume", "vsphereVolume", Plain),
    Member("AzureDisk", "azureDisk", Plain),
    Member("PhotonPersistentDisk", "photonPersistentDisk", Plain),
    Member("PortworxVolume", "portworxVolume", Plain),
    Member("ScaleIO", "scaleIO", Plain),
    Member(
        "Local",
        "local",
        Pointer(&[Member("Path", "path", Text), Member("FSType", "fsType", Plain)]),
    ),
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
                Pointer(SECRET),
            ),
            Member("NodeStageSecretRef", "nodeStageSecretRef", Pointer(SECRET)),
            Member("NodePublishSecretRef", "nodePublishSecretRef", Pointer(SECRET)),
            Member(
                "ControllerExpandSecretRef",
                "controllerExpandSecretRef",
                Pointer(SECRET),
            ),
            Member("NodeExpandSecretRef", "nodeExpandSecretRef", Pointer(SECRET)),
        ]),
    ),
];
