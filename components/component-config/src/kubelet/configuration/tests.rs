use super::*;

const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

#[test]
fn a_usual_file_loads_with_upstreams_spellings() {
    let text = format!(
        "{HEAD}address: 0.0.0.0\nauthentication:\n  anonymous:\n    enabled: false\n  webhook:\n    enabled: true\n  x509:\n    clientCAFile: /ca.crt\n\
         authorization:\n  mode: Webhook\ncgroupDriver: systemd\nclusterDNS: [10.32.0.10]\nclusterDomain: cluster.local\n\
         containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\nmakeIPTablesUtilChains: true\nfailCgroupV1: false\n\
         nodeStatusUpdateFrequency: 10s\nregisterNode: true\nruntimeRequestTimeout: 15m\ntlsCertFile: /a\ntlsPrivateKeyFile: /b\n\
         registerWithTaints:\n- key: a\n  effect: NoSchedule\nimageGCHighThresholdPercent: 90\ncpuCFSQuota: false\nmaxPods: 16\n\
         providerID: x\nkubeAPIQPS: 5\nresolvConf: \"\"\nlogging:\n  format: text\n  flushFrequency: 5s\n"
    );
    let configuration = KubeletConfiguration::parse(&text).unwrap();
    assert_eq!(configuration.cluster_dns, ["10.32.0.10"]);
    assert_eq!(configuration.runtime_request_timeout.0.as_secs(), 900);
    assert_eq!(configuration.authentication.x509.client_ca_file, "/ca.crt");
    assert_eq!(configuration.eviction_hard["memory.available"], "100Mi");
    assert!(!configuration.fail_cgroup_v1);
    let written = serde_yaml_ng::to_string(&configuration).unwrap();
    assert_eq!(KubeletConfiguration::parse(&written).unwrap(), configuration);
}

#[test]
fn what_cannot_be_honoured_is_refused_by_field() {
    for (line, field) in [
        ("readOnlyPort: 10255", "readOnlyPort"),
        ("authorization: {mode: AlwaysAllow}", "authorization.mode"),
        (
            "authentication: {anonymous: {enabled: true}}",
            "authentication.anonymous.enabled",
        ),
        ("cpuManagerPolicy: static", "cpuManagerPolicy"),
        ("tlsCertFile: /a", "tlsCertFile"),
        ("featureGates: {Some: true}", "featureGates"),
        ("noSuchField: 1", "noSuchField"),
        ("syncFrequency: 5x", "5x"),
        ("clusterDNS: [nonsense]", "clusterDNS"),
    ] {
        let error = KubeletConfiguration::parse(&format!("{HEAD}{line}\n"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(field), "{line}: {error}");
    }
}

#[test]
fn features_are_declared_unless_they_are_off() {
    const ALL: &[&str] = &[
        "ExtendWebSocketsToKubelet",
        "GuaranteedQoSPodCPUResize",
        "InPlacePodLevelResourcesVerticalScaling",
        "InPlacePodVerticalScalingInitContainers",
    ];
    for (gates, declared) in [
        ("{}", ALL),
        (
            "{ExtendWebSocketsToKubelet: true, NodeDeclaredFeatures: true}",
            ALL,
        ),
        ("{ExtendWebSocketsToKubelet: false}", &ALL[1..]),
        (
            "{InPlacePodLevelResourcesVerticalScaling: false, InPlacePodVerticalScalingInitContainers: false}",
            &ALL[..2],
        ),
        ("{NodeDeclaredFeatures: false}", &[]),
    ] {
        let configuration = KubeletConfiguration::parse(&format!("{HEAD}featureGates: {gates}\n")).unwrap();
        assert_eq!(configuration.declared_features(), declared, "{gates}");
    }
}
