//! Pure Kubernetes machinery: metadata, quantities, selectors, patches, server-side apply, Status.
pub mod apply;
pub mod cron;
pub mod decode;
pub mod field;
pub mod fieldset;
pub mod go;
pub mod go_url;
pub mod gvk;
pub mod json;
pub mod managed_fields;
pub mod meta;
pub mod names;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod time;
pub mod yaml;

pub use gvk::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use quantity::Quantity;
pub use schema::{Field, Schema, SchemaSet, Type};
pub use status::{ApiError, Reason};
