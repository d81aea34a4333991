//! Evicts pods from nodes with NoExecute taints that they do not tolerate, or not for ever.

pub mod plan;
mod reconcile;

pub use reconcile::start;
