//! Port-forward over WebSocket (`SPDY/3.1+portforward.k8s.io`): the messages carry the bytes of a SPDY
//! connection, which the runtime understands.

use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use streams::tunnel::{self, PROTOCOL, SPDY_PROTOCOL};
use streams::websocket;

use super::secure::StreamAuthority;
use super::{WebSocketRequest, upstream};
use crate::server::refuse;

pub(super) async fn serve(url: &str, trusted: &StreamAuthority, request: Request) -> Response {
    // The only subprotocol that there is, if the client names it.
    let protocol = websocket::offered(request.headers())
        .any(|name| name == PROTOCOL)
        .then_some(PROTOCOL);
    let request = match WebSocketRequest::of(request) {
        Ok(request) => request,
        Err(response) => return response,
    };
    let runtime = match upstream::connect(url, trusted, SPDY_PROTOCOL).await {
        Ok(runtime) => runtime,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    request.accept(protocol, move |socket| async move {
        if let Err(error) = tunnel::carry(socket, runtime).await {
            tracing::debug!(%error, "port-forward ended");
        }
    })
}
