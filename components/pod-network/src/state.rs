//! The last known nodes on disk.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::cni::write_if_changed;
use crate::node::NodeNetwork;

#[derive(Serialize, Deserialize)]
struct State {
    /// So that a later release knows what it reads.
    version: u32,
    nodes: Vec<NodeNetwork>,
}

/// The nodes of the last run; none if there was none.
pub fn load(path: &Path) -> anyhow::Result<Vec<NodeNetwork>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let state: State = serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))?;
    anyhow::ensure!(
        state.version == 1,
        "{}: version {} is not known",
        path.display(),
        state.version
    );
    Ok(state.nodes)
}

/// Keeps the nodes for the next start.
pub fn save(path: &Path, nodes: &[NodeNetwork]) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&State {
        version: 1,
        nodes: nodes.to_vec(),
    })?;
    write_if_changed(path, &text).with_context(|| format!("write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        assert_eq!(load(&path).unwrap(), []);
        let nodes = [NodeNetwork {
            name: "a".to_owned(),
            pod_cidrs: vec!["10.0.0.0/24".parse().unwrap()],
            addresses: vec!["10.1.0.1".parse().unwrap()],
        }];
        save(&path, &nodes).unwrap();
        assert_eq!(load(&path).unwrap(), nodes);
        std::fs::write(&path, "{\"version\": 1, \"nodes\": [{}]}").unwrap();
        assert!(load(&path).is_err());
    }
}
