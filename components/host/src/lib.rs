//! Everything that touches Linux, behind traits with recording fakes.

pub mod network_namespace;
pub mod command;
pub mod routing;
