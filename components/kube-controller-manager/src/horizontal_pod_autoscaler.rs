//! Scales workloads to what their metrics ask for.
//!
//! - [`groups`]: which pods count, and how; [`replicas`]: from measurements to a number, both pure
//! - [`behavior`]: how fast the number may change, pure; [`history`]: what that depends on
//! - [`metrics`]: the three metrics APIs; [`target`]: the scale subresource
//! - [`measure`]: one metric of an autoscaler; [`reconcile`]: one autoscaler

mod behavior;
mod groups;
mod history;
mod measure;
mod metrics;
mod reconcile;
mod replicas;
mod status;
mod target;
#[cfg(test)]
mod tests;

pub use reconcile::start;
