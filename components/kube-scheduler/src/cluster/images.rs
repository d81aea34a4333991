//! Which nodes have which images.

use ahash::AHashMap;

use super::nodes::NodeSlot;

#[derive(Default)]
pub struct Images {
    by_name: AHashMap<String, Image>,
    of_node: AHashMap<NodeSlot, Vec<String>>,
}

#[derive(Default)]
pub struct Image {
    /// As the node that reported it last says, in bytes.
    pub size: i64,
    nodes: Vec<NodeSlot>,
}

impl Image {
    pub fn is_on(&self, node: NodeSlot) -> bool {
        self.nodes.binary_search(&node).is_ok()
    }

    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }
}

impl Images {
    pub fn get(&self, name: &str) -> Option<&Image> {
        self.by_name.get(name)
    }

    pub(super) fn set(&mut self, node: NodeSlot, images: &[(String, i64)]) {
        for name in self.of_node.remove(&node).unwrap_or_default() {
            if let Some(image) = self.by_name.get_mut(&name) {
                if let Ok(at) = image.nodes.binary_search(&node) {
                    image.nodes.remove(at);
                }
                if image.nodes.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
        if images.is_empty() {
            return;
        }
        for (name, size) in images {
            let image = self.by_name.entry(name.clone()).or_default();
            image.size = *size;
            if let Err(at) = image.nodes.binary_search(&node) {
                image.nodes.insert(at, node);
            }
        }
        self.of_node
            .insert(node, images.iter().map(|(name, _)| name.clone()).collect());
    }
}
