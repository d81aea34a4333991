//! `/healthz`, `/livez` and `/readyz`, each a list of named checks, answered as upstream does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The checks of a daemon; clones share them.
#[derive(Clone, Default)]
pub struct Health {
    live: Arc<RwLock<BTreeMap<&'static str, Check>>>,
    ready: Arc<RwLock<BTreeMap<&'static str, Check>>>,
}

impl Health {
    /// With upstream's `ping` check, which always passes.
    pub fn new() -> Self {
        let health = Self::default();
        health.live("ping", || Ok(()));
        health.ready("ping", || Ok(()));
        health
    }

    /// A check of `/livez` and `/healthz`. It must not block.
    pub fn live(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.live.write().insert(name, Arc::new(check));
    }

    /// A check of `/readyz`. It must not block.
    pub fn ready(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.ready.write().insert(name, Arc::new(check));
    }

    pub fn router(&self) -> Router {
        let mut router = Router::new();
        for (path, checks) in [
            ("/healthz", &self.live),
            ("/livez", &self.live),
            ("/readyz", &self.ready),
        ] {
            let state = (&path[1..], checks.clone());
            let all = get(answer_all).with_state(state.clone());
            let one = get(answer_one).with_state(state);
            router = router.route(path, all).route(&format!("{path}/{{check}}"), one);
        }
        router
    }
}

type Checks = (&'static str, Arc<RwLock<BTreeMap<&'static str, Check>>>);

async fn answer_all(
    State((name, checks)): State<Checks>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let excluded: Vec<&str> = query
        .iter()
        .filter(|(key, _)| key == "exclude")
        .map(|(_, value)| value.as_str())
        .collect();
    let verbose = query.iter().any(|(key, _)| key == "verbose");
    let checks = checks.read().clone();
    let mut failed = false;
    let mut lines = String::new();
    for (check, run) in &checks {
        if excluded.contains(check) {
            let _ = writeln!(lines, "[+]{check} excluded: ok");
            continue;
        }
        match run() {
            Ok(()) => {
                let _ = writeln!(lines, "[+]{check} ok");
            }
            Err(reason) => {
                failed = true;
                tracing::info!(endpoint = name, check, reason, "health check failed");
                // The reason is for the log: this endpoint answers without authentication.
                let _ = writeln!(lines, "[-]{check} failed: reason withheld");
            }
        }
    }
    if failed {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{lines}{name} check failed\n"),
        )
            .into_response();
    }
    if verbose {
        return format!("{lines}{name} check passed\n").into_response();
    }
    "ok".into_response()
}

async fn answer_one(State((_, checks)): State<Checks>, Path(name): Path<String>) -> Response {
    let check = checks.read().get(name.as_str()).cloned();
    match check.map(|run| run()) {
        None => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
        Some(Ok(())) => "ok".into_response(),
        Some(Err(reason)) => {
            tracing::info!(check = name, reason, "health check failed");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal server error: reason withheld\n",
            )
                .into_response()
        }
    }
}

/// Serves a router without TLS: meant for health and metrics on loopback, as upstream's node daemons have it.
pub async fn serve_plain(
    address: SocketAddr,
    router: Router,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "health is served without TLS on an address that is not loopback");
    }
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for health checks"))?;
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.cancelled().await })
        .await
        .context("health server")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn get_path(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).expect("test input");
        let response = router.clone().oneshot(request).await.expect("infallible");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .expect("body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn checks_are_answered_one_by_one_and_together() {
        let health = Health::new();
        health.ready("informer-sync", || Err("pods".to_owned()));
        let router = health.router();
        assert_eq!(get_path(&router, "/livez").await, (200, "ok".to_owned()));
        assert_eq!(
            get_path(&router, "/livez?verbose").await,
            (200, "[+]ping ok\nlivez check passed\n".to_owned())
        );
        assert_eq!(get_path(&router, "/readyz").await.0, 500);
        assert_eq!(
            get_path(&router, "/readyz?exclude=informer-sync").await,
            (200, "ok".to_owned())
        );
        assert_eq!(get_path(&router, "/readyz/ping").await, (200, "ok".to_owned()));
        assert_eq!(get_path(&router, "/readyz/none").await.0, 404);
    }
}
