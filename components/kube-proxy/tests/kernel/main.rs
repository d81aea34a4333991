//! Real rules, real connections, both modes.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

mod lab;
mod load;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use component_config::kube_proxy::ProxyMode;
use lab::{Lab, ask, ask_udp, gone, service, sh, udp_client};
use serde_json::json;

/// Makes a test of each mode out of a function.
macro_rules! in_both_modes {
    ($($name:ident)*) => {
        mod iptables { $(#[test] fn $name() { super::$name(super::ProxyMode::Iptables); })* }
        mod nftables { $(#[test] fn $name() { super::$name(super::ProxyMode::Nftables); })* }
    };
}

in_both_modes! {
    connections_spread_and_follow_the_endpoints
    a_pod_reaches_itself
    node_ports_and_external_addresses
    policy_local_keeps_the_source
    internal_policy_local
    without_endpoints_it_is_refused
    clients_stay_with_session_affinity
    udp_flows_follow_the_endpoints
    source_ranges_are_kept
    everything_goes_with_a_cleanup
}

fn count(lab: &Lab, target: &str) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for _ in 0..40 {
        *count.entry(ask(&lab.node, target).unwrap().0).or_default() += 1;
    }
    count
}

fn connections_spread_and_follow_the_endpoints(mode: ProxyMode) {
    let Some(lab) = Lab::new(mode) else { return };
    let web = |pods: &[u8]| service("web", json!({ "clusterIP": "10.96.0.1" }), pods, "TCP");
    lab.apply(vec![web(&[1, 2])]);
    let spread = count(&lab, "10.96.0.1:80");
    assert!(
        spread.len() == 2 && spread.values().all(|count| *count >= 6),
        "{spread:?}"
    );
    // A pod's address arrives, except when it meets itself.
    let (name, source) = ask(&lab.pods[0], "10.96.0.1:80").unwrap();
    assert_eq!(
        source.to_string(),
        if name == "pod1" {
            "10.244.1.1"
        } else {
            "10.244.1.11"
        }
    );

    lab.apply(vec![web(&[2])]);
    assert_eq!(
        count(&lab, "10.96.0.1:80").into_keys().collect::<Vec<_>>(),
        ["pod2"]
    );
    lab.distrust();
    lab.apply(vec![]);
    assert_eq!(
        count(&lab, "10.96.0.1:80").into_keys().collect::<Vec<_>>(),
        ["pod2"],
        "after all was made anew"
    );

    // Others are not disturbed by a change, and a second service on the same address takes over when the first goes.
    lab.apply(vec![service(
        "other",
        json!({ "clusterIP": "10.96.0.2", "externalIPs": ["10.96.0.3"] }),
        &[1],
        "TCP",
    )]);
    lab.apply(vec![service(
        "zweb",
        json!({ "clusterIP": "10.96.0.4", "externalIPs": ["10.96.0.3"] }),
        &[2],
        "TCP",
    )]);
    assert_eq!(ask(&lab.node, "10.96.0.2:80").unwrap().0, "pod1");
    assert_eq!(ask(&lab.outside, "10.96.0.3:80").unwrap().0, "pod1");
    lab.apply(vec![gone("other")]);
    assert_eq!(ask(&lab.outside, "10.96.0.3:80").unwrap().0, "pod2");
    lab.apply(vec![gone("web"), gone("zweb")]);
    assert!(ask(&lab.node, "10.96.0.1:80").is_err());
    assert!(ask(&lab.node, "10.96.0.2:80").is_err());
}

fn a_pod_reaches_itself(mode: ProxyMode) {
    let Some(lab) = Lab::new(mode) else { return };
    lab.apply(vec![service(
        "web",
        json!({ "clusterIP": "10.96.0.1" }),
        &[1],
        "TCP",
    )]);
    assert_eq!(ask(&lab.pods[0], "10.96.0.1:80").unwrap().0, "pod1");
    let (name, source) = ask(&lab.pods[1], "10.96.0.1:80").unwrap();
    // br_netfilter is not loaded for the bridge here, so the answer would bypass the node if not for its route.
    assert_eq!(
        (name.as_str(), source.to_string().as_str()),
        ("pod1", "10.244.1.12")
    );
}

fn node_ports_and_external_addresses(mode: ProxyMode) {
    let Some(lab) = Lab::new(mode) else { return };
    let spec = json!({
        "type": "LoadBalancer", "clusterIP": "10.96.0.1", "nodePort": 30080, "externalIPs": ["192.0.2.1"],
        "ingress": "198.51.100.1",
    });
    lab.apply(vec![service("web", spec, &[1, 2], "TCP")]);
    for target in ["10.9.0.1:30080", "192.0.2.1:80", "198.51.100.1:80"] {
        let (_, source) = ask(&lab.outside, target).unwrap_or_else(|error| panic!("{target}: {error}"));
        assert_eq!(source.to_string(), "10.244.1.1", "{target}");
    }
    assert!(ask(&lab.node, "10.9.0.1:30080").is_ok(), "from the node itself");
    assert!(ask(&lab.pods[0], "10.9.0.1:30080").is_ok(), "from a pod");
    assert!(ask(&lab.node, "127.0.0.1:30080").is_err(), "not on loopback");
}

fn policy_local_keeps_the_source(mode: ProxyMode) {
    let Some(lab) = Lab::new(mode) else { return };
    let web = |pods: &[u8]| {
        let spec = json!({ "type": "NodePort", "clusterIP": "10.96.0.1", "nodePort": 30080, "externalTrafficPolicy": "Local" });
        service("web", spec, pods, "TCP")
    };
    lab.apply(vec![web(&[1, 2])]);
    for _ in 0..10 {
        let (name, source) = ask(&lab.outside, "10.9.0.1:30080").unwrap();
        assert_eq!((name.as_str(), source.to_string().as_str()), ("pod1", "10.9.0.3"));
    }
    lab.apply(vec![web(&[2])]);
    let error = ask(&lab.outside, "10.9.0.1:30080").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "dropped, not refused");
    assert_eq!(
        ask(&lab.node, "10.9.0.1:30080").unwrap().0,
        "pod2",
        "the node itself may use any endpoint"
    );
    assert_eq!(
        ask(&lab.pods[0], "10.9.0.1:30080").unwrap().0,
        "pod2",
        "and so may its pods"
    );
}

fn internal_policy_local(mode: ProxyMode) {
    let Some(lab) = Lab::new(mode) else { return };
    let web = |pods: &[u8]| {
        service(
            "web",
            json!({ "clusterIP": "10.96.0.1", "internalTrafficPolicy": "Local" }),
            pods,
            "TCP",
        )
    };
    lab.apply(vec![web(&[1, 2])]);
    assert_eq!(
        count(&lab, "10.96.0.1:80").into_keys().collect::<Vec<_>>(),
        ["pod1"]
    );
    lab.apply(vec![web(&[2])]);
    assert_eq!(
        ask(&lab.node, "10.96.0.1:80").unwrap_err().kind(),
        ErrorKind::TimedOut
    );
}

fn without_endpoints_it_is_refused(mode: ProxyMode) {
    let Some(lab) = Lab::new(mode) else { return };
    let spec = || json!({ "type": "NodePort", "clusterIP": "10.96.0.1", "nodePort": 30080, "externalIPs": ["192.0.2.1"] });
    lab.apply(vec![service("web", spec(), &[], "TCP")]);
    for (from, target) in [
        (&lab.node, "10.96.0.1:80"),
        (&lab.pods[0], "10.96.0.1:80"),
        (&lab.outside, "10.9.0.1:30080"),
        (&lab.outside, "192.0.2.1:80"),
    ] {
        let start = Instant::now();
        assert_eq!(
            ask(from, target).unwrap_err().kind(),
            ErrorKind::ConnectionRefused,
            "{target}"
        );
        // Before the first SYN would be sent again.
        assert!(start.elapsed() < Duration::from_millis(950));
    }
    lab.apply(vec![service("web", spec(), &[1], "TCP")]);
    assert_eq!(ask(&lab.outside, "10.9.0.1:30080").unwrap().0, "pod1");
}

fn clients_stay_with_session_affinity(mode: ProxyMode) {
    let Some(lab) = Lab::new(mode) else { return };
    let web = |pods: &[u8]| {
        let spec = json!({ "type": "NodePort", "clusterIP": "10.96.0.1", "nodePort": 30080, "sessionAffinity": "ClientIP" });
        service("web", spec, pods, "TCP")
    };
    lab.apply(vec![web(&[1, 2])]);
    let spread = count(&lab, "10.96.0.1:80");
    assert_eq!(spread.len(), 1, "{spread:?}");
    let first = ask(&lab.outside, "10.9.0.1:30080").unwrap().0;
    for _ in 0..10 {
        assert_eq!(ask(&lab.outside, "10.9.0.1:30080").unwrap().0, first);
    }
    let other = if first == "pod1" { 2 } else { 1 };
    lab.apply(vec![web(&[other])]);
    assert_eq!(
        ask(&lab.outside, "10.9.0.1:30080").unwrap().0,
        format!("pod{other}")
    );
    lab.apply(vec![gone("web")]);
    assert!(ask(&lab.outside, "10.9.0.1:30080").is_err());
}

fn udp_flows_follow_the_endpoints(mode: ProxyMode) {
    let Some(lab) = Lab::new(mode) else { return };
    let dns = |pods: &[u8]| {
        service(
            "dns",
            json!({ "clusterIP": "10.96.0.10", "nodePort": 30053 }),
            pods,
            "UDP",
        )
    };
    lab.apply(vec![dns(&[])]);
    let inside = udp_client(&lab.pods[0]);
    let outside = udp_client(&lab.outside);
    let _ = ask_udp(&outside, "10.9.0.1:30053");
    lab.apply(vec![dns(&[1])]);
    assert_eq!(ask_udp(&outside, "10.9.0.1:30053").unwrap(), "pod1");
    assert_eq!(ask_udp(&inside, "10.96.0.10:80").unwrap(), "pod1");
    lab.apply(vec![dns(&[2])]);
    // The same sockets, so the same flows.
    assert_eq!(ask_udp(&outside, "10.9.0.1:30053").unwrap(), "pod2");
    assert_eq!(ask_udp(&inside, "10.96.0.10:80").unwrap(), "pod2");
}

fn source_ranges_are_kept(mode: ProxyMode) {
    let Some(lab) = Lab::new(mode) else { return };
    let web = |ranges: &[&str]| {
        let spec = json!({
            "type": "LoadBalancer", "clusterIP": "10.96.0.1", "ingress": "198.51.100.1", "loadBalancerSourceRanges": ranges,
        });
        service("web", spec, &[1], "TCP")
    };
    lab.apply(vec![web(&["10.9.0.0/24"])]);
    assert_eq!(ask(&lab.outside, "198.51.100.1:80").unwrap().0, "pod1");
    lab.apply(vec![web(&["10.8.0.0/16", "10.9.1.0/24"])]);
    assert_eq!(
        ask(&lab.outside, "198.51.100.1:80").unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    assert_eq!(
        ask(&lab.node, "10.96.0.1:80").unwrap().0,
        "pod1",
        "the cluster IP is not concerned"
    );
}

fn everything_goes_with_a_cleanup(mode: ProxyMode) {
    let Some(lab) = Lab::new(mode) else { return };
    let spec = json!({ "clusterIP": "10.96.0.1", "sessionAffinity": "ClientIP", "nodePort": 30080 });
    lab.apply(vec![service("web", spec, &[1, 2], "TCP")]);
    assert!(lab.is_intact());
    let rules = || sh(&lab.node, "nft list ruleset; iptables-save");
    assert!(rules().to_uppercase().contains("KUBE-"));
    lab.cleanup(mode);
    assert!(!rules().to_uppercase().contains("KUBE-"), "{}", rules());
    assert!(!lab.is_intact());
    // Twice is once.
    lab.cleanup(mode);
    lab.distrust();
    lab.apply(vec![]);
    assert!(ask(&lab.node, "10.96.0.1:80").is_ok());
}
