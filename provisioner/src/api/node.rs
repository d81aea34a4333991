//! What is read from Nodes and written to them.

use serde_json::{Value, json};

use super::Api;

impl Api {
    pub fn nodes(&self) -> anyhow::Result<Vec<Value>> {
        let list = self.get("/api/v1/nodes")?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }
}

/// True when a node's kubelet reports Ready.
pub fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    })
}

/// The merge patch that brings a node's labels to what the inventory says; None when they are.
pub fn label_patch(node: &Value, wanted: &[(String, String)]) -> Option<Value> {
    let mut labels = serde_json::Map::new();
    for (key, value) in wanted {
        if node["metadata"]["labels"][key] != json!(value) {
            labels.insert(key.clone(), json!(value));
        }
    }
    (!labels.is_empty()).then(|| json!({ "metadata": { "labels": labels } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_patched_only_where_they_differ() {
        let node = json!({ "metadata": { "labels": { "a": "1" } } });
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(label_patch(&node, &[pair("a", "1")]), None);
        let patch = label_patch(&node, &[pair("a", "1"), pair("b/c", "")]).unwrap();
        assert_eq!(patch, json!({ "metadata": { "labels": { "b/c": "" } } }));
    }
}
