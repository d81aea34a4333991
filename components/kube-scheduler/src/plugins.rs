//! The rules of the plugins that need more than a line.

pub mod image_locality;
pub mod inter_pod_affinity;
pub mod node_declared_features;
pub mod node_resources_fit;
pub mod pod_topology_spread;
pub mod resource_scores;
pub mod volumes;
