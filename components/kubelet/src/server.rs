//! The kubelet's server: TLS, client certificates or tokens, and the API server's word on who may do what.

mod access;
pub mod logs;
mod node_logs;
mod pods;
mod stats;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use daemon::delegation::{Delegation, reject};
use daemon::tls::Peer;
use http::StatusCode;

pub use stats::CpuRates;
pub use stream::StreamAuthority;

use crate::context::Shared;
use crate::manager::PodTable;

/// What the handlers need.
#[derive(Clone)]
pub struct ServerState {
    pub context: Shared,
    pub table: PodTable,
    /// None without an API server: then nobody is let in.
    pub delegation: Option<Arc<Delegation>>,
    pub node_name: String,
    pub streams: StreamAuthority,
    pub rates: CpuRates,
    pub machine: Machine,
    /// The configuration in use, as JSON.
    pub configuration: Arc<str>,
    /// Whether the files below /var/log are shown.
    pub system_logs: bool,
}

/// What the machine has.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    pub cpus: usize,
    /// Bytes.
    pub memory: i64,
}

/// All routes, each behind authentication and authorization.
pub fn router(state: ServerState) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/pods", get(pods::list))
        .route("/pods/", get(pods::list))
        .route("/runningpods", get(pods::running))
        .route("/runningpods/", get(pods::running))
        .route("/configz", get(configz))
        .route("/logs", get(node_logs::root))
        .route("/logs/", get(node_logs::root))
        .route("/logs/{*path}", get(node_logs::serve))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::serve))
        .route("/exec/{namespace}/{pod}/{container}", any(stream::exec))
        .route("/exec/{namespace}/{pod}/{uid}/{container}", any(stream::exec_uid))
        .route("/attach/{namespace}/{pod}/{container}", any(stream::attach))
        .route(
            "/attach/{namespace}/{pod}/{uid}/{container}",
            any(stream::attach_uid),
        )
        .route("/run/{namespace}/{pod}/{container}", any(stream::run))
        .route("/portForward/{namespace}/{pod}", any(stream::port_forward))
        .route(
            "/portForward/{namespace}/{pod}/{uid}",
            any(stream::port_forward_uid),
        )
        .route("/stats/summary", any(stats::summary))
        .route("/metrics", get(stats::own_metrics))
        .route("/metrics/cadvisor", get(stats::cadvisor))
        .route("/metrics/resource", get(stats::resource))
        .route("/metrics/probes", get(stats::probes))
        .fallback(|| async { (StatusCode::NOT_FOUND, "404 page not found\n") })
        .layer(axum::middleware::from_fn_with_state(state.clone(), guard))
        .with_state(state)
}

async fn healthz() -> &'static str {
    "ok"
}

async fn configz(State(state): State<ServerState>) -> Response {
    let text = format!("{{\"kubeletconfig\":{}}}", state.configuration);
    ([(http::header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Lets a request through when one of the permissions that its path needs is granted.
async fn guard(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let Some(delegation) = &state.delegation else {
        return (StatusCode::UNAUTHORIZED, "Unauthorized\n").into_response();
    };
    let actions = access::actions(&state.node_name, request.method(), request.uri().path());
    let peer = request.extensions().get::<Peer>().cloned();
    match delegation.check(peer.as_ref(), request.headers(), &actions).await {
        Ok(_) => next.run(request).await,
        Err(rejection) => reject(rejection),
    }
}

/// A plain-text error as the API server passes it on to users.
pub(crate) fn refuse(status: StatusCode, message: impl std::fmt::Display) -> Response {
    (status, format!("{message}\n")).into_response()
}
