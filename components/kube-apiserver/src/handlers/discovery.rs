//! What the server has: groups, versions, resources, and their schemas.

mod messages;
mod order;

use super::paths::not_found;
use crate::aggregator::discovery;
use crate::answer;
use crate::media::{self, Accepted, Answer, Encoding, Shape};
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::{Body, Response};
use apimachinery::{ApiError, GroupVersion};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

const AGGREGATED_JSON: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_YAML: &str = "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_PROTOBUF: &str =
    "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

pub fn handle(server: &Server, request: &ApiRequest, parts: &[&str]) -> Result<Response, ApiError> {
    let registry = server.registry.load_full();
    let merged = || {
        let aggregator = &server.aggregator;
        aggregator
            .merged
            .get(&registry, &aggregator.routes(), &aggregator.documents)
    };
    let kinds = match parts {
        ["api" | "apis"] => Answer::Discovery,
        _ => Answer::Plain,
    };
    let accepted = media::negotiate_discovery(request, kinds);
    if let Ok(accepted) = &accepted
        && let Shape::Discovery { alone } = accepted.shape
    {
        if alone {
            server.peers.as_ref().inspect(|peers| peers.asked_alone());
        }
        let core = || api::discovery::aggregated(&registry, true);
        return match (server.peers.as_ref().filter(|_| !alone), parts) {
            (Some(peers), ["api"]) => aggregated(request, accepted, &peers.core_document(&registry, core)),
            (Some(peers), _) => aggregated(request, accepted, &peers.named_document(&merged())),
            (None, ["api"]) => aggregated(request, accepted, &core()),
            (None, _) => aggregated(request, accepted, &merged().aggregated),
        };
    }
    let document = match parts {
        ["api"] => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": server.advertised }],
        })),
        ["apis"] => Some(discovery::group_list(&merged().listed)),
        ["api", version] => api::discovery::resource_list(&registry, &GroupVersion::new("", *version)),
        ["apis", group] => discovery::group(&merged().listed, group),
        ["apis", group, version] => {
            api::discovery::resource_list(&registry, &GroupVersion::new(*group, *version))
        }
        _ => None,
    };
    let Some(document) = document else {
        return Ok(not_found());
    };
    let accepted = accepted?;
    let bytes = written(&document, &accepted)?;
    let mut response = answer::bytes_of(StatusCode::OK, accepted.encoding.content_type(), bytes);
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// Everything in one document. Its tag is that of the JSON, whatever form it is sent in.
fn aggregated(request: &ApiRequest, accepted: &Accepted, document: &Value) -> Result<Response, ApiError> {
    let content_type = match accepted.encoding {
        Encoding::Json => AGGREGATED_JSON,
        Encoding::Yaml => AGGREGATED_YAML,
        Encoding::Protobuf => AGGREGATED_PROTOBUF,
    };
    let hash = hex::encode_upper(Sha512::digest(document.to_string()));
    let bytes = written(document, accepted)?;
    let mut response = tagged_as(&request.headers, &hash, content_type, bytes);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    Ok(response)
}

fn written(document: &Value, accepted: &Accepted) -> Result<Bytes, ApiError> {
    if accepted.encoding == Encoding::Protobuf {
        let bytes = messages::encoded(document);
        return bytes
            .map(Bytes::from)
            .ok_or_else(|| ApiError::internal("no message for this document"));
    }
    if accepted.encoding == Encoding::Yaml {
        return answer::encode(document, accepted).map_err(ApiError::internal);
    }
    let document = order::Document(document);
    let written = match accepted.pretty {
        true => serde_json::to_vec_pretty(&document),
        false => serde_json::to_vec(&document),
    };
    let mut text = written.map_err(ApiError::internal)?;
    text.push(b'\n');
    Ok(text.into())
}

/// A document that clients keep and ask for again by its tag.
pub fn tagged(headers: &HeaderMap, content_type: &'static str, bytes: Vec<u8>) -> Response {
    let hash = hex::encode_upper(Sha512::digest(&bytes));
    tagged_as(headers, &hash, content_type, bytes)
}

/// A document with a tag that is known: it may be that of another form.
pub fn tagged_as(
    headers: &HeaderMap,
    hash: &str,
    content_type: &'static str,
    bytes: impl Into<Bytes>,
) -> Response {
    let tag = format!("\"{hash}\"");
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| {
            let known = known.trim();
            known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
        });
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
