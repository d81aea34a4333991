//! DaemonSets: one pod on every node that fits.

mod failures;
pub mod plan;
mod reconcile;
pub mod template;
#[cfg(test)]
mod tests;

pub use reconcile::start;
