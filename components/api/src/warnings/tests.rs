use super::*;
use crate::Registry;
use serde_json::json;

fn row(kind: &str) -> std::sync::Arc<Resource> {
    let registry = Registry::built_in();
    let found = registry.iter().find(|row| row.gvk.kind == kind);
    std::sync::Arc::clone(found.expect(kind))
}

/// What is said of a new object, without what is said of a pod whose name and containers are fine.
fn said(kind: &str, object: Value) -> Vec<String> {
    create(&row(kind), &object)
}

fn of_pod(spec: Value) -> Vec<String> {
    said("Pod", json!({"metadata": {"name": "a"}, "spec": spec}))
}

#[test]
fn pods_are_told_what_does_nothing() {
    for (spec, expected) in [
        (json!({}), &[][..]),
        (
            json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
            &[
                r#"spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead"#,
            ],
        ),
        (
            json!({"affinity": {"nodeAffinity": {
                REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "node-role.kubernetes.io/master", "values": ["-"]}
                ]}]},
                PREFERRED: [{"preference": {"matchExpressions": [{"key": "a", "values": ["-"]}]}}],
            }}}),
            &[
                r#"spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: node-role.kubernetes.io/master is use "node-role.kubernetes.io/control-plane" instead"#,
                "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].values[0]: - is invalid, a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ],
        ),
        (
            json!({"topologySpreadConstraints": [{"topologyKey": "failure-domain.beta.kubernetes.io/zone"}]}),
            &[
                r#"spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#,
                "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
            ],
        ),
        (
            json!({"volumes": [
                {"name": "a", "gitRepo": {}},
                {"name": "b", "storageos": {}},
                {"name": "c", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1100m"}}}}}},
            ]}),
            &[
                "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
                "spec.volumes[1].storageOS: deprecated in v1.22, non-functional in v1.25+",
                r#"spec.volumes[2].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "1100m" is invalid, must be an integer"#,
            ],
        ),
        (
            json!({"hostAliases": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}, {"ip": "::FFFF"}]}),
            &[
                r#"spec.hostAliases[1].ip: duplicate ip "10.0.0.1""#,
                r#"spec.hostAliases[2].ip: IPv6 address "::FFFF" should be in RFC 5952 canonical format ("::ffff")"#,
            ],
        ),
        (
            json!({"imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}]}),
            &[
                r#"spec.imagePullSecrets[1].name: duplicate name "a""#,
                r#"spec.imagePullSecrets[2].name: invalid empty name """#,
            ],
        ),
        (
            json!({"overhead": {"memory": "1.5", "cpu": "1.5"}, "terminationGracePeriodSeconds": -1}),
            &[
                r#"spec.overhead[memory]: fractional byte value "1500m" is invalid, must be an integer"#,
                "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            ],
        ),
        (
            json!({"affinity": {
                "podAffinity": {REQUIRED: [{"labelSelector": {}}, {}]},
                "podAntiAffinity": {PREFERRED: [{"podAffinityTerm": {}}]},
            }}),
            &[
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[1].labelSelector: a null labelSelector results in matching no pod",
                "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod",
            ],
        ),
        (
            json!({"dnsConfig": {"nameservers": ["1.1.1.1", "05.6.7.8"]}}),
            &[
                r#"spec.dnsConfig.nameservers[1]: non-standard IP address "05.6.7.8" will be considered invalid in a future Kubernetes release: use "5.6.7.8""#,
            ],
        ),
    ] {
        assert_eq!(of_pod(spec), expected);
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

#[test]
fn containers_are_told_what_they_define_twice() {
    for (containers, expected) in [
        (
            json!([{"env": [
                {"name": "A", "value": "1"},
                {"name": "A", "value": "$(A)2"},
                {"name": "A", "value": "3"},
                {"name": "A", "valueFrom": {}},
            ]}]),
            &[
                r#"spec.containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply"#,
                r#"spec.containers[0].env[3]: hides previous definition of "A", which may be dropped when using apply"#,
            ][..],
        ),
        (
            json!([
                {"ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]},
                {"ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "hostPort": 8, "protocol": "TCP"}]},
            ]),
            &[
                "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]",
                "spec.containers[1].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
                "spec.containers[1].ports[1]: overlapping port definition with spec.containers[1].ports[0]",
            ],
        ),
        (
            json!([{"ports": [
                {"containerPort": 80, "hostPort": 8, "protocol": "TCP", "hostIP": "10.0.0.1"},
                {"containerPort": 80, "hostPort": 8, "protocol": "TCP"},
                {"name": "x", "containerPort": 81, "protocol": "TCP", "hostIP": "10.0.0.1"},
                {"name": "x", "containerPort": 82, "protocol": "TCP"},
            ]}]),
            &[
                "spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]",
                "spec.containers[0].ports[2]: hostIP set without hostPort: {Name:x HostPort:0 ContainerPort:81 Protocol:TCP HostIP:10.0.0.1}",
                r#"spec.containers[0].ports[3]: duplicate port name "x" with spec.containers[0].ports[2], services and probes that select ports by name will use spec.containers[0].ports[2]"#,
            ],
        ),
        (
            json!([{"resources": {"limits": {"memory": "100m"}, "requests": {"ephemeral-storage": "1001m", "cpu": "1m"}}}]),
            &[
                r#"spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer"#,
                r#"spec.containers[0].resources.requests[ephemeral-storage]: fractional byte value "1001m" is invalid, must be an integer"#,
            ],
        ),
    ] {
        assert_eq!(of_pod(json!({"containers": containers})), expected);
    }
}

#[test]
fn files_of_volumes_that_overlap_are_told() {
    let items = |paths: &[&str]| json!(paths.iter().map(|path| json!({"path": path})).collect::<Vec<_>>());
    for (volume, expected) in [
        (
            json!({"configMap": {"name": "c", "items": items(&["a", "ab", "b/c"])}}),
            &[][..],
        ),
        (
            json!({"configMap": {"name": "c", "items": items(&["a", "a/b", "a"])}}),
            &[
                r#"volume "v" (ConfigMap "c"): overlapping paths: "a/b" with "a""#,
                r#"volume "v" (ConfigMap "c"): overlapping paths: "a" with "a""#,
                r#"volume "v" (ConfigMap "c"): overlapping paths: "a" with "a/b""#,
            ],
        ),
        (
            json!({"projected": {"sources": [
                {},
                {"secret": {"name": "s", "items": items(&["token"])}},
                {"serviceAccountToken": {"path": "token"}},
                {"clusterTrustBundle": {"signerName": "example.com/x", "path": "token/ca"}},
            ]}}),
            &[
                r#"volume "v" (Projected) has no sources provided"#,
                r#"volume "v" (Projected): overlapping paths: "token" (ServiceAccountToken) with "token" (Secret "s")"#,
                r#"volume "v" (Projected): overlapping paths: "token/ca" (ClusterTrustBundle "example.com/x") with "token" (Secret "s")"#,
                r#"volume "v" (Projected): overlapping paths: "token/ca" (ClusterTrustBundle "example.com/x") with "token" (ServiceAccountToken)"#,
            ],
        ),
    ] {
        let mut volume = volume;
        volume["name"] = json!("v");
        assert_eq!(of_pod(json!({"volumes": [volume]})), expected);
    }
}

#[test]
fn annotations_whose_fields_are_set_are_fine() {
    let annotated = |kind: &str, spec: Value| {
        let template = json!({
            "metadata": {"annotations": {
                "seccomp.security.alpha.kubernetes.io/pod": "x",
                "container.seccomp.security.alpha.kubernetes.io/a": "x",
                "container.apparmor.security.beta.kubernetes.io/a": "runtime/default",
                "security.alpha.kubernetes.io/sysctls": "x",
            }},
            "spec": spec,
        });
        match kind {
            "Pod" => {
                let mut pod = template;
                pod["metadata"]["name"] = json!("a");
                said("Pod", pod)
            }
            kind => said(
                kind,
                json!({"metadata": {"name": "a"}, "spec": {"template": template}}),
            ),
        }
    };
    let bare = json!({"containers": [{"name": "a"}]});
    assert_eq!(
        annotated("DaemonSet", bare.clone()),
        [
            r#"spec.template.metadata.annotations[security.alpha.kubernetes.io/sysctls]: non-functional in v1.11+; use the "sysctls" field instead"#,
            r#"spec.template.metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field instead"#,
            r#"spec.template.metadata.annotations[container.seccomp.security.alpha.kubernetes.io/a]: non-functional in v1.27+; use the "seccompProfile" field instead"#,
            r#"spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/a]: deprecated since v1.30; use the "appArmorProfile" field instead"#,
        ]
    );
    assert_eq!(annotated("Pod", bare).len(), 3);
    let set = json!({
        "securityContext": {"seccompProfile": {}, "appArmorProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "securityContext": {"seccompProfile": {}}}],
    });
    assert_eq!(annotated("DaemonSet", set).len(), 1);
}

#[test]
fn names_that_are_no_labels_are_told_where_pods_get_them() {
    let named = |kind| said(kind, json!({"metadata": {"name": "a.b"}}));
    let expected =
        "which can result in surprising behavior; a DNS label is recommended: [must not contain dots]";
    assert_eq!(
        named("Pod"),
        [format!(
            "metadata.name: this is used in the Pod's hostname, {expected}"
        )]
    );
    for kind in [
        "Deployment",
        "ReplicaSet",
        "Job",
        "CronJob",
        "ReplicationController",
    ] {
        assert_eq!(
            named(kind),
            [format!(
                "metadata.name: this is used in Pod names and hostnames, {expected}"
            )]
        );
    }
    for kind in ["StatefulSet", "DaemonSet", "ConfigMap", "Service"] {
        assert_eq!(named(kind), Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn services_are_told_what_is_ignored() {
    let plain = json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "sessionAffinity": "None"});
    for (changes, expected) in [
        (json!({}), &[][..]),
        (
            json!({"clusterIP": "None", "sessionAffinity": "ClientIP", "loadBalancerIP": "1.2.3.4", "externalIPs": ["1.2.3.4"]}),
            &[
                "spec.loadBalancerIP is ignored for headless services",
                "spec.externalIPs is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
            ],
        ),
        (
            json!({"externalIPs": ["1.2.3.4"], "externalName": "a"}),
            &[
                "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
                r#"spec.externalName is ignored when spec.type is not "ExternalName""#,
            ],
        ),
        (
            json!({"type": "ExternalName", "clusterIP": "", "externalIPs": ["1.2.3.4"]}),
            &[r#"spec.externalIPs is ignored when spec.type is "ExternalName""#],
        ),
        (
            json!({"trafficDistribution": "PreferClose", "loadBalancerSourceRanges": ["1.2.3.4/8"]}),
            &[
                r#"spec.loadBalancerSourceRanges[0]: CIDR value "1.2.3.4/8" is ambiguous in this context (should be "1.0.0.0/8" or "1.2.3.4/32"?)"#,
                r#"spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone""#,
            ],
        ),
    ] {
        let mut spec = plain.clone();
        for (field, value) in changes.as_object().unwrap() {
            spec[field] = value.clone();
        }
        assert_eq!(said("Service", json!({"spec": spec})), expected);
    }
    let hinted = json!({"metadata": {"annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}}, "spec": plain});
    assert_eq!(
        said("Service", hinted),
        [
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead"
        ]
    );
}

#[test]
fn other_kinds_are_told_what_is_deprecated() {
    let old_label = "beta.kubernetes.io/arch";
    let instead = r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#;
    for (kind, object, expected) in [
        (
            "PersistentVolume",
            json!({
                "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "a"}},
                "spec": {
                    "persistentVolumeReclaimPolicy": "Recycle",
                    "rbd": {},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": old_label}]}]}},
                },
            }),
            vec![
                r#"metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead"#.to_owned(),
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.".to_owned(),
                format!("spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: {old_label} is {instead}"),
                "spec.rbd: deprecated in v1.28, non-functional in v1.31+".to_owned(),
            ],
        ),
        (
            "PersistentVolumeClaim",
            json!({"spec": {"resources": {"limits": {"storage": "1m"}}}}),
            vec![r#"spec.resources.limits[storage]: fractional byte value "1m" is invalid, must be an integer"#.to_owned()],
        ),
        (
            "StorageClass",
            json!({"allowedTopologies": [{"matchLabelExpressions": [{"key": old_label}]}]}),
            vec![format!("allowedTopologies[0].matchLabelExpressions[0].key: {instead}")],
        ),
        (
            "CSIStorageCapacity",
            json!({"nodeTopology": {"matchLabels": {old_label: "a"}, "matchExpressions": [{"key": old_label}]}}),
            vec![
                format!("nodeTopology.matchExpressions[0].key: {old_label} is {instead}"),
                format!("nodeTopology.matchLabels.{old_label}: {instead}"),
            ],
        ),
        (
            "RuntimeClass",
            json!({"scheduling": {"nodeSelector": {old_label: "a"}}}),
            vec![format!("scheduling.nodeSelector: {instead}")],
        ),
        (
            "Ingress",
            json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}}, "spec": {}}),
            vec![r#"annotation "kubernetes.io/ingress.class" is deprecated, please use 'spec.ingressClassName' instead"#.to_owned()],
        ),
        (
            "Node",
            json!({"spec": {"externalID": "a", "configSource": {}, "podCIDRs": ["1.2.3.4/24"]}}),
            vec![
                "spec.configSource: the feature is removed".to_owned(),
                "spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned(),
                r#"spec.podCIDRs[0]: CIDR value "1.2.3.4/24" is ambiguous in this context (should be "1.2.3.0/24" or "1.2.3.4/32"?)"#.to_owned(),
            ],
        ),
        (
            "NetworkPolicy",
            json!({"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "FD00::/8", "except": ["FD00::/16"]}}]}]}}),
            vec![
                r#"spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "FD00::/8" should be in RFC 5952 canonical format ("fd00::/8")"#.to_owned(),
                r#"spec.egress[0].to[0].ipBlock.except[0]: IPv6 CIDR value "FD00::/16" should be in RFC 5952 canonical format ("fd00::/16")"#.to_owned(),
            ],
        ),
        (
            "EndpointSlice",
            json!({"addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}]}),
            vec!["spec.addressType: FQDN endpoints are deprecated".to_owned()],
        ),
        (
            "EndpointSlice",
            json!({
                "metadata": {"labels": {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
                "addressType": "IPv6",
                "endpoints": [{"addresses": ["::FF"]}],
            }),
            vec![],
        ),
        (
            "Endpoints",
            json!({"subsets": [{"notReadyAddresses": [{"ip": "::FF"}]}]}),
            vec![r#"subsets[0].notReadyAddresses[0].ip: IPv6 address "::FF" should be in RFC 5952 canonical format ("::ff")"#.to_owned()],
        ),
        (
            "Job",
            json!({"metadata": {"name": "a"}, "spec": {"completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001}}),
            vec!["spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail".to_owned()],
        ),
        (
            "StatefulSet",
            json!({"spec": {
                "revisionHistoryLimit": -1,
                "volumeClaimTemplates": [{"spec": {"resources": {"requests": {"storage": "1m"}}}}],
            }}),
            vec![
                r#"spec.volumeClaimTemplates[0].resources.requests[storage]: fractional byte value "1m" is invalid, must be an integer"#.to_owned(),
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended".to_owned(),
            ],
        ),
    ] {
        assert_eq!(said(kind, object), expected, "{kind}");
    }
}

#[test]
fn names_that_will_be_those_of_files_are_told() {
    for kind in [
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ] {
        let named = |name: &str| json!({"metadata": {"name": name}});
        let (reserved, free) = (named("a.static.k8s.io"), named("static.k8s.io"));
        let expected = [
            "metadata.name: names ending with \".static.k8s.io\" will be reserved for static manifest-based configurations when the ManifestBasedAdmissionControlConfig feature gate is enabled",
        ];
        assert_eq!(said(kind, reserved.clone()), expected, "{kind}");
        assert_eq!(update(&row(kind), "", &reserved, &reserved), expected, "{kind}");
        assert!(said(kind, free).is_empty());
    }
}

#[test]
fn changes_are_told_what_is_new() {
    let template = json!({"spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}});
    let deployment = |generation: i64| json!({"metadata": {"name": "a", "generation": generation}, "spec": {"template": template}});
    let told = |kind, subresource, old: &Value, new: &Value| update(&row(kind), subresource, old, new).len();
    assert_eq!(told("Deployment", "", &deployment(1), &deployment(1)), 0);
    assert_eq!(told("Deployment", "", &deployment(1), &deployment(2)), 1);
    assert_eq!(told("Deployment", "scale", &deployment(1), &deployment(2)), 1);
    assert_eq!(told("Deployment", "status", &deployment(1), &deployment(2)), 0);
    let pod = json!({"metadata": {"name": "a.b"}, "spec": template["spec"], "status": {"podIPs": [{"ip": "::FF"}]}});
    assert_eq!(told("Pod", "", &pod, &pod), 0);
    assert_eq!(told("Pod", "status", &pod, &pod), 1);
    let balanced = json!({"status": {"loadBalancer": {"ingress": [{"ip": "::FF"}, {"hostname": "a"}]}}});
    assert_eq!(told("Service", "status", &balanced, &balanced), 1);
    let schedule = json!({"metadata": {"name": "a"}, "spec": {"schedule": "TZ=UTC * * * * *"}});
    assert_eq!(told("CronJob", "", &schedule, &schedule), 1);
    let account = json!({"metadata": {"annotations": {MOUNTABLE_SECRETS: "true"}}});
    assert_eq!(told("ServiceAccount", "", &json!({}), &account), 1);
    assert_eq!(told("ServiceAccount", "", &account, &account), 0);
    let driver = json!({"spec": {"tokenRequests": [{"audience": "a"}]}});
    assert_eq!(told("CSIDriver", "", &driver, &driver), 0);
    assert_eq!(said("CSIDriver", driver).len(), 1);
}

#[test]
fn unknown_formats_are_told_once() {
    let schema = json!({
        "properties": {
            "a": {"format": "date-time"}, "b": {"format": "nope"}, "c": {"items": {"format": "nope"}},
            "d": {"type": "integer", "format": "int32"}, "e": {"type": "number", "format": "double"},
        },
        "anyOf": [{"additionalProperties": {"format": "\"odd\""}}],
    });
    let definition = |schema: Value| json!({"metadata": {"name": "a"}, "spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
    let row = row("CustomResourceDefinition");
    let new = definition(schema);
    let (nope, odd) = (
        r#"unrecognized format "nope""#,
        r#"unrecognized format "\"odd\"""#,
    );
    assert_eq!(create(&row, &new), [nope, odd]);
    for (old, told) in [
        (json!({}), &[nope, odd][..]),
        (json!({"items": {"format": "nope"}}), &[odd]),
        (
            new["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone(),
            &[],
        ),
    ] {
        assert_eq!(update(&row, "", &definition(old.clone()), &new), told, "{old}");
        assert!(update(&row, "status", &definition(old), &new).is_empty());
    }
}

#[test]
fn formats_are_those_of_a_type() {
    let row = row("CustomResourceDefinition");
    for (ty, format, known) in [
        ("string", "date-time", true),
        ("string", "datetime", true),
        ("string", "int32", false),
        ("integer", "int64", true),
        ("integer", "date-time", false),
        ("integer", "double", false),
        ("number", "float", true),
        ("number", "int32", false),
        ("object", "uri", false),
        ("", "uri", true),
    ] {
        let schema = json!({"type": ty, "format": format});
        let definition = json!({"metadata": {"name": "a"}, "spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
        assert_eq!(create(&row, &definition).is_empty(), known, "{ty} {format}");
    }
}

#[test]
fn finalizers_of_custom_objects_are_told_of_if_others_may_use_them() {
    let object = |finalizers: &[&str]| json!({"metadata": {"name": "a", "finalizers": finalizers}});
    const PREFER: &str = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers";
    let dotted = format!("metadata.finalizers: \"foo.io\": {PREFER}");
    let plain = format!(
        "metadata.finalizers: \"foo\": {}",
        PREFER.replace(" including a path (/)", "")
    );
    for (old, new, told) in [
        (None, &["example.com/foo", "orphan", "kubernetes"][..], vec![]),
        (None, &["foo", "foo"], vec![plain.clone()]),
        (None, &["foo.io"], vec![dotted]),
        (Some(object(&["foo"])), &["foo", "a/b"], vec![]),
        (Some(object(&[])), &["foo"], vec![plain.clone()]),
        (
            None,
            &["-a"],
            vec![
                "metadata.finalizers: \"-a\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')".to_owned(),
                plain.replace("foo", "-a"),
            ],
        ),
    ] {
        assert_eq!(custom::finalizers(old.as_ref(), &object(new)), told, "{new:?}");
    }
}

#[test]
fn pairs_for_tls_are_told_what_is_missing() {
    use base64::Engine as _;
    let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let (certificate, key) = (block("CERTIFICATE"), block("RSA PRIVATE KEY"));
    for (crt, key, expected) in [
        (certificate.clone(), key.clone(), None),
        (
            String::new(),
            key.clone(),
            Some("tls: failed to find any PEM data in certificate input"),
        ),
        (
            "x".into(),
            key.clone(),
            Some("tls: failed to find any PEM data in certificate input"),
        ),
        (
            key.clone(),
            certificate.clone(),
            Some(
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched",
            ),
        ),
        (
            block("X") + &block("Y"),
            key,
            Some(
                r#"tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following types: [X Y]"#,
            ),
        ),
        (
            certificate.clone(),
            certificate.clone(),
            Some("tls: found a certificate rather than a key in the PEM for the private key"),
        ),
        (
            certificate.clone(),
            String::new(),
            Some("tls: failed to find any PEM data in key input"),
        ),
        (
            certificate,
            block("EC PARAMETERS"),
            Some(
                r#"tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the following types: [EC PARAMETERS]"#,
            ),
        ),
    ] {
        let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        let data = json!({"tls.crt": encode(crt), "tls.key": encode(key)});
        let told = said("Secret", json!({"type": "kubernetes.io/tls", "data": data}));
        assert_eq!(told.first().map(String::as_str), expected);
    }
}
