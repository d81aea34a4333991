//! Nodes that are not heard of: conditions, taints, and what that means for their pods.

mod health;
mod monitor;
pub mod plan;
mod pods;
mod taints;
#[cfg(test)]
mod tests;

pub use monitor::start;
