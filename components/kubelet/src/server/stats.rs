//! `/stats/summary` and the metrics.

mod collect;
mod metrics;
mod summary;

pub use collect::CpuRates;
pub(super) use metrics::{cadvisor, own_metrics, probes, resource};
pub(super) use summary::summary;
