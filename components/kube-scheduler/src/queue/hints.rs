//! Whether an event can make a pod fit that a plugin has rejected. In doubt it can: a wrong yes costs one
//! attempt, a wrong no leaves the pod waiting.

use super::event::ClusterEvent;
use crate::framework::Plugin;
use crate::model::selector::Labels;
use crate::model::taints::{Effect, Taint, tolerated};
use crate::model::{Node, Pod, PodMatcher, Requests};

/// `namespace_labels` gives the labels of a namespace.
pub fn helps<'n>(
    plugin: Plugin,
    waiting: &Pod,
    event: &ClusterEvent,
    namespace_labels: impl Fn(&str) -> Option<&'n Labels>,
) -> bool {
    use ClusterEvent as E;
    let is = |matcher: &PodMatcher, pod: &Pod| {
        let none = Labels::new();
        let labels = namespace_labels(&pod.namespace).unwrap_or(&none);
        matcher.matches(&pod.namespace, labels, &pod.labels)
    };
    match plugin {
        Plugin::NodeUnschedulable => match event {
            E::NodeAdded(node) => admits_cordoned(waiting, node),
            E::NodeChanged { old, new } => old.unschedulable && admits_cordoned(waiting, new),
            _ => false,
        },
        Plugin::NodeName => {
            matches!(event, E::NodeAdded(node) if waiting.node_name.as_deref() == Some(&node.name))
        }
        Plugin::TaintToleration => match event {
            E::NodeAdded(node) => tolerates(waiting, node),
            E::NodeChanged { old, new } => old.taints != new.taints && tolerates(waiting, new),
            _ => false,
        },
        Plugin::NodeAffinity => match event {
            E::NodeAdded(node) => selects(waiting, node),
            E::NodeChanged { old, new } => old.labels != new.labels && selects(waiting, new),
            _ => false,
        },
        Plugin::NodePorts => match event {
            E::NodeAdded(_) => true,
            E::PodGone(pod) => pod
                .host_ports
                .iter()
                .any(|port| waiting.host_ports.iter().any(|ours| ours.collides(port))),
            _ => false,
        },
        Plugin::NodeResourcesFit => match event {
            E::NodeAdded(node) => could_hold(node, waiting),
            E::NodeChanged { old, new } => {
                let more =
                    new.allowed_pods > old.allowed_pods || frees(&old.allocatable, &new.allocatable, waiting);
                more && could_hold(new, waiting)
            }
            E::PodGone(_) => true,
            E::PodChanged { old, new } => frees(&new.requests.actual, &old.requests.actual, waiting),
            _ => false,
        },
        Plugin::PodTopologySpread => {
            let counts = |pod: &Pod| waiting.spread.iter().any(|constraint| is(&constraint.pods, pod));
            let has_key = |node: &Node| {
                waiting
                    .spread
                    .iter()
                    .any(|one| node.labels.contains_key(&one.topology_key))
            };
            match event {
                E::NodeAdded(node) | E::NodeGone(node) => has_key(node),
                E::NodeChanged { old, new } => {
                    (old.labels != new.labels || old.taints != new.taints) && (has_key(old) || has_key(new))
                }
                E::PodPlaced(pod) | E::PodGone(pod) => counts(pod),
                E::PodChanged { old, new } => {
                    (old.labels != new.labels || old.deleting != new.deleting) && (counts(old) || counts(new))
                }
                _ => false,
            }
        }
        Plugin::InterPodAffinity => {
            let wanted = |pod: &Pod| waiting.affinity.required.iter().any(|term| is(&term.pods, pod));
            let avoided = |pod: &Pod| {
                waiting
                    .anti_affinity
                    .required
                    .iter()
                    .any(|term| is(&term.pods, pod))
            };
            let avoids_us = |pod: &Pod| {
                pod.anti_affinity
                    .required
                    .iter()
                    .any(|term| is(&term.pods, waiting))
            };
            match event {
                E::NodeAdded(_) | E::Namespace => true,
                E::NodeChanged { old, new } => old.labels != new.labels,
                E::PodPlaced(pod) => wanted(pod),
                E::PodGone(pod) => wanted(pod) || avoided(pod) || avoids_us(pod),
                E::PodChanged { old, new } => {
                    old.labels != new.labels && (wanted(new) || avoided(old) || avoids_us(old))
                }
                _ => false,
            }
        }
        Plugin::VolumeBinding | Plugin::VolumeZone => match event {
            E::Storage | E::NodeAdded(_) => true,
            E::NodeChanged { old, new } => old.labels != new.labels,
            _ => false,
        },
        Plugin::VolumeRestrictions | Plugin::NodeVolumeLimits => match event {
            E::Storage | E::NodeAdded(_) => true,
            E::PodGone(pod) => !pod.volumes.is_empty(),
            _ => false,
        },
        Plugin::NodeDeclaredFeatures => match event {
            E::NodeAdded(_) => true,
            E::NodeChanged { old, new } => old.declared != new.declared,
            _ => false,
        },
        // A victim is gone.
        Plugin::DefaultPreemption => matches!(event, E::PodGone(_)),
        _ => false,
    }
}

