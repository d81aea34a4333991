//! What the search picks is checked against rules written out plainly, over pods instead of counts.

use std::sync::Arc;

use component_config::kube_scheduler::KubeSchedulerConfiguration;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::*;
use crate::cluster::Cluster;
use crate::model::pod::PodAffinity;
use crate::model::ports::HostPort;
use crate::model::requests::PodRequests;
use crate::model::selector::Labels;
use crate::model::taints::{Effect, Taint};
use crate::model::{AffinityTerm, Node, Pod, PodMatcher, Requests, Selector, SpreadConstraint};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn of_app(app: u8) -> PodMatcher {
    PodMatcher {
        namespaces: ["n".to_owned()].into(),
        namespace_selector: None,
        labels: Selector::of_map(&labels(&[("app", &app.to_string())])),
    }
}

fn term(app: u8) -> AffinityTerm {
    AffinityTerm {
        pods: of_app(app),
        topology_key: "zone".to_owned(),
    }
}

fn node() -> impl Strategy<Value = Node> {
    (1..6i64, 0..4u8, any::<bool>(), 1..5i64).prop_map(|(cpu, zone, tainted, pods)| Node {
        labels: if zone == 3 {
            Labels::new()
        } else {
            labels(&[("zone", &zone.to_string())])
        },
        taints: tainted
            .then(|| Taint {
                key: "t".to_owned(),
                value: String::new(),
                effect: Effect::NoSchedule,
            })
            .into_iter()
            .collect(),
        allocatable: Requests {
            milli_cpu: cpu,
            ..Requests::default()
        },
        allowed_pods: pods,
        ..Node::default()
    })
}

fn pod() -> impl Strategy<Value = Pod> {
    let option = || proptest::option::of(0..3u8);
    (
        0..4i64,
        0..3u8,
        option(),
        option(),
        proptest::option::of(1..3i64),
        any::<bool>(),
        option(),
    )
        .prop_map(|(cpu, app, near, away, skew, port, selector)| Pod {
            namespace: "n".to_owned(),
            labels: labels(&[("app", &app.to_string())]),
            requests: PodRequests {
                actual: Requests {
                    milli_cpu: cpu,
                    ..Requests::default()
                },
                ..PodRequests::default()
            },
            affinity: PodAffinity {
                required: near.map(term).into_iter().collect(),
                preferred: Vec::new(),
            },
            anti_affinity: PodAffinity {
                required: away.map(term).into_iter().collect(),
                preferred: vec![(5, term(app))],
            },
            spread: skew
                .map(|max_skew| SpreadConstraint {
                    pods: of_app(app),
                    topology_key: "zone".to_owned(),
                    max_skew,
                    min_domains: 1,
                    required: true,
                    honor_affinity: true,
                    honor_taints: false,
                })
                .into_iter()
                .collect(),
            host_ports: port
                .then(|| HostPort {
                    ip: "0.0.0.0".to_owned(),
                    protocol: "TCP".to_owned(),
                    port: 80,
                })
                .into_iter()
                .collect(),
            nodes: crate::model::node_affinity::NodeSelection {
                selector: selector
                    .map(|zone| labels(&[("zone", &zone.to_string())]))
                    .unwrap_or_default(),
                ..Default::default()
            },
            ..Pod::default()
        })
}

/// Whether `pod` may be on `node`, worked out from the list of placed pods.
fn allowed(nodes: &[Node], placed: &[(usize, Pod)], node: usize, pod: &Pod) -> bool {
    let none = Labels::new();
    let zone = |node: usize| nodes[node].labels.get("zone");
    let is = |term: &AffinityTerm, pod: &Pod| term.pods.matches("n", &none, &pod.labels);
    let here = || placed.iter().filter(|(on, _)| *on == node);
    let near = |on: usize| zone(on).is_some() && zone(on) == zone(node);
    let cpu: i64 = here().map(|(_, other)| other.requests.actual.milli_cpu).sum();
    let wanted = pod.requests.actual.milli_cpu;
    if nodes[node].taints.iter().any(|taint| taint.effect.repels())
        || !pod
            .nodes
            .selector
            .iter()
            .all(|(key, value)| nodes[node].labels.get(key) == Some(value))
        || here().count() as i64 + 1 > nodes[node].allowed_pods
        || (wanted > 0 && cpu + wanted > nodes[node].allocatable.milli_cpu)
        || here().any(|(_, other)| !other.host_ports.is_empty() && !pod.host_ports.is_empty())
    {
        return false;
    }
    for term in &pod.affinity.required {
        let first = !placed
            .iter()
            .any(|(on, other)| is(term, other) && zone(*on).is_some())
            && is(term, pod);
        let friend = placed.iter().any(|(on, other)| near(*on) && is(term, other));
        if zone(node).is_none() || !(friend || first) {
            return false;
        }
    }
    if pod
        .anti_affinity
        .required
        .iter()
        .any(|term| placed.iter().any(|(on, other)| near(*on) && is(term, other)))
        || placed
            .iter()
            .any(|(on, other)| near(*on) && other.anti_affinity.required.iter().any(|term| is(term, pod)))
    {
        return false;
    }
    pod.spread.iter().all(|constraint| {
        let counted = |other: &Pod| constraint.pods.matches("n", &none, &other.labels);
        let eligible = |node: usize| {
            zone(node).is_some()
                && pod
                    .nodes
                    .selector
                    .iter()
                    .all(|(key, value)| nodes[node].labels.get(key) == Some(value))
        };
        let count = |of: Option<&String>| {
            placed
                .iter()
                .filter(|(on, other)| eligible(*on) && zone(*on) == of && counted(other))
                .count() as i64
        };
        let least = (0..nodes.len())
            .filter(|one| eligible(*one))
            .map(|one| count(zone(one)))
            .min()
            .unwrap_or(0);
        zone(node).is_some() && count(zone(node)) + i64::from(counted(pod)) - least <= constraint.max_skew
    })
}

proptest! {
    #[test]
    fn every_placement_is_allowed_and_every_rejection_is_justified(
        mut nodes in proptest::collection::vec(node(), 1..6),
        pods in proptest::collection::vec(pod(), 1..16),
        seed in any::<u64>(),
    ) {
        let profile = Profile::all(&KubeSchedulerConfiguration::default()).expect("default profiles").remove(0);
        let (mut cluster, mut search) = (Cluster::default(), Search::default());
        let mut random = SmallRng::seed_from_u64(seed);
        for (at, node) in nodes.iter_mut().enumerate() {
            node.name = format!("node-{at}");
            cluster.set_node(node.clone());
        }
        let mut placed: Vec<(usize, Pod)> = Vec::new();
        for (at, mut pod) in pods.into_iter().enumerate() {
            pod.uid = format!("pod-{at}").into();
            let pod = Arc::new(pod);
            match search.decide(&mut cluster, &profile, &pod, &mut random) {
                Decision::Node { node, .. } => {
                    let name = cluster.nodes.name(node).to_owned();
                    let at = nodes.iter().position(|one| one.name == name).expect("a known node");
                    prop_assert!(allowed(&nodes, &placed, at, &pod), "{pod:?} on {name}: {placed:?}");
                    cluster.place(pod.clone(), &name, true);
                    placed.push((at, (*pod).clone()));
                }
                Decision::None(diagnosis) => {
                    for at in 0..nodes.len() {
                        prop_assert!(!allowed(&nodes, &placed, at, &pod), "{pod:?} fits {at}: {}", diagnosis.message);
                    }
                }
            }
        }
    }
}
