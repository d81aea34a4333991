//! Features of kubelets that nodes declare and that pods can need (KEP-5328).

use k8s_openapi::api::core::v1;

/// A set of those that pods can need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeclaredFeatures(u8);

const RESTART_ALL_CONTAINERS: u8 = 1;
const HOST_NETWORK_WITH_OWN_USERS: u8 = 2;

/// By upstream's names; nodes declare more than these.
const NAMES: [(u8, &str); 2] = [
    (RESTART_ALL_CONTAINERS, "RestartAllContainersOnContainerExits"),
    (HOST_NETWORK_WITH_OWN_USERS, "UserNamespacesHostNetworkSupport"),
];

impl DeclaredFeatures {
    /// What a node declares.
    pub fn of_node(status: Option<&v1::NodeStatus>) -> Self {
        let declared = status.and_then(|status| status.declared_features.as_ref());
        let declared = declared.into_iter().flatten();
        let known = declared.filter_map(|name| NAMES.iter().find(|(_, known)| known == name));
        Self(known.fold(0, |all, (feature, _)| all | feature))
    }

    /// What a pod needs of its node.
    pub fn of_pod(spec: &v1::PodSpec) -> Self {
        let containers = spec
            .containers
            .iter()
            .chain(spec.init_containers.iter().flatten());
        let mut rules = containers.flat_map(|container| container.restart_policy_rules.iter().flatten());
        let restarts_all = rules.any(|rule| rule.action == "RestartAllContainers");
        let own_users = spec.host_network == Some(true) && spec.host_users == Some(false);
        Self(
            (if restarts_all { RESTART_ALL_CONTAINERS } else { 0 })
                | (if own_users { HOST_NETWORK_WITH_OWN_USERS } else { 0 }),
        )
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are not among the other ones.
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether it has containers that restart all others.
    pub fn restarts_all_containers(self) -> bool {
        self.0 & RESTART_ALL_CONTAINERS != 0
    }

    /// Whether it is of a pod of the host's network with users of its own.
    pub fn has_own_users(self) -> bool {
        self.0 & HOST_NETWORK_WITH_OWN_USERS != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn pods_need_what_they_use() {
        let rule = |action: &str| json!([{"name": "c", "restartPolicyRules": [{"action": action}]}]);
        for (spec, expected) in [
            (json!({"containers": []}), 0),
            (json!({"containers": rule("Restart")}), 0),
            (json!({"containers": rule("RestartAllContainers")}), 1),
            (
                json!({"containers": [], "initContainers": rule("RestartAllContainers")}),
                1,
            ),
            (
                json!({"containers": [], "hostNetwork": true, "hostUsers": false}),
                2,
            ),
            (
                json!({"containers": [], "hostNetwork": true, "hostUsers": true}),
                0,
            ),
            (json!({"containers": [], "hostUsers": false}), 0),
            (
                json!({"containers": rule("RestartAllContainers"), "hostNetwork": true, "hostUsers": false}),
                3,
            ),
        ] {
            let pod: v1::PodSpec = from_value(spec.clone()).unwrap();
            assert_eq!(
                DeclaredFeatures::of_pod(&pod),
                DeclaredFeatures(expected),
                "{spec}"
            );
        }
    }

    #[test]
    fn nodes_declare_by_name() {
        for (declared, expected) in [
            (json!(null), 0),
            (json!(["GuaranteedQoSPodCPUResize"]), 0),
            (json!(["A", "RestartAllContainersOnContainerExits"]), 1),
            (
                json!([
                    "RestartAllContainersOnContainerExits",
                    "UserNamespacesHostNetworkSupport"
                ]),
                3,
            ),
        ] {
            let status: v1::NodeStatus = from_value(json!({"declaredFeatures": declared})).unwrap();
            assert_eq!(
                DeclaredFeatures::of_node(Some(&status)),
                DeclaredFeatures(expected),
                "{declared}"
            );
        }
        assert!(DeclaredFeatures::of_node(None).is_empty());
    }
}
