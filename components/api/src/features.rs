//! Which of upstream's features are on, as far as the rules of kinds depend on it.

/// Names each feature once, with how it stands in v1.36 without --feature-gates.
macro_rules! features {
    ($($name:ident = $on:literal,)*) => {
        /// A feature gate that the rules of kinds look at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Feature {
            $($name,)*
        }

        impl Feature {
            /// All of them, by name.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The gate's name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Whether it is on in v1.36 when nobody says anything.
            pub fn default(self) -> bool {
                match self {
                    $(Self::$name => $on,)*
                }
            }
        }
    };
}

features! {
    CRDObservedGenerationTracking = true,
    CSIServiceAccountTokenSecrets = true,
    ClearingNominatedNodeNameAfterBinding = true,
    ClusterTrustBundleProjection = false,
    ContainerRestartRules = true,
    ContainerStopSignals = false,
    CoordinatedLeaderElection = false,
    CrossNamespaceVolumeDataSource = false,
    DRAAdminAccess = true,
    DRAConsumableCapacity = true,
    DRADeviceBindingConditions = true,
    DRADeviceTaints = true,
    DRAExtendedResource = true,
    DRAListTypeAttributes = false,
    DRANodeAllocatableResources = false,
    DRAPartitionableDevices = true,
    DRAPrioritizedList = true,
    DRAResourceClaimDeviceStatus = true,
    DeploymentReplicaSetTerminatingReplicas = true,
    DynamicResourceAllocation = true,
    EnvFiles = true,
    GenericWorkload = false,
    HPAConfigurableTolerance = true,
    HPAScaleToZero = false,
    HostnameOverride = true,
    ImageVolume = true,
    ImageVolumeWithDigest = false,
    InPlacePodLevelResourcesVerticalScaling = true,
    InPlacePodVerticalScaling = true,
    InPlacePodVerticalScalingInitContainers = true,
    JobManagedBy = true,
    JobPodReplacementPolicy = true,
    MatchLabelKeysInPodTopologySpread = true,
    MatchLabelKeysInPodTopologySpreadSelectorMerge = true,
    MaxUnavailableStatefulSet = false,
    MutableCSINodeAllocatableCount = true,
    MutablePVNodeAffinity = false,
    MutablePodResourcesForSuspendedJobs = true,
    MutableSchedulingDirectivesForSuspendedJobs = true,
    NodeDeclaredFeatures = true,
    PodCertificateRequest = false,
    PodDeletionCost = true,
    PodLevelResources = true,
    PodLifecycleSleepAction = true,
    PodLifecycleSleepActionAllowZero = true,
    PodObservedGenerationTracking = true,
    PreferSameTrafficDistribution = true,
    ProcMountType = true,
    RecoverVolumeExpansionFailure = true,
    RelaxedServiceNameValidation = true,
    ResourceHealthStatus = true,
    RestartAllContainersOnContainerExits = true,
    SELinuxChangePolicy = true,
    SELinuxMount = false,
    SELinuxMountReadWriteOncePod = true,
    ServiceCIDRStatusFieldWiping = true,
    StorageVersionHash = true,
    StrictIPCIDRValidation = true,
    SupplementalGroupsPolicy = true,
    TaintTolerationComparisonOperators = false,
    UserNamespacesHostNetworkSupport = false,
    UserNamespacesSupport = true,
    VolumeAttributesClass = true,
    VolumeLimitScaling = false,
}

/// The features that are on. Made once when a server starts; every row of a registry carries a copy.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Features(u128);

const _: () = assert!(Feature::ALL.len() <= 128);

impl Features {
    /// Those that `is_on` says are on, by name.
    pub fn of(is_on: impl Fn(&str) -> bool) -> Self {
        let all = Feature::ALL.iter().copied();
        all.filter(|feature| is_on(feature.name()))
            .fold(Self(0), |features, feature| features.with(feature, true))
    }

    /// The same but for one feature.
    #[must_use]
    pub fn with(self, feature: Feature, on: bool) -> Self {
        let bit = 1 << feature as u32;
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }

    /// Whether the feature is on.
    pub fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u32) != 0
    }
}

impl Default for Features {
    /// v1.36 without --feature-gates.
    fn default() -> Self {
        let all = Feature::ALL.iter().copied();
        all.fold(Self(0), |features, feature| {
            features.with(feature, feature.default())
        })
    }
}

impl std::fmt::Debug for Features {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let on = Feature::ALL.iter().filter(|feature| self.has(**feature));
        formatter.debug_set().entries(on).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_told_from_all_others() {
        let none = Features::of(|_| false);
        for feature in Feature::ALL {
            assert!(!none.has(*feature));
            let one = Features::of(|name| name == feature.name());
            assert_eq!(one, none.with(*feature, true));
            assert_eq!(one.with(*feature, false), none);
            assert_eq!(Features::default().has(*feature), feature.default());
        }
        assert!(Feature::ALL.is_sorted_by_key(|feature| feature.name()));
    }
}
