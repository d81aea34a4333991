//! Subresources that are more than a part of their object.

pub mod binding;
pub mod component_status;
pub mod eviction;
pub mod scale;
pub mod token;
