//! Jobs: pods until enough of them have succeeded.

pub mod indexes;
pub mod outcome;
mod pod;
pub mod policy;
mod reconcile;
#[cfg(test)]
mod tests;
mod track;

pub use reconcile::start;
