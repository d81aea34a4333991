use clap::Parser;

use super::*;

#[test]
fn an_upstream_file_is_understood() {
    // As kubeadm writes it.
    let text = "apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: \"\"
  burst: 0
  contentType: \"\"
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: \"\"
  interfaceNamePrefix: \"\"
detectLocalMode: \"\"
enableProfiling: false
healthzBindAddress: \"\"
hostnameOverride: \"\"
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
kind: KubeProxyConfiguration
logging:
  flushFrequency: 0
  verbosity: 0
metricsBindAddress: \"\"
mode: \"\"
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: \"\"
showHiddenMetricsForVersion: \"\"
winkernel:
  enableDSR: false
";
    let parsed: KubeProxyConfiguration = serde_yaml_ng::from_str(text).unwrap();
    assert_eq!(parsed.mode, ProxyMode::Iptables);
    assert_eq!(parsed.cluster_cidr, "10.244.0.0/16");
    assert_eq!(parsed.nftables.masquerade_bit, 14);
    assert!(serde_yaml_ng::from_str::<KubeProxyConfiguration>("mode: ipvs").is_err());
    assert!(serde_yaml_ng::from_str::<KubeProxyConfiguration>("clusterCidr: x").is_err());
}

#[test]
fn what_is_rendered_is_read_back() {
    let configuration = KubeProxyConfiguration {
        cluster_cidr: "10.0.0.0/8".to_owned(),
        ..Default::default()
    };
    let text = serde_yaml_ng::to_string(&configuration).unwrap();
    assert_eq!(
        serde_yaml_ng::from_str::<KubeProxyConfiguration>(&text).unwrap(),
        configuration
    );
}

#[test]
fn flags_without_a_file_make_a_configuration() {
    let flags = Flags::parse_from([
        "kube-proxy",
        "--proxy-mode=nftables",
        "--masquerade-all",
        "--hostname-override=n1",
    ]);
    let configuration = flags.configuration().unwrap();
    assert_eq!(configuration.mode, ProxyMode::Nftables);
    assert!(configuration.nftables.masquerade_all);
    assert_eq!(configuration.hostname_override, "n1");
}
