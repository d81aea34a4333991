//! EndpointSlices of services with a selector.

pub mod endpoints;
pub mod plan;
mod reconcile;
#[cfg(test)]
mod tests;
pub mod written;

pub use reconcile::start;
