//! Fields of volumes, claims, drivers and attachments (pkg/api/persistentvolume, pkg/api/persistentvolumeclaim, strategies in
//! pkg/registry/storage).
use super::special;
use super::{Drop, Root, Rule, Used};
use crate::features::Feature;

const CLAIM: Root = Root::Kind("PersistentVolumeClaim");
const DRIVER: Root = Root::Kind("CSIDriver");
const ATTACHMENT: Root = Root::Kind("VolumeAttachment");

pub(super) const RULES: &[Rule] = &[
    Rule {
        features: &[Feature::CrossNamespaceVolumeDataSource],
        root: CLAIM,
        drop: Drop::By(special::drop_foreign_data_source),
        used: Used::Fields(&["spec.dataSourceRef"]),
    },
    Rule::fields(
        &[Feature::VolumeAttributesClass],
        CLAIM,
        &["spec.volumeAttributesClassName"],
    ),
    Rule::fields(
        &[Feature::VolumeAttributesClass],
        CLAIM,
        &["status.currentVolumeAttributesClassName"],
    ),
    Rule::fields(
        &[Feature::VolumeAttributesClass],
        CLAIM,
        &["status.modifyVolumeStatus"],
    ),
    Rule::fields(
        &[Feature::RecoverVolumeExpansionFailure],
        CLAIM,
        &["status.allocatedResources"],
    ),
    Rule::fields(
        &[Feature::RecoverVolumeExpansionFailure],
        CLAIM,
        &["status.allocatedResourceStatuses"],
    ),
    Rule::fields(
        &[Feature::VolumeAttributesClass],
        Root::Kind("PersistentVolume"),
        &["spec.volumeAttributesClassName"],
    ),
    Rule::fields(
        &[Feature::CSIServiceAccountTokenSecrets],
        DRIVER,
        &["spec.serviceAccountTokenInSecrets"],
    ),
    Rule::fields(
        &[Feature::VolumeLimitScaling],
        DRIVER,
        &["spec.preventPodSchedulingIfMissing"],
    ),
    Rule::fields(
        &[Feature::MutableCSINodeAllocatableCount],
        DRIVER,
        &["spec.nodeAllocatableUpdatePeriodSeconds"],
    ),
    Rule::fields(
        &[Feature::SELinuxMountReadWriteOncePod],
        DRIVER,
        &["spec.seLinuxMount"],
    ),
    Rule::fields(
        &[Feature::MutableCSINodeAllocatableCount],
        ATTACHMENT,
        &["status.attachError.errorCode"],
    ),
    Rule::fields(
        &[Feature::MutableCSINodeAllocatableCount],
        ATTACHMENT,
        &["status.detachError.errorCode"],
    ),
];
