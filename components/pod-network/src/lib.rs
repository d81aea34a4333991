//! Keeps pods of different nodes connected: a route to every other node's pod range through that node's
//! address, this node's CNI configuration, and masquerading of what leaves the cluster.

pub mod cni;
pub mod masquerade;
pub mod node;
pub mod plan;
pub mod reconcile;
pub mod run;
pub mod state;
pub mod sysctl;
