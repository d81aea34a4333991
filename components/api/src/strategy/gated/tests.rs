use super::*;
use crate::{Feature, Registry, Resource};
use apimachinery::decode::Unchanged;
use serde_json::json;

/// A gate, a kind, a part of its objects that uses the feature, and what is left of it when the feature is off.
fn cases() -> Vec<(Feature, &'static str, Value, Value)> {
    let containers = |container: Value| json!({"spec": {"containers": [container]}});
    let template = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
    let statuses = |status: Value| json!({"status": {"containerStatuses": [status.clone()], "initContainerStatuses": [status]}});
    let devices = |device: Value| json!({"spec": {"devices": [device]}});
    let requests = |request: Value| json!({"spec": {"devices": {"requests": [request]}}});
    let results = |result: Value| json!({"status": {"allocation": {"devices": {"results": [result]}}}});
    let projected =
        |source: Value| json!({"spec": {"volumes": [{"name": "v", "projected": {"sources": [source]}}]}});
    vec![
        (
            Feature::ContainerStopSignals,
            "Pod",
            json!({"spec": {"containers": [
                {"name": "a", "lifecycle": {"stopSignal": "SIGUSR1"}},
                {"name": "b", "lifecycle": {"stopSignal": "SIGUSR1", "preStop": {"exec": {}}}},
            ]}}),
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "lifecycle": {"preStop": {"exec": {}}}}]}}),
        ),
        (
            Feature::ContainerStopSignals,
            "Deployment",
            template(json!({"initContainers": [{"lifecycle": {"stopSignal": "SIGUSR1"}}]})),
            template(json!({"initContainers": [{}]})),
        ),
        (
            Feature::PodLifecycleSleepAction,
            "Pod",
            containers(
                json!({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}, "postStart": {"exec": {}}}}),
            ),
            containers(json!({"lifecycle": {"postStart": {"exec": {}}}})),
        ),
        (
            Feature::UserNamespacesSupport,
            "CronJob",
            json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"hostUsers": false}}}}}}),
            json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {}}}}}}),
        ),
        (
            Feature::HostnameOverride,
            "PodTemplate",
            json!({"template": {"spec": {"hostnameOverride": "h"}}}),
            json!({"template": {"spec": {}}}),
        ),
        (
            Feature::SupplementalGroupsPolicy,
            "Pod",
            json!({
                "spec": {"securityContext": {"supplementalGroupsPolicy": "Strict", "fsGroup": 1}},
                "status": {"containerStatuses": [{"user": {"linux": {}}}]},
            }),
            json!({"spec": {"securityContext": {"fsGroup": 1}}, "status": {"containerStatuses": [{}]}}),
        ),
        (
            Feature::SELinuxChangePolicy,
            "Job",
            template(json!({"securityContext": {"seLinuxChangePolicy": "Recursive"}})),
            template(json!({"securityContext": {}})),
        ),
        (
            Feature::PodLevelResources,
            "Pod",
            json!({"spec": {"resources": {"limits": {"cpu": "1"}}}}),
            json!({"spec": {}}),
        ),
        (
            Feature::ProcMountType,
            "Pod",
            containers(json!({"securityContext": {"procMount": "Unmasked"}})),
            containers(json!({"securityContext": {"procMount": "Default"}})),
        ),
        (
            Feature::MatchLabelKeysInPodTopologySpread,
            "ReplicaSet",
            template(json!({"topologySpreadConstraints": [{"matchLabelKeys": ["a"], "maxSkew": 1}]})),
            template(json!({"topologySpreadConstraints": [{"maxSkew": 1}]})),
        ),
        (
            Feature::DynamicResourceAllocation,
            "Pod",
            json!({
                "spec": {
                    "containers": [{"resources": {"claims": [{"name": "c"}], "limits": {}}}],
                    "resourceClaims": [{"name": "c"}],
                },
                "status": {"resourceClaimStatuses": [{"name": "c"}]},
            }),
            json!({"spec": {"containers": [{"resources": {"limits": {}}}]}, "status": {}}),
        ),
        (
            Feature::ClusterTrustBundleProjection,
            "Pod",
            projected(json!({"clusterTrustBundle": {"path": "p"}})),
            projected(json!({})),
        ),
        (
            Feature::PodCertificateRequest,
            "Pod",
            projected(json!({"podCertificate": {"keyType": "ED25519"}})),
            projected(json!({})),
        ),
        (
            Feature::GenericWorkload,
            "Pod",
            json!({"spec": {"schedulingGroup": {"podGroupName": "g"}}}),
            json!({"spec": {}}),
        ),
        (
            Feature::InPlacePodVerticalScaling,
            "Pod",
            json!({
                "spec": {"containers": [{"resizePolicy": [{"resourceName": "cpu"}]}]},
                "status": {"containerStatuses": [{"resources": {}, "allocatedResources": {"cpu": "1"}, "name": "c"}]},
            }),
            json!({"spec": {"containers": [{}]}, "status": {"containerStatuses": [{"name": "c"}]}}),
        ),
        (
            Feature::InPlacePodLevelResourcesVerticalScaling,
            "Pod",
            json!({"status": {"resources": {"limits": {"cpu": "1"}}, "allocatedResources": {"cpu": "1"}}}),
            json!({"status": {}}),
        ),
        (
            Feature::ContainerRestartRules,
            "Pod",
            json!({"spec": {
                "initContainers": [{"restartPolicy": "Always"}, {"restartPolicy": "Never"}],
                "containers": [{"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart"}]}],
            }}),
            json!({"spec": {"initContainers": [{"restartPolicy": "Always"}, {}], "containers": [{}]}}),
        ),
        (
            Feature::EnvFiles,
            "Pod",
            containers(json!({"env": [{"name": "E", "valueFrom": {"fileKeyRef": {"key": "k"}}}]})),
            containers(json!({"env": [{"name": "E", "valueFrom": {}}]})),
        ),
        (
            Feature::ImageVolume,
            "DaemonSet",
            template(json!({
                "volumes": [{"name": "i", "image": {"reference": "r"}}, {"name": "e", "emptyDir": {}}],
                "containers": [{"volumeMounts": [{"name": "i"}, {"name": "e"}]}],
                "initContainers": [{"volumeMounts": [{"name": "i"}]}],
            })),
            template(json!({
                "volumes": [{"name": "e", "emptyDir": {}}],
                "containers": [{"volumeMounts": [{"name": "e"}]}],
                "initContainers": [{}],
            })),
        ),
        (
            Feature::DRAExtendedResource,
            "Pod",
            json!({"status": {"extendedResourceClaimStatus": {"resourceClaimName": "c"}}}),
            json!({"status": {}}),
        ),
        (
            Feature::DRANodeAllocatableResources,
            "Pod",
            json!({"status": {"nodeAllocatableResourceClaimStatuses": [{"resourceClaimName": "c"}]}}),
            json!({"status": {}}),
        ),
        (
            Feature::ImageVolumeWithDigest,
            "Pod",
            statuses(json!({"volumeMounts": [{"name": "v", "volumeStatus": {"image": {"imageRef": "r"}}}]})),
            statuses(json!({"volumeMounts": [{"name": "v"}]})),
        ),
        (
            Feature::PodObservedGenerationTracking,
            "Pod",
            json!({"status": {"observedGeneration": 2, "conditions": [{"type": "Ready", "observedGeneration": 2}]}}),
            json!({"status": {"conditions": [{"type": "Ready"}]}}),
        ),
        (
            Feature::MaxUnavailableStatefulSet,
            "StatefulSet",
            json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 2, "partition": 1}}}}),
            json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}}),
        ),
        (
            Feature::DeploymentReplicaSetTerminatingReplicas,
            "Deployment",
            json!({"status": {"terminatingReplicas": 1}}),
            json!({"status": {}}),
        ),
        (
            Feature::DeploymentReplicaSetTerminatingReplicas,
            "ReplicaSet",
            json!({"status": {"terminatingReplicas": 1}}),
            json!({"status": {}}),
        ),
        (
            Feature::JobManagedBy,
            "Job",
            json!({"spec": {"managedBy": "e.x/y"}}),
            json!({"spec": {}}),
        ),
        (
            Feature::JobPodReplacementPolicy,
            "CronJob",
            json!({"spec": {"jobTemplate": {"spec": {"podReplacementPolicy": "Failed"}}}}),
            json!({"spec": {"jobTemplate": {"spec": {}}}}),
        ),
        (
            Feature::HPAConfigurableTolerance,
            "HorizontalPodAutoscaler",
            json!({"spec": {"behavior": {"scaleUp": {"tolerance": "100m"}, "scaleDown": {"tolerance": "0"}}}}),
            json!({"spec": {"behavior": {"scaleUp": {}, "scaleDown": {}}}}),
        ),
        (
            Feature::HPAConfigurableTolerance,
            "HorizontalPodAutoscaler",
            json!({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/behavior": r#"{"scaleUp":{"tolerance":"100m"}}"#}}}),
            json!({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/behavior": r#"{"scaleUp":{}}"#}}}),
        ),
        (
            Feature::HPAConfigurableTolerance,
            "HorizontalPodAutoscaler",
            json!({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/behavior": r#"{"ScaleUp":{"Policies":null,"Tolerance":"100m"}}"#}}}),
            json!({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/behavior": r#"{"ScaleUp":{"Policies":null}}"#}}}),
        ),
        (
            Feature::CoordinatedLeaderElection,
            "Lease",
            json!({"spec": {"strategy": "OldestEmulationVersion", "preferredHolder": "a", "holderIdentity": "b"}}),
            json!({"spec": {"holderIdentity": "b"}}),
        ),
        (
            Feature::NodeDeclaredFeatures,
            "Node",
            json!({"status": {"declaredFeatures": ["A"]}}),
            json!({"status": {}}),
        ),
        (
            Feature::CRDObservedGenerationTracking,
            "CustomResourceDefinition",
            json!({"status": {"conditions": [{"type": "Established", "observedGeneration": 1}]}}),
            json!({"status": {"conditions": [{"type": "Established"}]}}),
        ),
        (
            Feature::CrossNamespaceVolumeDataSource,
            "PersistentVolumeClaim",
            json!({"spec": {"dataSourceRef": {"kind": "K", "name": "n", "namespace": "other"}}}),
            json!({"spec": {}}),
        ),
        (
            Feature::VolumeAttributesClass,
            "PersistentVolumeClaim",
            json!({
                "spec": {"volumeAttributesClassName": "c"},
                "status": {"currentVolumeAttributesClassName": "c", "modifyVolumeStatus": {"status": "Pending"}},
            }),
            json!({"spec": {}, "status": {}}),
        ),
        (
            Feature::VolumeAttributesClass,
            "PersistentVolume",
            json!({"spec": {"volumeAttributesClassName": "c"}}),
            json!({"spec": {}}),
        ),
        (
            Feature::RecoverVolumeExpansionFailure,
            "PersistentVolumeClaim",
            json!({"status": {"allocatedResources": {"storage": "1Gi"}, "allocatedResourceStatuses": {"storage": "s"}}}),
            json!({"status": {}}),
        ),
        (
            Feature::CSIServiceAccountTokenSecrets,
            "CSIDriver",
            json!({"spec": {"serviceAccountTokenInSecrets": true}}),
            json!({"spec": {}}),
        ),
        (
            Feature::VolumeLimitScaling,
            "CSIDriver",
            json!({"spec": {"preventPodSchedulingIfMissing": false}}),
            json!({"spec": {}}),
        ),
        (
            Feature::MutableCSINodeAllocatableCount,
            "CSIDriver",
            json!({"spec": {"nodeAllocatableUpdatePeriodSeconds": 60}}),
            json!({"spec": {}}),
        ),
        (
            Feature::MutableCSINodeAllocatableCount,
            "VolumeAttachment",
            json!({"status": {"attachError": {"errorCode": 8}, "detachError": {"errorCode": 8, "message": "m"}}}),
            json!({"status": {"attachError": {}, "detachError": {"message": "m"}}}),
        ),
        (
            Feature::SELinuxMountReadWriteOncePod,
            "CSIDriver",
            json!({"spec": {"seLinuxMount": false}}),
            json!({"spec": {}}),
        ),
        (
            Feature::DRAPrioritizedList,
            "ResourceClaim",
            requests(json!({"name": "r", "firstAvailable": [{"name": "a"}]})),
            requests(json!({"name": "r"})),
        ),
        (
            Feature::DRADeviceTaints,
            "ResourceClaimTemplate",
            json!({"spec": {"spec": {"devices": {"requests": [
                {"exactly": {"tolerations": [{"key": "a"}]}}, {"firstAvailable": [{"tolerations": [{"key": "a"}]}]}
            ]}}}}),
            json!({"spec": {"spec": {"devices": {"requests": [{"exactly": {}}, {"firstAvailable": [{}]}]}}}}),
        ),
        (
            Feature::DRADeviceTaints,
            "ResourceSlice",
            devices(json!({"name": "d", "taints": [{"key": "a"}]})),
            devices(json!({"name": "d"})),
        ),
        (
            Feature::DRAAdminAccess,
            "ResourceClaim",
            requests(json!({"exactly": {"adminAccess": true}})),
            requests(json!({"exactly": {}})),
        ),
        (
            Feature::DRAAdminAccess,
            "ResourceClaim",
            results(json!({"device": "d", "adminAccess": false})),
            results(json!({"device": "d"})),
        ),
        (
            Feature::DRAConsumableCapacity,
            "ResourceClaim",
            json!({"spec": {"devices": {
                "constraints": [{"distinctAttribute": "a"}],
                "requests": [{"exactly": {"capacity": {}}}, {"firstAvailable": [{"capacity": {}}]}],
            }}}),
            json!({"spec": {"devices": {"constraints": [{}], "requests": [{"exactly": {}}, {"firstAvailable": [{}]}]}}}),
        ),
        (
            Feature::DRAConsumableCapacity,
            "ResourceClaim",
            json!({"status": {
                "allocation": {"devices": {"results": [{"shareID": "s", "consumedCapacity": {"a": "1"}}]}},
                "devices": [{"device": "d", "shareID": "s"}],
            }}),
            json!({"status": {"allocation": {"devices": {"results": [{}]}}, "devices": [{"device": "d"}]}}),
        ),
        (
            Feature::DRAConsumableCapacity,
            "ResourceSlice",
            devices(
                json!({"allowMultipleAllocations": true, "capacity": {"m": {"value": "1", "requestPolicy": {}}}}),
            ),
            devices(json!({"capacity": {"m": {"value": "1"}}})),
        ),
        (
            Feature::DRAResourceClaimDeviceStatus,
            "ResourceClaim",
            json!({"status": {"devices": [{"device": "d"}]}}),
            json!({"status": {}}),
        ),
        (
            Feature::DRADeviceBindingConditions,
            "ResourceClaim",
            results(json!({"bindingConditions": ["a"], "bindingFailureConditions": ["b"]})),
            results(json!({})),
        ),
        (
            Feature::DRADeviceBindingConditions,
            "ResourceSlice",
            devices(
                json!({"bindingConditions": ["a"], "bindingFailureConditions": ["b"], "bindsToNode": false}),
            ),
            devices(json!({})),
        ),
        (
            Feature::DRAResourceClaimDeviceStatus,
            "ResourceSlice",
            devices(json!({"bindsToNode": true})),
            devices(json!({})),
        ),
        (
            Feature::DRAPartitionableDevices,
            "ResourceSlice",
            json!({"spec": {
                "sharedCounters": [{"name": "s"}],
                "perDeviceNodeSelection": true,
                "devices": [{"consumesCounters": [{}], "nodeName": "n", "nodeSelector": {}, "allNodes": true}],
            }}),
            devices(json!({})),
        ),
        (
            Feature::DRANodeAllocatableResources,
            "ResourceSlice",
            devices(json!({"nodeAllocatableResourceMappings": {"cpu": {}}})),
            devices(json!({})),
        ),
        (
            Feature::DRAListTypeAttributes,
            "ResourceSlice",
            devices(json!({"attributes": {
                "a": {"bools": [true]}, "b": {"ints": [1]}, "c": {"strings": ["x"]}, "d": {"versions": ["1.0.0"]}, "e": {"int": 1}
            }})),
            devices(json!({"attributes": {"a": {}, "b": {}, "c": {}, "d": {}, "e": {"int": 1}}})),
        ),
        (
            Feature::DRAExtendedResource,
            "DeviceClass",
            json!({"spec": {"extendedResourceName": "e.x/y"}}),
            json!({"spec": {}}),
        ),
    ]
}

#[test]
fn a_field_goes_when_its_feature_is_off_and_the_object_did_not_use_it() {
    for (feature, kind, object, left) in cases() {
        let off = Gates::of(kind, Features::default().with(feature, false));
        let on = Gates::of(kind, Features::of(|_| true));
        let mut new = object.clone();
        assert!(!on.apply(None, &mut new), "{feature:?} {kind}");
        assert_eq!(new, object, "{feature:?} {kind}: on");
        assert!(!off.apply(Some(&object), &mut new), "{feature:?} {kind}");
        assert_eq!(new, object, "{feature:?} {kind}: off and in use");
        let off = Gates::of(kind, Features::of(|name| name != feature.name()));
        assert!(off.apply(None, &mut new), "{feature:?} {kind}");
        assert_eq!(new, left, "{feature:?} {kind}: off, new");
        let mut new = object.clone();
        assert!(off.apply(Some(&left), &mut new), "{feature:?} {kind}");
        assert_eq!(new, left, "{feature:?} {kind}: off, not in use before");
        assert!(!off.apply(Some(&left), &mut new), "{feature:?} {kind}");
    }
}

#[test]
fn what_has_no_memory_goes_even_when_it_is_there() {
    for (feature, kind, object, left) in [
        (
            Feature::ResourceHealthStatus,
            "Pod",
            json!({"status": {"containerStatuses": [{"allocatedResourcesStatus": [{"name": "r"}]}]}}),
            json!({"status": {"containerStatuses": [{}]}}),
        ),
        (
            Feature::SupplementalGroupsPolicy,
            "Node",
            json!({"status": {"features": {"supplementalGroupsPolicy": true}}}),
            json!({"status": {}}),
        ),
    ] {
        let mut new = object.clone();
        let gates = Gates::of(kind, Features::default().with(feature, false));
        assert!(gates.apply(Some(&object), &mut new), "{feature:?}");
        assert_eq!(new, left);
    }
}

#[test]
fn every_rule_has_a_case() {
    let cases = cases();
    for rule in RULES.iter().copied().flatten() {
        let found = cases
            .iter()
            .any(|(feature, kind, ..)| rule.features.contains(feature) && rule.root.within(kind).is_some());
        assert!(found || matches!(rule.used, Used::Never), "{rule:?}");
    }
}

#[test]
fn kinds_without_gated_fields_look_for_nothing() {
    for kind in [
        "ConfigMap",
        "Secret",
        "Service",
        "Event",
        "EndpointSlice",
        "Namespace",
    ] {
        assert!(Gates::of(kind, Features::of(|_| false)).0.is_empty(), "{kind}");
    }
}

fn row(feature: Feature, on: bool, plural: &str) -> std::sync::Arc<Resource> {
    row_of("", feature, on, plural)
}

fn row_of(group: &str, feature: Feature, on: bool, plural: &str) -> std::sync::Arc<Resource> {
    let registry = Registry::with_features(Features::default().with(feature, on));
    registry.resource(group, "v1", plural).unwrap().clone()
}

#[test]
fn writes_drop_before_anything_else_is_made_of_the_object() {
    let pod = json!({
        "metadata": {"name": "p", "uid": "u"},
        "spec": {"containers": [{"name": "c", "image": "i"}], "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}},
    });
    for (on, class) in [(true, "Guaranteed"), (false, "BestEffort")] {
        let mut pod = pod.clone();
        crate::strategy::prepare_create(&row(Feature::PodLevelResources, on, "pods"), &mut pod).unwrap();
        assert_eq!(pod["status"]["qosClass"], class);
        assert_eq!(pod["spec"].get("resources").is_some(), on);
    }
    let claim = json!({
        "metadata": {"name": "c", "uid": "u"},
        "spec": {"dataSourceRef": {"kind": "K", "name": "n", "namespace": "other"}},
    });
    let mut claim = claim;
    let claims = row(
        Feature::CrossNamespaceVolumeDataSource,
        false,
        "persistentvolumeclaims",
    );
    crate::strategy::prepare_create(&claims, &mut claim).unwrap();
    assert_eq!(claim["spec"], json!({"resources": {}}));
}

#[test]
fn an_update_that_drops_knows_that_nothing_changed() {
    let pods = row(Feature::ContainerStopSignals, false, "pods");
    let old = json!({
        "metadata": {"name": "p", "uid": "u", "generation": 3},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let mut new = old.clone();
    new["spec"]["containers"][0]["lifecycle"] = json!({"stopSignal": "SIGUSR1"});
    let unchanged = Unchanged::between(&old, &new);
    let unchanged = crate::strategy::prepare_update(&pods, "", &old, &mut new, unchanged).unwrap();
    assert!(unchanged.has("spec"));
    assert_eq!(new["metadata"]["generation"], 3);
}

#[test]
fn slices_of_devices_count_what_is_dropped_from_them_as_a_change() {
    let slices = row_of(
        "resource.k8s.io",
        Feature::DRADeviceTaints,
        false,
        "resourceslices",
    );
    let old = json!({
        "metadata": {"name": "s", "uid": "u", "generation": 3},
        "spec": {"driver": "d.example", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}, "devices": [{"name": "d"}]},
    });
    let mut new = old.clone();
    new["spec"]["devices"][0]["taints"] = json!([{"key": "a", "effect": "NoExecute"}]);
    let unchanged = Unchanged::between(&old, &new);
    crate::strategy::prepare_update(&slices, "", &old, &mut new, unchanged).unwrap();
    assert_eq!(new["spec"], old["spec"]);
    assert_eq!(new["metadata"]["generation"], 4);
}
