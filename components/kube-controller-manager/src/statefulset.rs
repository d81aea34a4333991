//! StatefulSets: pods with names and volumes of their own, in order.

pub mod plan;
pub mod pod;
mod reconcile;
mod retention;
#[cfg(test)]
mod tests;

pub use reconcile::start;
