//! Subresources that are more than a part of their object.

pub mod binding;
pub mod eviction;
pub mod scale;
pub mod token;
