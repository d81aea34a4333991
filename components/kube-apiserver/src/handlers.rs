//! Where requests go once they are allowed.

pub mod debug;
pub mod discovery;
pub mod health;
pub mod openapi;
pub mod openid;
pub mod paths;
pub mod resource;
pub mod zpages;

use crate::request::ApiRequest;
use crate::request_info::RequestInfo;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::ApiError;
use futures::FutureExt;
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;

/// Whether the request's connection is handed on to a kubelet, pod or service.
pub fn connects(info: &RequestInfo) -> bool {
    info.is_resource
        && info.resource == "pods"
        && matches!(info.subresource.as_str(), "exec" | "attach" | "portforward")
}

/// Whether the request's body goes to a node, pod or service, and is none of this server's business.
pub fn hands_on(info: &RequestInfo) -> bool {
    info.is_resource
        && info.group.is_empty()
        && info.subresource == "proxy"
        && matches!(info.resource.as_str(), "nodes" | "pods" | "services")
}

/// Answers an authorized request.
pub async fn dispatch(
    server: &Arc<Server>,
    request: &Arc<ApiRequest>,
    upgrade: Option<OnUpgrade>,
) -> Result<Response, ApiError> {
    if request.info.is_resource {
        resource::handle(server, request, upgrade).await
    } else {
        paths::handle(server, request).boxed().await
    }
}
