//! Ports on which a load balancer asks whether this node has endpoints of a Service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use client::informer::Key as ServiceKey;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The open ports.
#[derive(Default)]
pub struct HealthChecks {
    open: BTreeMap<ServiceKey, Open>,
}

struct Open {
    port: u16,
    endpoints: Arc<AtomicUsize>,
    /// Ends the server when this is dropped.
    _stop: DropGuard,
}

impl HealthChecks {
    /// Opens, closes or updates the port of a Service; None means that it wants none.
    pub async fn set(&mut self, service: &ServiceKey, wanted: Option<(u16, usize)>) {
        let Some((port, endpoints)) = wanted else {
            self.open.remove(service);
            return;
        };
        if let Some(open) = self.open.get(service).filter(|open| open.port == port) {
            open.endpoints.store(endpoints, Ordering::Relaxed);
            return;
        }
        self.open.remove(service);
        let address = SocketAddr::from(([0u8; 16], port));
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) => {
                // Tried again with the Service's next change.
                tracing::error!(namespace = service.0, name = service.1, port, %error, "health check port not opened");
                return;
            }
        };
        let count = Arc::new(AtomicUsize::new(endpoints));
        let stop = CancellationToken::new();
        let router = router(service.clone(), count.clone());
        let stopped = stop.clone().cancelled_owned();
        // Ends with its guard; a failure to accept is retried inside.
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router)
                .with_graceful_shutdown(stopped)
                .await
            {
                tracing::error!(port, %error, "health check server ended");
            }
        });
        self.open.insert(
            service.clone(),
            Open {
                port,
                endpoints: count,
                _stop: stop.drop_guard(),
            },
        );
    }
}

fn router(service: ServiceKey, endpoints: Arc<AtomicUsize>) -> Router {
    let answer = move || {
        let count = endpoints.load(Ordering::Relaxed);
        let status = if count > 0 {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let body = json!({
            "service": { "namespace": service.0, "name": service.1 },
            "localEndpoints": count,
            "serviceProxyHealthy": true,
        });
        std::future::ready((status, Json(body)))
    };
    Router::new().fallback(get(answer))
}
