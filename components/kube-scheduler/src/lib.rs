//! kube-scheduler: assigns pods to nodes.
//!
//! Pure: [`model`] (pods and nodes as decisions see them), [`cluster`] (state in flat arrays, updated by
//! deltas), [`framework`] and [`plugins`] (which node), [`preemption`] (whom to delete), `queue` (whose turn).
//! Thin: `scheduler` (informers in, bindings out), `run` (starts it all).

pub mod cluster;
pub mod framework;
pub mod model;
pub mod plugins;
pub mod preemption;
