//! The Node authorizer: a kubelet may read only what its own pods need, and write only its own objects.

pub mod actions;
pub mod graph;

use super::Decision;
use super::attributes::Attributes;
use super::rbac::rules::PolicyRule;
use actions::Actions;
use graph::{Graph, Kind};
use parking_lot::RwLock;

/// Decides for users in group `system:nodes`; has no opinion on others.
#[derive(Default)]
pub struct NodeAuthorizer {
    pub graph: RwLock<Graph>,
    pub actions: Actions,
    /// What any node may do without regard to which one it is.
    pub rules: Vec<PolicyRule>,
}

impl NodeAuthorizer {
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        if !attributes.user.in_group(crate::identity::NODES_GROUP)
            || !attributes.user.name.starts_with(crate::identity::NODE_PREFIX)
        {
            return Decision::NoOpinion(String::new());
        }
        let Some(node) = attributes.user.node_name() else {
            return Decision::NoOpinion("unknown node for user".to_owned());
        };
        if attributes.is_resource {
            let key = (&*attributes.group, &*attributes.resource);
            match key {
                ("", "secrets") => return self.read_by_name(node, Kind::Secret, attributes),
                ("", "configmaps") => return self.read_by_name(node, Kind::ConfigMap, attributes),
                ("", "persistentvolumeclaims") if attributes.subresource == "status" => {
                    return self.claim_status(node, attributes);
                }
                ("", "persistentvolumeclaims") => return self.get_by_name(node, Kind::Claim, attributes),
                ("", "persistentvolumes") => return self.get_by_name(node, Kind::Volume, attributes),
                ("resource.k8s.io", "resourceclaims") => {
                    return self.get_by_name(node, Kind::ResourceClaim, attributes);
                }
                ("storage.k8s.io", "volumeattachments") => {
                    return self.get_by_name(node, Kind::Attachment, attributes);
                }
                ("", "serviceaccounts") => return self.service_account_token(node, attributes),
                ("coordination.k8s.io", "leases") => return own_lease(node, attributes),
                ("storage.k8s.io", "csinodes") => return own_csi_node(node, attributes),
                ("resource.k8s.io", "resourceslices") => return self.slices(node, attributes),
                ("", "nodes") if let Some(decision) = other_node(node, attributes) => return decision,
                ("", "pods") if let Some(decision) = self.pod(node, attributes) => return decision,
                _ => {}
            }
        }
        if self.rules.iter().any(|rule| rule.allows(attributes)) {
            return Decision::Allow(String::new());
        }
        Decision::NoOpinion(String::new())
    }

    fn read_by_name(&self, node: &str, kind: Kind, attributes: &Attributes<'_>) -> Decision {
        if !attributes.is_read_only() {
            return plain("can only read resources of this type");
        }
        if !attributes.subresource.is_empty() {
            return plain("cannot read subresource");
        }
        if attributes.namespace.is_empty() {
            return plain("can only read namespaced object of this type");
        }
        self.related(node, kind, attributes)
    }

    fn get_by_name(&self, node: &str, kind: Kind, attributes: &Attributes<'_>) -> Decision {
        if attributes.verb != "get" {
            return plain("can only get individual resources of this type");
        }
        if !attributes.subresource.is_empty() {
            return plain("cannot get subresource");
        }
        self.related(node, kind, attributes)
    }

    fn claim_status(&self, node: &str, attributes: &Attributes<'_>) -> Decision {
        // Upstream names get as well, and doesn't allow it.
        if !matches!(&*attributes.verb, "update" | "patch") {
            return plain("can only get/update/patch this type");
        }
        self.related(node, Kind::Claim, attributes)
    }

    fn service_account_token(&self, node: &str, attributes: &Attributes<'_>) -> Decision {
        if attributes.verb == "get" && attributes.subresource.is_empty() {
            return self.related(node, Kind::ServiceAccount, attributes);
        }
        if attributes.verb != "create" || attributes.subresource != "token" {
            return plain("can only create tokens for individual service accounts");
        }
        if attributes.name.is_empty() {
            return plain("can only create tokens for individual service accounts");
        }
        self.related(node, Kind::ServiceAccount, attributes)
    }

    fn related(&self, node: &str, kind: Kind, attributes: &Attributes<'_>) -> Decision {
        if attributes.name.is_empty() {
            return Decision::NoOpinion("No Object name found".to_owned());
        }
        if self
            .graph
            .read()
            .reaches(node, kind, &attributes.namespace, &attributes.name)
        {
            return Decision::Allow(String::new());
        }
        let reason = format!("no relationship found between node '{node}' and this object");
        Decision::NoOpinion(reason)
    }

    fn slices(&self, node: &str, attributes: &Attributes<'_>) -> Decision {
        if !attributes.subresource.is_empty() {
            return plain("cannot authorize ResourceSlice subresources");
        }
        match &*attributes.verb {
            // The body is checked by NodeRestriction.
            "create" => Decision::Allow(String::new()),
            "get" | "update" | "patch" | "delete" => self.related(node, Kind::Slice, attributes),
            "list" | "watch" | "deletecollection" => {
                let own = attributes
                    .fields
                    .iter()
                    .any(|term| term.is("spec.nodeName", node));
                if own {
                    return Decision::Allow(String::new());
                }
                plain("can only list/watch/deletecollection resourceslices with spec.nodeName field selector")
            }
            _ => plain(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    /// `None` leaves the decision to the static rules.
    fn pod(&self, node: &str, attributes: &Attributes<'_>) -> Option<Decision> {
        match &*attributes.verb {
            "get" if attributes.subresource.is_empty() => Some(self.related(node, Kind::Pod, attributes)),
            "list" | "watch" if attributes.subresource.is_empty() => {
                let own = attributes
                    .fields
                    .iter()
                    .any(|term| term.is("spec.nodeName", node));
                if own {
                    return Some(Decision::Allow(String::new()));
                }
                if attributes.name.is_empty() {
                    return Some(plain(
                        "can only list/watch pods with spec.nodeName field selector",
                    ));
                }
                Some(self.related(node, Kind::Pod, attributes))
            }
            _ => None,
        }
    }
}

fn no(node: &str, reason: &str) -> Decision {
    Decision::NoOpinion(format!("node '{node}' {reason}"))
}

fn plain(reason: &str) -> Decision {
    Decision::NoOpinion(reason.to_owned())
}

fn own_lease(node: &str, attributes: &Attributes<'_>) -> Decision {
    if !matches!(
        &*attributes.verb,
        "get" | "create" | "update" | "patch" | "delete"
    ) {
        return plain("can only get, create, update, patch, or delete a node lease");
    }
    if attributes.namespace != "kube-node-lease" {
        return plain("can only access leases in the \"kube-node-lease\" system namespace");
    }
    // On creation the name is in the body; NodeRestriction looks at it there.
    if attributes.verb != "create" && attributes.name != node {
        return plain("can only access node lease with the same name as the requesting node");
    }
    Decision::Allow(String::new())
}

fn own_csi_node(node: &str, attributes: &Attributes<'_>) -> Decision {
    if !matches!(
        &*attributes.verb,
        "get" | "create" | "update" | "patch" | "delete"
    ) {
        return plain("can only get, create, update, patch, or delete a CSINode");
    }
    if !attributes.subresource.is_empty() {
        return Decision::NoOpinion("cannot authorize CSINode subresources".to_owned());
    }
    if attributes.verb != "create" && attributes.name != node {
        return plain("can only access CSINode with the same name as the requesting node");
    }
    Decision::Allow(String::new())
}

/// `None` for the node's own object and for creation; the static rules decide those.
fn other_node(node: &str, attributes: &Attributes<'_>) -> Option<Decision> {
    match (&*attributes.verb, &*attributes.subresource) {
        ("create", "") => None,
        ("get" | "list" | "watch", "") => {
            if attributes.name.is_empty() {
                return Some(no(node, "cannot read all nodes, only its own Node object"));
            }
            (attributes.name != node).then(|| {
                no(
                    node,
                    &format!("cannot read '{}', only its own Node object", attributes.name),
                )
            })
        }
        _ => {
            (!attributes.name.is_empty() && attributes.name != node && attributes.is_read_only()).then(|| {
                no(
                    node,
                    &format!("cannot read '{}', only its own Node object", attributes.name),
                )
            })
        }
    }
}

#[cfg(test)]
mod tests;
