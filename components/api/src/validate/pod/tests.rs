use super::*;
use crate::features::{Feature, Features};
use serde_json::json;

/// A pod whose only container has these fields.
fn with_container(fields: Value) -> Value {
    let mut container = json!({
        "name": "main", "image": "app:1", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"
    });
    merge(&mut container, fields);
    with_spec(json!({"containers": [container]}))
}

/// A pod whose spec has these fields.
fn with_spec(fields: Value) -> Value {
    let mut spec = json!({
        "containers": [{
            "name": "main", "image": "app:1", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"
        }],
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "terminationGracePeriodSeconds": 30,
        "serviceAccountName": "default"
    });
    merge(&mut spec, fields);
    json!({"metadata": {"name": "web"}, "spec": spec})
}

fn merge(into: &mut Value, fields: Value) {
    for (name, value) in fields.as_object().cloned().into_iter().flatten() {
        into[name] = value;
    }
}

fn told(errors: ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn check_all(table: Vec<(Value, &[&str])>) {
    for (pod, wrong) in table {
        assert_eq!(
            told(create(&pod, Allowed::new(Features::default()))),
            wrong,
            "{pod}"
        );
    }
}

#[test]
fn environments() {
    let from = |source: Value| with_container(json!({"env": [{"name": "A", "valueFrom": source}]}));
    check_all(vec![
        (
            from(json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['app']"}})),
            &[],
        ),
        (
            from(json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "status.phase"}})),
            &[
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"status.phase\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
            ],
        ),
        (
            from(json!({"resourceFieldRef": {"resource": "limits.gpu"}})),
            &[
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gpu\": supported values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \"requests.ephemeral-storage\", \"requests.memory\"",
            ],
        ),
        (
            from(json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}})),
            &[
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
            ],
        ),
        (
            with_container(json!({"envFrom": [{}]})),
            &[
                "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
            ],
        ),
    ]);
}

#[test]
fn files_with_variables_are_in_empty_directories() {
    let pod = |volume: Value, file: &str| {
        let source = json!({"fileKeyRef": {"key": "K", "volumeName": "v", "path": file}});
        let mut pod = with_container(json!({"env": [{"name": "A", "valueFrom": source}]}));
        pod["spec"]["volumes"] = volume;
        pod
    };
    const PATH: &str = "spec.containers[0].env[0].valueFrom.fileKeyRef";
    for (volume, file, wrong) in [
        (json!([{"name": "v", "emptyDir": {}}]), "a.env", String::new()),
        (json!([{"name": "v", "emptyDir": {}}]), "/a.env", String::new()),
        (
            json!([{"name": "v", "emptyDir": {}}]),
            "../a.env",
            format!("{PATH}.path: Invalid value: \"../a.env\": must not contain '..'"),
        ),
        (json!([]), "a.env", format!("{PATH}.volumeName: Not found: \"v\"")),
        (
            json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
            "a.env",
            format!("{PATH}.volumeName: Invalid value: \"v\": referenced volume must be of type emptyDir"),
        ),
    ] {
        let found = told(create(&pod(volume, file), Allowed::new(Features::default())));
        assert_eq!(found.join(""), wrong, "{file}");
    }
}

#[test]
fn mounts_and_devices() {
    let pod = |volumes: Value, fields: Value| {
        let mut pod = with_container(fields);
        pod["spec"]["volumes"] = volumes;
        pod
    };
    let claim = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    let empty = json!([{"name": "data", "emptyDir": {}}]);
    check_all(vec![
        (
            pod(
                claim.clone(),
                json!({"volumeDevices": [{"name": "data", "devicePath": "/dev/x"}]}),
            ),
            &[],
        ),
        (
            pod(
                empty.clone(),
                json!({"volumeDevices": [{"name": "data", "devicePath": "/dev/x"}]}),
            ),
            &[
                "spec.containers[0].volumeDevices[0].name: Invalid value: \"data\": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
            ],
        ),
        (
            pod(
                claim,
                json!({
                    "volumeDevices": [{"name": "data", "devicePath": "/x"}],
                    "volumeMounts": [{"name": "data", "mountPath": "/x"}]
                }),
            ),
            &[
                "spec.containers[0].volumeMounts[0].name: Invalid value: \"data\": must not already exist in volumeDevices",
                "spec.containers[0].volumeMounts[0].mountPath: Invalid value: \"/x\": must not already exist as a path in volumeDevices",
                "spec.containers[0].volumeDevices[0].name: Invalid value: \"data\": must not already exist in volumeMounts",
                "spec.containers[0].volumeDevices[0].devicePath: Invalid value: \"/x\": must not already exist as a path in volumeMounts",
            ],
        ),
        (
            pod(
                empty.clone(),
                json!({"volumeMounts": [
                    {"name": "data", "mountPath": "/a", "subPath": "../b"},
                    {"name": "data", "mountPath": "/b", "mountPropagation": "Bidirectional"},
                    {"name": "data", "mountPath": "/c", "recursiveReadOnly": "Enabled"}
                ]}),
            ),
            &[
                "spec.containers[0].volumeMounts.subPath: Invalid value: \"../b\": must not contain '..'",
                "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
                "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
            ],
        ),
    ]);
}

