//! What the server has: groups, versions, resources, and their schemas.

use super::paths::not_found;
use crate::aggregator::discovery;
use crate::answer;
use crate::media;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::{Body, Response};
use apimachinery::{ApiError, GroupVersion};
use http::header::{ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};

const AGGREGATED_V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

pub fn handle(server: &Server, request: &ApiRequest, parts: &[&str]) -> Result<Response, ApiError> {
    let registry = server.registry.load_full();
    let merged = || {
        let aggregator = &server.aggregator;
        aggregator
            .merged
            .get(&registry, &aggregator.routes(), &aggregator.documents)
    };
    if let (["api" | "apis"], Some("v2")) = (parts, media::aggregated_discovery(&request.headers)) {
        let document = if parts == ["api"] {
            api::discovery::aggregated(&registry, true).to_string()
        } else {
            merged().aggregated.to_string()
        };
        let mut response = tagged(&request.headers, AGGREGATED_V2, document.into_bytes());
        response
            .headers_mut()
            .insert(VARY, HeaderValue::from_static("Accept"));
        return Ok(response);
    }
    let document = match parts {
        ["api"] => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": server.advertised }],
        })),
        ["apis"] => Some(discovery::group_list(&merged().order)),
        ["api", version] => api::discovery::resource_list(&registry, &GroupVersion::new("", *version)),
        ["apis", group] => discovery::group(&merged().order, group),
        ["apis", group, version] => {
            api::discovery::resource_list(&registry, &GroupVersion::new(*group, *version))
        }
        _ => None,
    };
    let Some(document) = document else {
        return Ok(not_found());
    };
    let accepted = media::negotiate_document(request)?;
    let mut response = answer::value(StatusCode::OK, &document, &accepted);
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// A document that clients keep and ask for again by its tag.
pub fn tagged(headers: &HeaderMap, content_type: &'static str, bytes: Vec<u8>) -> Response {
    let tag = format!("\"{}\"", hex::encode_upper(Sha256::digest(&bytes)));
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|known| known == tag);
    let mut response = if known {
        answer::with_body(StatusCode::NOT_MODIFIED, content_type, Body::empty())
    } else {
        answer::bytes_of(StatusCode::OK, content_type, bytes)
    };
    if let Ok(value) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}
