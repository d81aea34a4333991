//! Changes of pods that run on a node already.
use super::Attributes;
use crate::server::Server;
use apimachinery::ApiError;
use apimachinery::field::quote;
use serde_json::Value;
use std::sync::Arc;

/// A pod whose spec changes while it is on a node.
pub struct BoundChange<'a> {
    pub old: &'a Value,
    pub new: &'a Value,
    pub node: &'a str,
}

impl<'a> BoundChange<'a> {
    /// `None` where there is no node yet, or nothing changes.
    pub fn of(new: Option<&'a Value>, old: Option<&'a Value>) -> Option<Self> {
        let (new, old) = (new?, old?);
        let node = new["spec"]["nodeName"].as_str().filter(|node| !node.is_empty())?;
        // A generation counts the changes of the spec.
        let changes = old["metadata"]["generation"] != new["metadata"]["generation"];
        changes.then_some(Self { old, new, node })
    }

    /// The node as the cache has it.
    pub fn node(&self, server: &Server, attributes: &Attributes<'_>) -> Result<Arc<Value>, ApiError> {
        let found = server.stores.cached("", "nodes", "", self.node);
        found.ok_or_else(|| attributes.forbidden(&format!("node {} not found", quote(self.node))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_changed_specs_on_a_node_are_looked_at() {
        let pod = |node: &str, generation: u64| json!({"metadata": {"generation": generation}, "spec": {"nodeName": node}});
        for (new, old, want) in [
            (Some(pod("n", 2)), Some(pod("n", 1)), Some("n")),
            (Some(pod("n", 1)), Some(pod("n", 1)), None),
            (Some(pod("", 2)), Some(pod("", 1)), None),
            (Some(pod("n", 1)), None, None),
            (None, Some(pod("n", 1)), None),
        ] {
            let found = BoundChange::of(new.as_ref(), old.as_ref());
            assert_eq!(found.map(|change| change.node), want, "{new:?} after {old:?}");
        }
    }
}
