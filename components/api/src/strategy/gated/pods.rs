//! Fields of pods (pkg/api/pod/util.go).
use super::special;
use super::{Drop, Root, Rule, Used};
use crate::features::Feature;

const POD: Root = Root::Kind("Pod");
const SPEC: Root = Root::PodSpec;

pub(super) const RULES: &[Rule] = &[
    Rule::fields(&[Feature::UserNamespacesSupport], SPEC, &["hostUsers"]),
    Rule::fields(
        &[Feature::SupplementalGroupsPolicy],
        SPEC,
        &["securityContext.supplementalGroupsPolicy"],
    ),
    Rule::fields(&[Feature::PodLevelResources], SPEC, &["resources"])
        .unless(Used::Fields(&["resources.requests{}", "resources.limits{}"])),
    Rule {
        features: &[Feature::ProcMountType],
        root: SPEC,
        drop: Drop::By(special::default_proc_mount),
        used: Used::By(special::has_own_proc_mount),
    },
    Rule::fields(
        &[Feature::MatchLabelKeysInPodTopologySpread],
        SPEC,
        &["topologySpreadConstraints[].matchLabelKeys"],
    ),
    Rule::fields(
        &[Feature::DynamicResourceAllocation],
        SPEC,
        &["*containers.resources.claims", "resourceClaims"],
    )
    .unless(Used::Fields(&["resourceClaims"])),
    Rule::fields(
        &[Feature::ClusterTrustBundleProjection],
        SPEC,
        &["volumes[].projected.sources[].clusterTrustBundle"],
    ),
    Rule::fields(
        &[Feature::PodCertificateRequest],
        SPEC,
        &["volumes[].projected.sources[].podCertificate"],
    ),
    Rule::fields(&[Feature::GenericWorkload], SPEC, &["schedulingGroup"]),
    Rule::fields(
        &[Feature::InPlacePodVerticalScaling],
        SPEC,
        &["*containers.resizePolicy"],
    )
    .unless(RESIZABLE_SPEC),
    Rule {
        features: &[Feature::ContainerRestartRules],
        root: SPEC,
        drop: Drop::By(special::drop_restart_rules),
        used: Used::By(special::has_restart_rules),
    },
    Rule::fields(&[Feature::HostnameOverride], SPEC, &["hostnameOverride"]),
    Rule::fields(
        &[Feature::EnvFiles],
        SPEC,
        &["*containers.env[].valueFrom.fileKeyRef"],
    ),
    Rule {
        features: &[Feature::PodLifecycleSleepAction],
        root: SPEC,
        drop: Drop::By(special::drop_sleeps),
        used: Used::Fields(&[
            "*containers.lifecycle.preStop.sleep",
            "*containers.lifecycle.postStart.sleep",
        ]),
    },
    Rule {
        features: &[Feature::ImageVolume],
        root: SPEC,
        drop: Drop::By(special::drop_image_volumes),
        used: Used::Fields(&["volumes[].image"]),
    },
    Rule::fields(
        &[Feature::SELinuxChangePolicy],
        SPEC,
        &["securityContext.seLinuxChangePolicy"],
    ),
    Rule {
        features: &[Feature::ContainerStopSignals],
        root: SPEC,
        drop: Drop::By(special::drop_stop_signals),
        used: Used::Fields(&["*containers.lifecycle.stopSignal"]),
    },
    Rule::fields(
        &[Feature::InPlacePodLevelResourcesVerticalScaling],
        POD,
        &["status.resources", "status.allocatedResources"],
    ),
    Rule::fields(
        &[Feature::InPlacePodVerticalScaling],
        POD,
        &[
            "status.*statuses.resources",
            "status.*statuses.allocatedResources",
        ],
    )
    .unless(Used::Fields(&[
        "spec.containers[].resizePolicy",
        "spec.initContainers[].resizePolicy",
    ])),
    Rule::fields(
        &[Feature::DynamicResourceAllocation],
        POD,
        &["status.resourceClaimStatuses"],
    )
    .unless(Used::Fields(&["spec.resourceClaims"])),
    Rule::fields(
        &[Feature::DRAExtendedResource],
        POD,
        &["status.extendedResourceClaimStatus"],
    ),
    Rule::fields(
        &[Feature::DRANodeAllocatableResources],
        POD,
        &["status.nodeAllocatableResourceClaimStatuses"],
    ),
    Rule::fields(
        &[Feature::ImageVolumeWithDigest],
        POD,
        &["status.*statuses.volumeMounts[].volumeStatus"],
    ),
    Rule::fields(
        &[Feature::ResourceHealthStatus],
        POD,
        &["status.*statuses.allocatedResourcesStatus"],
    )
    .unless(Used::Never),
    Rule::fields(
        &[Feature::SupplementalGroupsPolicy],
        POD,
        &["status.*statuses.user"],
    )
    .unless(Used::Fields(&["spec.securityContext.supplementalGroupsPolicy"])),
    Rule::fields(
        &[Feature::PodObservedGenerationTracking],
        POD,
        &[
            "status.observedGeneration",
            "status.conditions[].observedGeneration",
        ],
    ),
];

const RESIZABLE_SPEC: Used = Used::Fields(&["containers[].resizePolicy", "initContainers[].resizePolicy"]);
