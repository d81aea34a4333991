//! The status of PodDisruptionBudgets: how many pods may be evicted now.

pub mod plan;
mod reconcile;

pub use reconcile::start;
