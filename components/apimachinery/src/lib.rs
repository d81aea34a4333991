//! Pure Kubernetes machinery: metadata, quantities, selectors, patches, server-side apply, Status.
pub mod field;
pub mod gvk;
pub mod meta;
pub mod schema;
pub mod status;

pub use gvk::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use schema::{Field, Schema, SchemaSet, Type};
pub use status::{ApiError, Reason};
