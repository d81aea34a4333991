//! Addresses and node ports of services.

pub mod addresses;
pub mod families;
mod node_port_repair;
pub mod node_ports;
pub mod ranges;
pub mod repair;
pub mod reserve;

use crate::server::Server;
use api::Resource;
use apimachinery::{ApiError, meta};
use serde_json::Value;
use storage::{Preconditions, StorageError};

pub use reserve::{Reserved, reserve};

/// Gives back what a deleted service had.
pub async fn release(server: &Server, row: &Resource, object: &Value, dry_run: bool) {
    if dry_run || !is_service(row) {
        return;
    }
    // A later service of the name must not find these before their controller has looked, as upstream has it.
    forget_endpoints(server, meta::namespace(object), meta::name(object)).await;
    let held = Reserved::of_service(object);
    held.give_back(server).await;
}

async fn forget_endpoints(server: &Server, namespace: &str, name: &str) {
    let Some(store) = server.stores.named("", "endpoints") else {
        return;
    };
    let outcome = store
        .delete::<_, _, StorageError>(namespace, name, &Preconditions::default(), |_| async { Ok(()) })
        .await;
    if let Err(error) = outcome
        && !matches!(error, StorageError::NotFound { .. })
    {
        tracing::warn!(namespace, name, %error, "endpoints of a deleted service could not be deleted");
    }
}

/// Sets the address families of a new or changed service, before anything else of it is checked, as upstream.
pub fn fit(server: &Server, row: &Resource, old: Option<&Value>, object: &mut Value) -> Result<(), ApiError> {
    if !is_service(row) {
        return Ok(());
    }
    let errors = families::set(old, object, &server.flags.service_cluster_ip_range);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(&row.gvk, meta::name(object), &errors))
    }
}

/// Whether a row is that of services.
pub fn is_service(row: &Resource) -> bool {
    row.gvk.kind == "Service" && row.gvk.group.is_empty()
}
