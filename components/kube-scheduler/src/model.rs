//! Pods and nodes in the form that decisions need.

pub mod affinity;
pub mod declared_features;
pub mod node;
pub mod node_affinity;
pub mod pod;
pub mod ports;
pub mod quantity;
pub mod requests;
pub mod selector;
pub mod taints;
pub mod volumes;

pub use affinity::{AffinityTerm, PodMatcher, SpreadConstraint};
pub use node::Node;
pub use pod::Pod;
pub use requests::Requests;
pub use selector::Selector;