#[test]
fn volumes() {
    let pod = |source: Value| {
        let mut volume = json!({"name": "data"});
        merge(&mut volume, source);
        with_spec(json!({"volumes": [volume]}))
    };
    check_all(vec![
        (
            pod(
                json!({"iscsi": {"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:a", "lun": 300}}),
            ),
            &["spec.volumes[0].iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive"],
        ),
        (
            pod(json!({"iscsi": {"targetPortal": "10.0.0.1", "iqn": "other"}})),
            &[
                "spec.volumes[0].iscsi.iqn: Invalid value: \"other\": must be valid format starting with iqn, eui, or naa",
            ],
        ),
        (
            pod(json!({"gcePersistentDisk": {}, "emptyDir": {}})),
            &["spec.volumes[0].gcePersistentDisk: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            pod(json!({"gcePersistentDisk": {}})),
            &["spec.volumes[0].persistentDisk.pdName: Required value"],
        ),
        (
            pod(json!({"downwardAPI": {"items": [{"path": "a"}]}})),
            &[
                "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
            ],
        ),
        (
            pod(json!({"projected": {"sources": [
                {"secret": {"name": "a", "items": [{"key": "k", "path": "p"}]}},
                {"configMap": {"name": "b", "items": [{"key": "k", "path": "p"}]}}
            ]}})),
            &["spec.volumes[0].projected: Invalid value: \"b\": conflicting duplicate paths"],
        ),
        (
            pod(json!({"csi": {"driver": ""}})),
            &["spec.volumes[0].csi.driver: Required value"],
        ),
        (
            pod(
                json!({"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "x"}, "spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}
                }}}}),
            ),
            &["spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set"],
        ),
    ]);
}

#[test]
fn resources_and_claims() {
    let asks = |resources: Value| with_container(json!({"resources": resources}));
    check_all(vec![
        (
            asks(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}})),
            &[],
        ),
        (
            asks(json!({"limits": {"example.com/gpu": "2"}, "requests": {"example.com/gpu": "1"}})),
            &[
                "spec.containers[0].resources.requests: Invalid value: \"1\": must be equal to example.com/gpu limit of 2",
            ],
        ),
        (
            asks(json!({"requests": {"example.com/gpu": "1"}})),
            &[
                "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
            ],
        ),
        (
            asks(json!({"limits": {"hugepages-2Mi": "3Mi"}, "requests": {"hugepages-2Mi": "3Mi"}})),
            &[
                "spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                "spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
            ],
        ),
        (
            asks(json!({"claims": [{"name": "gpu"}]})),
            &[
                "spec.containers[0].resources.claims[0]: Not found: \"gpu\": must be one of the names in pod.spec.resourceClaims which is empty",
            ],
        ),
        (
            with_spec(json!({"resourceClaims": [{"name": "gpu"}]})),
            &[
                "spec.resourceClaims[0]: Invalid value: {\"Name\":\"gpu\",\"ResourceClaimName\":null,\"ResourceClaimTemplateName\":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            ],
        ),
        (
            with_spec(json!({
                "resources": {"requests": {"cpu": "1"}},
                "containers": [{
                    "name": "main", "image": "app:1", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
                    "resources": {"requests": {"cpu": "2"}}
                }]
            })),
            &[
                "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2",
            ],
        ),
    ]);
}

