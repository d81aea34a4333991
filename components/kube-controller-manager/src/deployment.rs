//! Deployments: rollouts of ReplicaSets.

pub mod conditions;
mod controller;
pub mod plan;
mod reconcile;
pub mod revision;
mod rollback;
mod rollout;
pub mod status;
pub mod template;
#[cfg(test)]
mod tests;

pub use controller::start;
