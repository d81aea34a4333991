//! What others need to verify service-account tokens.

use super::paths::not_found;
use crate::answer;
use crate::media;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::{ApiError, Reason};
use http::{HeaderValue, StatusCode};

const KEY_SET: &str = "application/jwk-set+json";

pub fn configuration(server: &Server, request: &ApiRequest) -> Result<Response, ApiError> {
    let Some(document) = server.issuer.discovery(&server.advertised) else {
        return Ok(not_found());
    };
    serve(server, request, media::JSON, &document)
}

pub fn keys(server: &Server, request: &ApiRequest) -> Result<Response, ApiError> {
    serve(server, request, KEY_SET, &server.issuer.jwks())
}

/// Seconds for which the documents may be kept: an hour, or until the signer tells of its keys again.
fn freshness(server: &Server) -> u64 {
    const HOUR: u64 = 3600;
    let external = server.issuer.external.get();
    external.map_or(HOUR, |external| external.keys().fresh_for().as_secs())
}

fn serve(
    server: &Server,
    request: &ApiRequest,
    media_type: &'static str,
    document: &serde_json::Value,
) -> Result<Response, ApiError> {
    if media::choose(&request.headers, &[media_type]).is_none() {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {media_type}");
        return Err(ApiError::new(
            406,
            Reason::NotAcceptable,
            message,
            Some(Default::default()),
        ));
    }
    let mut response = answer::bytes_of(StatusCode::OK, media_type, document.to_string());
    let kept = format!("public, max-age={}", freshness(server));
    let kept = HeaderValue::try_from(kept).map_err(ApiError::internal)?;
    response.headers_mut().insert(http::header::CACHE_CONTROL, kept);
    Ok(response)
}