#[test]
fn hosts_and_systems() {
    check_all(vec![
        (
            with_spec(json!({"hostUsers": false, "hostPID": true})),
            &["spec.HostPID: Forbidden: when `hostUsers` is false"],
        ),
        (
            with_spec(json!({"hostPID": true, "shareProcessNamespace": true})),
            &[
                "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
            ],
        ),
        (
            with_spec(
                json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}),
            ),
            &[
                "spec.securityContext.sysctls[0].name: Invalid value: \"net.ipv4.tcp_syncookies\": may not be specified when 'hostNetwork' is true",
            ],
        ),
        (
            with_spec(json!({"os": {"name": "windows"}, "securityContext": {"fsGroup": 1}})),
            &["spec.securityContext.fsGroup: Forbidden: cannot be set for a windows pod"],
        ),
        (
            with_spec(json!({"os": {"name": "plan9"}})),
            &["spec.os: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""],
        ),
        (
            with_spec(json!({"hostNetwork": true, "containers": [{
                "name": "main", "image": "app:1", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 80, "hostPort": 81, "protocol": "TCP"}]
            }]})),
            &[
                "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
            ],
        ),
        (
            with_container(json!({"securityContext": {"appArmorProfile": {"type": "Localhost"}}})),
            &[
                "spec.containers[0].securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost",
            ],
        ),
        (
            with_spec(json!({"ephemeralContainers": [{
                "name": "main", "image": "app:1", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
                "resources": {"limits": {"cpu": "1"}}
            }]})),
            &[
                "spec.ephemeralContainers[0].name: Duplicate value: \"main\"",
                "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container",
                "spec.ephemeralContainers: Forbidden: cannot be set on create",
            ],
        ),
        (
            with_spec(json!({"nodeName": "n", "schedulingGates": [{"name": "example.com/a"}]})),
            &["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
    ]);
}

