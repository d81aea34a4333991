//! What a request acts on: kind, store, and which object.

use crate::request_info::RequestInfo;
use crate::server::Server;
use api::Resource;
use apimachinery::{ApiError, GroupResource, names};
use std::sync::Arc;
use storage::{StorageError, Store};

/// The kind and place of a request.
#[derive(Clone)]
pub struct Target {
    pub row: Arc<Resource>,
    pub store: Store,
    /// Empty for cluster-scoped kinds and for requests across namespaces.
    pub namespace: String,
    pub name: String,
    pub subresource: String,
}

impl Target {
    pub fn of(server: &Server, row: Arc<Resource>, info: &RequestInfo) -> Self {
        let namespace = if row.namespaced {
            info.namespace.clone()
        } else {
            String::new()
        };
        Self {
            store: server.stores.of(&row),
            row,
            namespace,
            name: info.name.clone(),
            subresource: info.subresource.clone(),
        }
    }

    pub fn resource(&self) -> GroupResource {
        self.row.group_resource()
    }

    /// The error of a storage operation on this object.
    pub fn error(&self, error: StorageError) -> ApiError {
        crate::stores::to_api_error(error, &self.resource(), &self.name)
    }

    /// Key as upstream's errors show it, without the etcd prefix.
    pub fn display_key(&self) -> String {
        let mut key = format!("/{}", self.row.storage_prefix);
        if !self.namespace.is_empty() {
            key.push('/');
            key.push_str(&self.namespace);
        }
        format!("{key}/{}", self.name)
    }
}

/// What upstream's storage says of an object that isn't what was required.
pub fn outdated(key: &str, why: &str) -> String {
    format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {why}"
    )
}

/// Refuses names that no object has.
pub fn check_key(name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        return Err(ApiError::bad_request("Name parameter required."));
    }
    let wrong = names::path_segment_name(name);
    if wrong.is_empty() {
        return Ok(());
    }
    let shown = apimachinery::field::quote(name);
    Err(ApiError::bad_request(format!(
        "Name parameter invalid: {shown}: {}",
        wrong.join(";")
    )))
}
