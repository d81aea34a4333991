//! Everything that touches Linux, behind traits with recording fakes.

pub mod cgroups;
pub mod command;
pub mod file_systems;
pub mod mounts;
pub mod network_namespace;
pub mod routing;
pub mod slices;
