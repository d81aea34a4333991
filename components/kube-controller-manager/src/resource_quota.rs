//! What a namespace uses of its quotas.

pub mod pods;
mod reconcile;
pub mod usage;

pub use reconcile::start;
