//! Taints and conditions of nodes.

pub use client::placement::tolerates;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::error::{Result, is_conflict, is_not_found};
use crate::owner::Meta as _;

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
pub const NO_EXECUTE: &str = "NoExecute";
pub const NO_SCHEDULE: &str = "NoSchedule";
/// How often a change of taints is tried again at once when somebody else writes the node too.
const CONFLICTS: usize = 5;

pub fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status
        .as_ref()?
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == kind)
}

/// The status of the Ready condition; none before the kubelet has written one.
pub fn ready_status(node: &Node) -> Option<&str> {
    condition(node, "Ready").map(|condition| condition.status.as_str())
}

pub fn taints(node: &Node) -> &[Taint] {
    node.spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default()
}

pub fn same_taint(a: &Taint, key: &str, effect: &str) -> bool {
    a.key == key && a.effect == effect
}

/// Changes a node's taints: `change` gets the present ones and gives the new ones, or none to leave them.
/// A node that has gone is no failure.
pub async fn change_taints(
    api: &Api<Node>,
    known: &Node,
    change: impl Fn(&[Taint]) -> Option<Vec<Taint>>,
) -> Result<()> {
    let mut node = known.clone();
    for attempt in 0.. {
        let Some(taints) = change(taints(&node)) else {
            return Ok(());
        };
        let body = json!({
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "spec": {"taints": taints},
        });
        match api
            .patch(node.name(), &PatchParams::default(), &Patch::Merge(&body))
            .await
        {
            Ok(_) => return Ok(()),
            Err(error) if is_not_found(&error) => return Ok(()),
            Err(error) if is_conflict(&error) && attempt < CONFLICTS => {
                match api.get_opt(known.name()).await? {
                    Some(fresh) => node = fresh,
                    None => return Ok(()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
