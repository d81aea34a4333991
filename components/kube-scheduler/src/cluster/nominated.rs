//! Pods that wait for room on a node that was made for them by preemption.

use std::sync::Arc;

use ahash::AHashMap;

use super::pods::Uid;
use crate::model::Pod;

#[derive(Default)]
pub struct Nominated {
    by_node: AHashMap<String, Vec<Arc<Pod>>>,
    node_of: AHashMap<Uid, String>,
}

impl Nominated {
    /// Nominates the node for the pod, or no node any more.
    pub fn set(&mut self, pod: &Arc<Pod>, node: Option<&str>) {
        self.remove(&pod.uid);
        if let Some(node) = node {
            self.by_node.entry(node.to_owned()).or_default().push(pod.clone());
            self.node_of.insert(pod.uid.clone(), node.to_owned());
        }
    }

    pub fn remove(&mut self, uid: &str) {
        let Some(node) = self.node_of.remove(uid) else {
            return;
        };
        if let Some(pods) = self.by_node.get_mut(&node) {
            pods.retain(|pod| &*pod.uid != uid);
            if pods.is_empty() {
                self.by_node.remove(&node);
            }
        }
    }

    pub fn node_of(&self, uid: &str) -> Option<&str> {
        self.node_of.get(uid).map(String::as_str)
    }

    pub fn on(&self, node: &str) -> &[Arc<Pod>] {
        self.by_node.get(node).map_or(&[], Vec::as_slice)
    }

    pub fn is_empty(&self) -> bool {
        self.by_node.is_empty()
    }
}
