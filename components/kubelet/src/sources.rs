//! Where pods come from: the API server and manifest files.

mod api;
mod files;
mod mirror;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::eviction::Eviction;

pub use api::{follow_api, is_mirror};
pub use files::{follow_files, static_pod};
pub use mirror::{is_static, keep_mirrors};

/// A change of what should run here.
#[derive(Clone, Debug)]
pub enum Change {
    Apply(Arc<Pod>),
    Remove(Arc<Pod>),
    /// The node needs back what the pod has.
    Evict(Arc<Pod>, Eviction),
    /// Every pod of the API server has been seen once.
    ApiSynced,
    /// The manifest directory has been read once.
    FilesSynced,
}
