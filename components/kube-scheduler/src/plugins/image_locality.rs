//! ImageLocality: nodes that have the pod's images score higher, less so for images that few nodes have.

use crate::cluster::{Cluster, NodeSlot};
use crate::model::Pod;

const MEBIBYTE: i64 = 1024 * 1024;
/// Below this much, having the images does not matter.
const LEAST: i64 = 23 * MEBIBYTE;
/// Above this much per container, more does not matter.
const MOST_PER_CONTAINER: i64 = 1000 * MEBIBYTE;

/// Scores in 0..=100; None when no node has any of the images.
pub fn scores(pod: &Pod, cluster: &Cluster, nodes: &[NodeSlot]) -> Option<Vec<i64>> {
    let total = cluster.nodes.order().len();
    let images: Vec<_> = pod
        .images
        .iter()
        .filter_map(|name| cluster.images.get(name))
        .collect();
    if images.is_empty() || total == 0 {
        return None;
    }
    let most = MOST_PER_CONTAINER * pod.container_count.max(1) as i64;
    let score = |node: NodeSlot| {
        let sum: i64 = images
            .iter()
            .filter(|image| image.is_on(node))
            .map(|image| (image.size as f64 * (image.node_count() as f64 / total as f64)) as i64)
            .sum();
        100 * (sum.clamp(LEAST, most) - LEAST) / (most - LEAST)
    };
    Some(nodes.iter().map(|node| score(*node)).collect())
}
