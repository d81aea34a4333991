//! Everything that isn't a resource: a table of paths.

use super::{debug, discovery, health, openapi, openid, zpages};
use crate::answer;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::ApiError;
use http::{Method, StatusCode};
use serde_json::json;
use std::sync::Arc;

/// Paths listed at `/`, besides those of discovery.
const PATHS: &[&str] = &[
    "/.well-known/openid-configuration",
    "/flagz",
    "/healthz",
    "/livez",
    "/metrics",
    "/metrics/slis",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/statusz",
    "/version",
];

pub async fn handle(server: &Arc<Server>, request: &ApiRequest) -> Result<Response, ApiError> {
    let path = request.info.path.as_str();
    let trimmed = path.trim_end_matches('/');
    let parts: Vec<&str> = trimmed.trim_start_matches('/').split('/').collect();
    // Upstream knows these by their whole text alone.
    let exact = matches!(
        parts.as_slice(),
        ["metrics" | "flagz" | "statusz", ..] | ["openapi", "v2"]
    );
    if exact && trimmed.len() < path.len() {
        return Ok(not_found());
    }
    if let ["debug", rest @ ..] = parts.as_slice() {
        return Ok(debug::handle(server, request, rest));
    }
    // What upstream routes by method takes no HEAD; its other handlers don't look at it.
    let by_method = matches!(
        parts.as_slice(),
        ["api" | "apis" | "version" | ".well-known" | "openid", ..]
    );
    let is_health = matches!(parts.as_slice(), ["healthz" | "livez" | "readyz", ..]);
    let is_read = request.method == Method::GET || (!by_method && request.method == Method::HEAD);
    // Who may ask for their health may do so by any method.
    if !is_read && !is_health {
        return Err(ApiError::method_not_allowed());
    }
    match parts.as_slice() {
        ["" | "index.html"] => Ok(answer::json(
            StatusCode::OK,
            &json!({ "paths": all_paths(server) }),
        )),
        ["api" | "apis", ..] => discovery::handle(server, request, &parts),
        ["openapi", rest @ ..] => openapi::handle(server, request, rest).await,
        ["version"] => Ok(answer::value(
            StatusCode::OK,
            &server.build.version(&server.flags.version),
            &crate::media::Accepted {
                pretty: true,
                ..Default::default()
            },
        )),
        _ if is_health => Ok(health::handle(server, request, &parts).await),
        ["flagz"] => Ok(zpages::flagz(server, request)),
        ["statusz"] => Ok(zpages::statusz(server, request)),
        ["metrics"] => {
            if let Some(control) = &server.flow_control {
                control.current().publish(&control.metrics);
            }
            server.stores.storage.measure().await;
            server.metrics.objects.publish(server);
            let text = server
                .metrics
                .encode(&server.inflight)
                .map_err(ApiError::internal)?;
            Ok(answer::bytes_of(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                text,
            ))
        }
        ["metrics", "slis"] => {
            let text = server.metrics.health.encode().map_err(ApiError::internal)?;
            Ok(answer::bytes_of(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                text,
            ))
        }
        [".well-known", "openid-configuration"] => openid::configuration(server, request),
        ["openid", "v1", "jwks"] => openid::keys(server, request),
        _ => Ok(not_found()),
    }
}

/// What upstream's multiplexer answers for paths that nobody serves.
pub fn not_found() -> Response {
    answer::text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn all_paths(server: &Server) -> Vec<String> {
    let registry = server.registry.load_full();
    let mut paths: Vec<String> = PATHS.iter().map(|path| (*path).to_owned()).collect();
    paths.extend([
        "/api".to_owned(),
        "/api/v1".to_owned(),
        "/apis".to_owned(),
        "/apis/".to_owned(),
    ]);
    let aggregator = &server.aggregator;
    let merged = aggregator
        .merged
        .get(&registry, &aggregator.routes(), &aggregator.documents);
    for (group, versions) in &merged.order {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
    }
    paths.extend(health::check_paths(server));
    paths.sort();
    paths.dedup();
    paths
}
