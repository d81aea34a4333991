//! OpenAPI documents. They are large and seldom asked for, so they are made each time and only their hashes kept.

mod version2;

use super::discovery::tagged;
use super::paths::not_found;
use crate::aggregator;
use crate::answer;
use crate::media;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::ApiError;
use http::StatusCode;
use http::header::{CACHE_CONTROL, EXPIRES, HeaderValue, LOCATION, VARY};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How long a document that has the hash of its address may be kept.
const YEAR: jiff::SignedDuration = jiff::SignedDuration::from_hours(365 * 24);

/// Hashes of the version 3 documents, for the registry that they were made of.
#[derive(Default)]
pub struct Hashes {
    known: Mutex<Option<(Arc<api::Registry>, Arc<Value>)>>,
}

pub async fn handle(
    server: &Arc<Server>,
    request: &ApiRequest,
    parts: &[&str],
) -> Result<Response, ApiError> {
    let registry = server.registry.load_full();
    match parts {
        ["v2"] => {
            let offered = [media::JSON, version2::PROTOBUF, version2::OLD_PROTOBUF];
            let Some(chosen) = media::choose(&request.headers, &offered) else {
                return Err(ApiError::not_acceptable(&offered));
            };
            let protobuf = chosen != media::JSON;
            let server = Arc::clone(server);
            let bytes = blocking(move || {
                let mut document = api::openapi::v2_document(&registry);
                for remote in server.aggregator.routes().remotes() {
                    let (group, version) = (&remote.spec.group, &remote.spec.version);
                    let known = server.aggregator.documents.get(group, version);
                    if let Some((_, theirs)) = known.and_then(|known| known.v2) {
                        aggregator::openapi::merge(&mut document, &theirs, group, version);
                    }
                }
                if protobuf {
                    version2::encode(&document)
                } else {
                    document.to_string().into_bytes()
                }
            })
            .await?;
            let content_type = if protobuf { version2::PROTOBUF } else { media::JSON };
            Ok(tagged(&request.headers, content_type, bytes))
        }
        ["v3"] => {
            let mut index = (*index(server, registry).await?).clone();
            for remote in server.aggregator.routes().remotes() {
                let (group, version) = (&remote.spec.group, &remote.spec.version);
                let known = server.aggregator.documents.get(group, version);
                if let Some((hash, _)) = known.and_then(|known| known.v3) {
                    let name = aggregator::openapi::document_name(group, version);
                    let url = format!("/openapi/v3/{name}?hash={hash}");
                    index["paths"][name] = json!({ "serverRelativeURL": url });
                }
            }
            Ok(answer::json(StatusCode::OK, &index))
        }
        ["v3", rest @ ..] => {
            let name = rest.join("/");
            if media::choose(&request.headers, &[media::JSON]).is_none() {
                return Err(ApiError::not_acceptable(&[media::JSON]));
            }
            if let Some((hash, bytes)) = of_other_server(server, rest) {
                return Ok(hashed(request, &name, &hash, bytes));
            }
            let path = name.clone();
            let document = blocking(move || {
                api::openapi::v3_document(&registry, &name).map(|document| document.to_string().into_bytes())
            })
            .await?;
            Ok(document.map_or_else(not_found, |bytes| {
                let hash = hex::encode_upper(Sha256::digest(&bytes));
                hashed(request, &path, &hash, bytes)
            }))
        }
        _ => Ok(not_found()),
    }
}

/// A document of version 3. One that was asked for by its hash may be kept for ever; another hash leads to it.
fn hashed(request: &ApiRequest, name: &str, hash: &str, bytes: Vec<u8>) -> Response {
    let asked = request.query.get("hash").filter(|asked| !asked.is_empty());
    if asked.is_some_and(|asked| asked != hash) {
        let mut response = answer::text(StatusCode::MOVED_PERMANENTLY, "Moved Permanently\n");
        if let Ok(place) = HeaderValue::from_str(&format!("/openapi/v3/{name}?hash={hash}")) {
            response.headers_mut().insert(LOCATION, place);
        }
        return response;
    }
    let mut response = tagged(&request.headers, media::JSON, bytes);
    if asked.is_some() {
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        let expires = (jiff::Timestamp::now() + YEAR).strftime("%a, %d %b %Y %H:%M:%S GMT");
        if let Ok(expires) = HeaderValue::from_str(&expires.to_string()) {
            headers.insert(EXPIRES, expires);
        }
    }
    response
}

/// The document of a group and version that another server serves, with its hash in the index.
fn of_other_server(server: &Server, name: &[&str]) -> Option<(String, Vec<u8>)> {
    let (group, version) = match name {
        ["apis", group, version] => (*group, *version),
        ["api", version] => ("", *version),
        _ => return None,
    };
    server.aggregator.routes().remote(group, version)?;
    let (hash, bytes) = server.aggregator.documents.get(group, version)?.v3?;
    Some((hash.to_string(), bytes.to_vec()))
}

async fn blocking<T: Send + 'static>(make: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(make)
        .await
        .map_err(|_| ApiError::internal("making the document failed"))
}

async fn index(server: &Arc<Server>, registry: Arc<api::Registry>) -> Result<Arc<Value>, ApiError> {
    if let Some((of, index)) = &*server.openapi.known.lock()
        && Arc::ptr_eq(of, &registry)
    {
        return Ok(Arc::clone(index));
    }
    let of = Arc::clone(&registry);
    let made = blocking(move || Arc::new(make_index(&registry))).await?;
    *server.openapi.known.lock() = Some((of, Arc::clone(&made)));
    Ok(made)
}

fn make_index(registry: &api::Registry) -> Value {
    let mut paths = Map::new();
    for name in api::openapi::v3_names(registry) {
        let Some(document) = api::openapi::v3_document(registry, &name) else {
            continue;
        };
        let hash = hex::encode_upper(Sha256::digest(document.to_string()));
        paths.insert(
            name.clone(),
            json!({ "serverRelativeURL": format!("/openapi/v3/{name}?hash={hash}") }),
        );
    }
    json!({ "paths": paths })
}