#[test]
fn selectors_of_the_pods_own_labels() {
    let spread = |fields: Value| {
        let mut constraint =
            json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
        merge(&mut constraint, fields);
        with_spec(json!({"topologySpreadConstraints": [constraint]}))
    };
    check_all(vec![
        (
            spread(json!({"matchLabelKeys": ["app"]})),
            &[
                "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
            ],
        ),
        (
            spread(json!({"matchLabelKeys": ["app"], "labelSelector": {
                "matchLabels": {"app": "x"},
                "matchExpressions": [{"key": "app", "operator": "In", "values": ["x"]}]
            }})),
            &[
                "spec.topologySpreadConstraints[0][0]: Invalid value: \"app\": exists in both matchLabelKeys and labelSelector",
            ],
        ),
        (
            spread(
                json!({"matchLabelKeys": ["app"], "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["x"]}]}}),
            ),
            &[],
        ),
    ]);
}

#[test]
fn annotations_that_mean_something() {
    let noted = |key: &str, value: &str| {
        let mut pod = with_spec(json!({}));
        pod["metadata"]["annotations"] = json!({key: value});
        pod
    };
    check_all(vec![
        (noted("controller.kubernetes.io/pod-deletion-cost", "-5"), &[]),
        (
            noted("controller.kubernetes.io/pod-deletion-cost", "+5"),
            &[
                "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+5\": must be a 32bit integer",
            ],
        ),
        (
            noted("kubernetes.io/config.mirror", "x"),
            &[
                "metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod annotation is set",
            ],
        ),
        (
            noted(
                "container.apparmor.security.beta.kubernetes.io/other",
                "unconfined",
            ),
            &[
                "metadata.annotations[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: \"other\": container not found",
            ],
        ),
    ]);
    let (old, new) = (noted("kubernetes.io/config.mirror", "x"), with_spec(json!({})));
    assert_eq!(
        told(annotations::change(
            &old,
            &new,
            Allowed::new(Features::default()),
            &Path::new("metadata.annotations")
        )),
        [
            "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not remove or update mirror pod annotation"
        ]
    );
}

#[test]
fn a_running_pod_gets_other_resources() {
    let pod = |resources: Value| {
        let mut pod = with_container(json!({"resources": resources}));
        pod["status"] = json!({"qosClass": "Burstable"});
        pod
    };
    let old = pod(json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}));
    for (resources, wrong) in [
        (
            json!({"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}),
            vec![],
        ),
        (
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1536Mi"}}),
            vec![],
        ),
        (
            json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}),
            vec!["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
        ),
        (
            json!({"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}, "limits": {"memory": "2Gi"}}),
            vec!["spec: Forbidden: only cpu and memory resources are mutable"],
        ),
        (
            json!({"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}),
            vec!["spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing"],
        ),
    ] {
        assert_eq!(
            told(resize::update(&old, &pod(resources.clone()), Features::default())),
            wrong,
            "{resources}"
        );
    }
}

#[test]
fn containers_that_ended_stay_ended() {
    let pod = |policy: &str, state: Value| {
        let mut pod = with_spec(json!({"restartPolicy": policy}));
        pod["status"] = json!({"containerStatuses": [{"name": "main", "state": state}]});
        pod
    };
    let ended = |code: i64| json!({"terminated": {"exitCode": code}});
    for (policy, code, wrong) in [
        ("Always", 0, 0),
        ("Never", 1, 1),
        ("OnFailure", 1, 0),
        ("OnFailure", 0, 1),
    ] {
        let (old, new) = (pod(policy, ended(code)), pod(policy, json!({"running": {}})));
        assert_eq!(
            status::update(&old, &new, Features::default()).len(),
            wrong,
            "{policy} {code}"
        );
    }
}

/// Parts of a spec that a feature lets through, and what is told without it.
#[test]
fn what_features_let_through_is_refused_without_them_unless_it_is_there() {
    let container = |fields: Value| at(&with_container(fields), &["spec"]).clone();
    for (feature, spec, refusal) in [
        (
            Feature::TaintTolerationComparisonOperators,
            json!({"tolerations": [{"key": "sla", "operator": "Gt", "value": "950"}]}),
            "spec.tolerations[0].operator: Unsupported value",
        ),
        (
            Feature::SELinuxMount,
            json!({"securityContext": {"seLinuxChangePolicy": "MountOption"}}),
            "spec.securityContext.seLinuxChangePolicy: Unsupported value",
        ),
        (
            Feature::UserNamespacesHostNetworkSupport,
            json!({"hostUsers": false, "hostNetwork": true}),
            "spec.hostNetwork: Forbidden",
        ),
        (
            Feature::PodLifecycleSleepActionAllowZero,
            container(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 0}}}})),
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 0: must be greater than 0",
        ),
        (
            Feature::RestartAllContainersOnContainerExits,
            container(json!({"restartPolicy": "Never", "restartPolicyRules": [
                {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}
            ]})),
            "spec.containers[0].restartPolicyRules[0].action: Unsupported value",
        ),
    ] {
        let pod = with_spec(spec);
        let with = |on, old| Allowed::of(Features::default().with(feature, on), "Pod", old);
        let told = |allowed| told(whole(&pod, allowed));
        assert_eq!(told(with(true, None)), Vec::<String>::new(), "{feature:?}");
        assert_eq!(
            told(with(false, Some(&pod))),
            Vec::<String>::new(),
            "{feature:?}: in use"
        );
        let refused = told(with(false, None));
        assert!(
            matches!(&refused[..], [only] if only.starts_with(refusal)),
            "{feature:?}: {refused:?}"
        );
    }
    let mut costly = with_spec(json!({}));
    costly["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "much"});
    for (on, wrong) in [(true, 1), (false, 0)] {
        let features = Features::default().with(Feature::PodDeletionCost, on);
        assert_eq!(whole(&costly, Allowed::new(features)).len(), wrong);
        assert_eq!(
            whole(&costly, Allowed::of(features, "Pod", Some(&costly))).len(),
            0
        );
    }
}

#[test]
fn tolerations_compare_whole_numbers() {
    let features = Features::default().with(Feature::TaintTolerationComparisonOperators, true);
    const FORM: &str = "must be a valid decimal integer in canonical form";
    let syntax = |value: &str| format!("strconv.ParseInt: parsing {value:?}: invalid syntax");
    for (value, wrong) in [
        ("-5", vec![]),
        ("0", vec![]),
        ("05", vec![FORM.to_owned()]),
        ("1.5", vec![FORM.to_owned(), syntax("1.5")]),
        ("", vec![FORM.to_owned(), syntax("")]),
        (
            "9223372036854775808",
            vec!["strconv.ParseInt: parsing \"9223372036854775808\": value out of range".to_owned()],
        ),
    ] {
        let toleration = json!({"key": "sla", "operator": "Lt", "value": value});
        let errors = tolerations(&[toleration], Allowed::new(features), &Path::new("spec"));
        let wanted: Vec<String> = wrong
            .iter()
            .map(|why| format!("spec[0].value: Invalid value: {value:?}: {why}"))
            .collect();
        assert_eq!(told(errors), wanted, "{value}");
    }
}
