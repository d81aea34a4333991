//! The counts that are kept as things change equal what counting afresh gives.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::pod::PodAffinity;
use crate::model::requests::PodRequests;
use crate::model::{AffinityTerm, Node, Pod, PodMatcher, Requests, Selector};

const APPS: [&str; 3] = ["a", "b", "c"];
const ZONES: [&str; 3] = ["x", "y", ""];
const NAMESPACES: [&str; 2] = ["n", "m"];
const KEYS: [&str; 2] = ["zone", "host"];

#[derive(Clone, Debug)]
enum Change {
    Node {
        node: usize,
        zone: usize,
    },
    NodeGone {
        node: usize,
    },
    Pod {
        pod: usize,
        node: usize,
        app: usize,
        namespace: usize,
        term: Option<(usize, usize)>,
        leaving: bool,
    },
    PodGone {
        pod: usize,
    },
    Namespace {
        namespace: usize,
        team: bool,
    },
    Count {
        app: usize,
        key: usize,
        team: bool,
    },
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..4usize, 0..3usize).prop_map(|(node, zone)| Change::Node { node, zone }),
        (0..4usize).prop_map(|node| Change::NodeGone { node }),
        (
            0..8usize,
            0..4usize,
            0..3usize,
            0..2usize,
            proptest::option::of((0..3usize, 0..2usize)),
            any::<bool>()
        )
            .prop_map(|(pod, node, app, namespace, term, leaving)| Change::Pod {
                pod,
                node,
                app,
                namespace,
                term,
                leaving
            }),
        (0..8usize).prop_map(|pod| Change::PodGone { pod }),
        (0..2usize, any::<bool>()).prop_map(|(namespace, team)| Change::Namespace { namespace, team }),
        (0..3usize, 0..2usize, any::<bool>()).prop_map(|(app, key, team)| Change::Count { app, key, team }),
    ]
}

fn labels(key: &str, value: &str) -> Labels {
    [(key.to_owned(), value.to_owned())].into()
}

/// Pods of the app in namespace `n`, or in every namespace of the team.
fn matcher(app: usize, team: bool) -> PodMatcher {
    PodMatcher {
        namespaces: if team {
            Default::default()
        } else {
            ["n".to_owned()].into()
        },
        namespace_selector: team.then(|| Selector::of_map(&labels("team", "t"))),
        labels: Selector::of_map(&labels("app", APPS[app])),
    }
}

fn apply(cluster: &mut Cluster, change: &Change) {
    match change {
        Change::Node { node, zone } => {
            let mut node = Node {
                name: format!("node-{node}"),
                ..Node::default()
            };
            node.labels = labels("host", &node.name);
            if !ZONES[*zone].is_empty() {
                node.labels.insert("zone".to_owned(), ZONES[*zone].to_owned());
            }
            cluster.set_node(node);
        }
        Change::NodeGone { node } => cluster.remove_node(&format!("node-{node}")),
        Change::Pod {
            pod,
            node,
            app,
            namespace,
            term,
            leaving,
        } => {
            let required = term.iter().map(|(app, key)| AffinityTerm {
                pods: matcher(*app, true),
                topology_key: KEYS[*key].to_owned(),
            });
            let pod = Pod {
                uid: format!("pod-{pod}").into(),
                namespace: NAMESPACES[*namespace].to_owned(),
                labels: labels("app", APPS[*app]),
                deleting: *leaving,
                anti_affinity: PodAffinity {
                    required: required.collect(),
                    preferred: Vec::new(),
                },
                requests: PodRequests {
                    actual: Requests {
                        milli_cpu: *pod as i64 + 1,
                        ..Requests::default()
                    },
                    ..PodRequests::default()
                },
                ..Pod::default()
            };
            cluster.place(Arc::new(pod), &format!("node-{node}"), false);
        }
        Change::PodGone { pod } => {
            cluster.remove(&format!("pod-{pod}"));
        }
        Change::Namespace { namespace, team } => {
            let labels = if *team { labels("team", "t") } else { Labels::new() };
            cluster.set_namespace(NAMESPACES[*namespace], Some(labels));
        }
        Change::Count { app, key, team } => {
            let id = cluster.matcher(&[matcher(*app, *team)]);
            let key = cluster.key(KEYS[*key]);
            cluster.tabulate(id, key);
        }
    }
}

/// Every table against a fresh count.
fn check(cluster: &Cluster) {
    let none = Labels::new();
    let namespace = |name: &str| cluster.namespaces.get(name).unwrap_or(&none);
    for slot in 0..cluster.nodes.infos.len() {
        let pods: Vec<_> = cluster
            .pods
            .values()
            .filter(|placed| placed.node as usize == slot)
            .collect();
        let cpu: i64 = pods
            .iter()
            .map(|placed| placed.pod.requests.actual.milli_cpu)
            .sum();
        assert_eq!(cluster.nodes.requested.milli_cpu[slot], cpu);
        assert_eq!(cluster.nodes.pods[slot].len(), pods.len());
    }
    for (_, matcher) in cluster.matchers.iter() {
        let counted = |placed: &&PlacedPod| {
            let pod = &placed.pod;
            matcher
                .spec
                .iter()
                .all(|one| one.matches(&pod.namespace, namespace(&pod.namespace), &pod.labels))
        };
        for key in 0..cluster.topology.len() {
            let row = cluster.topology.row(key);
            for (domain, count) in matcher.table(key).iter().enumerate() {
                let here = || {
                    cluster
                        .pods
                        .values()
                        .filter(counted)
                        .filter(|one| row.domain(one.node) == domain as u32)
                };
                assert_eq!(count.all as usize, here().count());
                assert_eq!(
                    count.leaving as usize,
                    here().filter(|one| one.pod.deleting).count()
                );
            }
        }
    }
    for (id, row) in cluster.terms.iter() {
        let topology = cluster.topology.row(row.key);
        for (domain, sum) in row.sums.iter().enumerate() {
            let holders = cluster.pods.values().filter(|placed| {
                Cluster::has_term(placed, id) && topology.domain(placed.node) == domain as u32
            });
            assert_eq!(*sum, holders.count() as i64);
        }
    }
    for placed in cluster.pods.values() {
        let pod = &placed.pod;
        for (id, row) in cluster.terms.iter() {
            let about = row
                .pods
                .matches(&pod.namespace, namespace(&pod.namespace), &pod.labels);
            assert_eq!(cluster.terms_about(placed.class).any(|(one, _)| one == id), about);
        }
    }
}

proptest! {
    #[test]
    fn kept_counts_equal_a_recount(changes in proptest::collection::vec(change(), 1..60)) {
        let mut cluster = Cluster::default();
        for change in &changes {
            apply(&mut cluster, change);
            check(&cluster);
        }
    }
}
