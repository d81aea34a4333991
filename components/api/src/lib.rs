//! The kind registry: schemas, defaults, validation, strategies, table columns.
pub mod addresses;
pub mod autoscalers;
pub mod custom;
pub mod defaults;
pub mod discovery;
pub mod expressions;
pub mod features;
pub mod former;
pub mod managed;
pub mod openapi;
pub mod quota;
pub mod registry;
pub mod schema;
pub mod strategy;
pub mod table;
pub mod validate;
mod value;
pub mod warnings;

pub use defaults::TEMPLATE_GENERATION;
pub use features::{Feature, Features};
pub use registry::{Registry, Resource, Subresource, schema_name};
pub use value::{is_zero, same};
