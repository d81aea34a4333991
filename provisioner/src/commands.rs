//! The commands beside bootstrap.

pub mod plan;
pub mod reset;
pub mod status;
pub mod trust;
