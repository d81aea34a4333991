//! Endpoints objects of services with a selector, for those who do not read slices yet.

pub mod plan;
mod reconcile;

pub use reconcile::{MANAGED_BY, MANAGER, start};
