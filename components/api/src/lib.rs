//! The kind registry: schemas, defaults, validation, strategies, table columns.
pub mod registry;
pub mod schema;

pub use registry::{Registry, Resource, Subresource};