fn admits_cordoned(waiting: &Pod, node: &Node) -> bool {
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: Effect::NoSchedule,
    };
    !node.unschedulable || tolerated(&taint, &waiting.tolerations)
}

fn tolerates(waiting: &Pod, node: &Node) -> bool {
    node.taints
        .iter()
        .all(|taint| !taint.effect.repels() || tolerated(taint, &waiting.tolerations))
}

fn selects(waiting: &Pod, node: &Node) -> bool {
    waiting
        .nodes
        .admits(&node.name, |key| node.labels.get(key).map(String::as_str))
}

/// Whether the node could hold the pod if it were empty.
fn could_hold(node: &Node, waiting: &Pod) -> bool {
    let wanted = &waiting.requests.actual;
    let has = &node.allocatable;
    node.allowed_pods > 0
        && wanted.milli_cpu <= has.milli_cpu
        && wanted.memory <= has.memory
        && wanted.ephemeral_storage <= has.ephemeral_storage
        && wanted
            .scalars
            .iter()
            .all(|(name, amount)| *amount <= has.scalar(name))
}

/// Whether there is more of something that the pod asks for.
fn frees(before: &Requests, after: &Requests, waiting: &Pod) -> bool {
    let wanted = &waiting.requests.actual;
    (wanted.milli_cpu > 0 && after.milli_cpu > before.milli_cpu)
        || (wanted.memory > 0 && after.memory > before.memory)
        || (wanted.ephemeral_storage > 0 && after.ephemeral_storage > before.ephemeral_storage)
        || wanted
            .scalars
            .iter()
            .any(|(name, amount)| *amount > 0 && after.scalar(name) > before.scalar(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_help_the_plugins_that_they_concern() {
        let waiting = Pod {
            requests: crate::model::requests::PodRequests {
                actual: Requests {
                    milli_cpu: 500,
                    ..Requests::default()
                },
                ..Default::default()
            },
            ..Pod::default()
        };
        let node = |milli_cpu: i64| Node {
            allocatable: Requests {
                milli_cpu,
                ..Requests::default()
            },
            allowed_pods: 10,
            ..Node::default()
        };
        let (small, large) = (node(100), node(1000));
        let gone = Pod::default();
        let declared = Some(vec!["RestartAllContainersOnContainerExits".to_owned()]);
        let declaring = Node {
            declared: crate::model::declared_features::DeclaredFeatures::of_node(Some(
                &k8s_openapi::api::core::v1::NodeStatus {
                    declared_features: declared,
                    ..Default::default()
                },
            )),
            ..node(100)
        };
        let fit = Plugin::NodeResourcesFit;
        for (plugin, event, expected) in [
            (fit, ClusterEvent::NodeAdded(&small), false),
            (fit, ClusterEvent::NodeAdded(&large), true),
            (
                fit,
                ClusterEvent::NodeChanged {
                    old: &small,
                    new: &large,
                },
                true,
            ),
            (
                fit,
                ClusterEvent::NodeChanged {
                    old: &large,
                    new: &large,
                },
                false,
            ),
            (fit, ClusterEvent::PodGone(&gone), true),
            (fit, ClusterEvent::PodPlaced(&gone), false),
            (Plugin::NodePorts, ClusterEvent::PodGone(&gone), false),
            (Plugin::TaintToleration, ClusterEvent::NodeAdded(&small), true),
            (Plugin::VolumeBinding, ClusterEvent::Storage, true),
            (Plugin::TaintToleration, ClusterEvent::Storage, false),
            (
                Plugin::NodeDeclaredFeatures,
                ClusterEvent::NodeAdded(&small),
                true,
            ),
            (
                Plugin::NodeDeclaredFeatures,
                ClusterEvent::NodeChanged {
                    old: &small,
                    new: &large,
                },
                false,
            ),
            (
                Plugin::NodeDeclaredFeatures,
                ClusterEvent::NodeChanged {
                    old: &small,
                    new: &declaring,
                },
                true,
            ),
            (Plugin::NodeDeclaredFeatures, ClusterEvent::PodGone(&gone), false),
        ] {
            assert_eq!(
                helps(plugin, &waiting, &event, |_| None),
                expected,
                "{}",
                plugin.name()
            );
        }
    }
}
