//! EndpointSlices of services with a selector.

pub mod endpoints;
pub mod plan;
mod reconcile;
#[cfg(test)]
mod tests;
pub mod written;

pub use reconcile::{MANAGED_BY, SERVICE_NAME, start};
