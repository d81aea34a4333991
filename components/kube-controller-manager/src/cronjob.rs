//! CronJobs: jobs at times of the clock.

mod reconcile;
pub mod schedule;

pub use reconcile::start;
