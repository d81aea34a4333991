//! What the controllers that make pods have in common.

pub mod claim;
pub mod disruption;
pub mod expectations;
pub mod history;
pub mod index;
pub mod pod_control;
pub mod pods;
pub mod ranking;

pub use expectations::Expectations;
pub use pod_control::PodControl;
