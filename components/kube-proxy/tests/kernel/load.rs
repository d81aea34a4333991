//! How long a full load and one change take. Run by hand: `cargo nextest run -p kube-proxy --run-ignored all load`.

use std::time::Instant;

use component_config::kube_proxy::ProxyMode;
use serde_json::json;

use super::lab::{Lab, service};

fn load(mode: ProxyMode, count: u32) {
    let Some(lab) = Lab::new(mode) else { return };
    let one = |index: u32, pods: &[u8]| {
        let address = format!("10.96.{}.{}", index / 250 + 1, index % 250 + 1);
        service(
            &format!("web-{index}"),
            json!({ "clusterIP": address }),
            pods,
            "TCP",
        )
    };
    let all: Vec<_> = (0..count).map(|index| one(index, &[1, 2])).collect();
    lab.distrust();
    let start = Instant::now();
    lab.apply(all);
    let full = start.elapsed();
    let start = Instant::now();
    lab.apply(vec![one(7, &[1])]);
    let endpoints = start.elapsed();
    let start = Instant::now();
    lab.apply(vec![one(count + 1, &[1, 2])]);
    let added = start.elapsed();
    assert_eq!(super::ask(&lab.node, "10.96.1.8:80").unwrap().0, "pod1");
    eprintln!(
        "{mode:?}, {count} services: all {full:?}, one change of endpoints {endpoints:?}, one more service {added:?}"
    );
}

#[test]
#[ignore = "takes a minute; prints times"]
fn nftables_load() {
    load(ProxyMode::Nftables, 10_000);
}

#[test]
#[ignore = "takes a minute; prints times"]
fn iptables_load() {
    load(ProxyMode::Iptables, 10_000);
}
