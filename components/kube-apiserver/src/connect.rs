//! Connections through the API server: to kubelets for logs, exec, attach and port-forward; to nodes, pods and
//! services by proxy.

pub mod abrupt;
pub mod backend;
pub mod container;
pub mod destination;
pub mod egress;
mod html;
pub mod listening;
pub mod options;
pub mod proxies;
pub mod proxy;
pub mod relay;
pub mod rewrite;
pub mod stream;

use crate::admission::{self, Attributes, Operation};
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use crate::verbs::target::Target;
use apimachinery::ApiError;
use apimachinery::managed_fields::Compact;
use hyper::upgrade::OnUpgrade;
use listening::Listener;

/// Answers a connect request.
pub async fn handle(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    upgrade: Option<OnUpgrade>,
) -> Result<Response, ApiError> {
    if target.subresource != "log" {
        if request.query.all("dryRun").next().is_some() {
            return Err(ApiError::bad_request("dryRun is not supported"));
        }
        let mut options = Compact::of(options::of(request, target));
        let attributes = Attributes::of(request, target, Operation::Connect, false);
        admission::pass(server, &attributes, &mut options).await?;
    }
    match target.subresource.as_str() {
        "log" => container::log(server, request, target, Listener::of(request, upgrade)).await,
        "exec" | "attach" => stream::remote_command(server, request, target, upgrade).await,
        "portforward" => stream::port_forward(server, request, target, upgrade).await,
        _ => proxy::handle(server, request, target, upgrade).await,
    }
}
