//! Deletion of namespaces with all that is in them.

pub mod conditions;
mod content;
mod reconcile;

use k8s_openapi::api::core::v1::Namespace;

pub use reconcile::start;

/// Not being deleted.
pub fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}
