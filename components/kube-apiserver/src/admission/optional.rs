//! Plugins that nobody gets without asking for them (`--enable-admission-plugins`), as upstream.

pub mod anti_affinity;
pub mod event_rates;
pub mod extended_resources;
pub mod external_ips;
pub mod image_policy;
pub mod images;
pub mod namespaces;
pub mod node_selectors;
pub mod owners;
pub mod tolerations;

use super::Attributes;
use crate::server::Server;
use apimachinery::{ApiError, GroupResource, Reason};
use serde_json::Value;
use std::sync::Arc;

/// The kinds of containers of a pod, in the order in which upstream visits them.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// AlwaysDeny: nobody changes anything.
pub fn deny(attributes: &Attributes<'_>) -> ApiError {
    attributes.forbidden("admission control is denying all modifications")
}

/// The containers of a kind.
fn containers<'a>(pod: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> {
    pod["spec"][kind].as_array().into_iter().flatten()
}

/// A namespace; one that was just made may not be in the cache yet.
pub async fn namespace(server: &Server, name: &str) -> Result<Arc<Value>, ApiError> {
    let found = server.stores.read("", "namespaces", "", name).await;
    found
        .map_err(ApiError::internal)?
        .ok_or_else(|| ApiError::not_found(&GroupResource::new("", "namespaces"), name))
}

/// What upstream answers where a plugin gives an error that is no Status.
fn plain(why: impl Into<String>) -> ApiError {
    ApiError::new(500, Reason::Unknown, why, None)
}
