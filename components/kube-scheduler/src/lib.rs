//! kube-scheduler: assigns pods to nodes.
//!
//! Pure: [`model`] (pods and nodes as decisions see them), [`cluster`] (state in flat arrays, updated by
//! deltas), [`framework`] and [`plugins`] (which node), [`preemption`] (whom to delete), [`queue`] (whose turn),
//! [`scheduler::core`] (all of it together).
//! Thin: [`scheduler`] (watches in, bindings out), [`run`] (starts it all).

pub mod cluster;
pub mod framework;
pub mod metrics;
pub mod model;
pub mod plugins;
pub mod preemption;
pub mod queue;
pub mod run;
pub mod scheduler;
