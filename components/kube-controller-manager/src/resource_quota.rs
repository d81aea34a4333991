//! What a namespace uses of its quotas.

mod reconcile;
pub mod usage;

pub use reconcile::start;
