//! OpenAPI documents. They are large and seldom asked for: what is kept of them is compressed.

pub mod documents;
mod version2;
mod version3;

use super::discovery::{tagged, tagged_as};
use super::paths::not_found;
use crate::aggregator;
use crate::answer;
use crate::compress;
use crate::media;
use crate::protobuf::document::encode;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::ApiError;
use bytes::Bytes;
use documents::{Document, Form, address};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, EXPIRES, HeaderValue, LOCATION, VARY};
use serde_json::{Value, json};
use std::sync::Arc;

/// How long a document that has the hash of its address may be kept.
const YEAR: jiff::SignedDuration = jiff::SignedDuration::from_hours(365 * 24);

pub async fn handle(
    server: &Arc<Server>,
    request: &ApiRequest,
    parts: &[&str],
) -> Result<Response, ApiError> {
    let registry = server.registry.load_full();
    match parts {
        ["v2"] => {
            let offered = [media::JSON, version2::MEDIA_TYPE, version2::OLD_MEDIA_TYPE];
            let Some(chosen) = media::choose(&request.headers, &offered) else {
                return Err(ApiError::not_acceptable(&offered));
            };
            let protobuf = chosen != media::JSON;
            let server = Arc::clone(server);
            let bytes = blocking(move || {
                let mut document = api::openapi::v2_document(&registry);
                document["info"]["version"] = Value::from(server.flags.version.emulated.to_string());
                for remote in server.aggregator.routes().remotes() {
                    let (group, version) = (&remote.spec.group, &remote.spec.version);
                    let known = server.aggregator.documents.get(group, version);
                    if let Some((_, theirs)) = known.and_then(|known| known.v2) {
                        aggregator::openapi::merge(&mut document, &theirs, group, version);
                    }
                }
                if protobuf {
                    encode(&version2::DOCUMENT, &document)
                } else {
                    document.to_string().into_bytes()
                }
            })
            .await?;
            let content_type = if protobuf {
                version2::MEDIA_TYPE
            } else {
                media::JSON
            };
            Ok(tagged(&request.headers, content_type, bytes))
        }
        ["v3"] => {
            let mut index = (*index(server, registry).await?).clone();
            for remote in server.aggregator.routes().remotes() {
                let (group, version) = (&remote.spec.group, &remote.spec.version);
                let known = server.aggregator.documents.get(group, version);
                if let Some((hash, _)) = known.and_then(|known| known.v3) {
                    let name = aggregator::openapi::document_name(group, version);
                    let url = address(&name, &hash);
                    index["paths"][name] = json!({ "serverRelativeURL": url });
                }
            }
            Ok(tagged(
                &request.headers,
                media::JSON,
                index.to_string().into_bytes(),
            ))
        }
        ["v3", rest @ ..] => version3_document(server, request, registry, rest).await,
        _ => Ok(not_found()),
    }
}

/// A document of version 3. One that was asked for by its hash may be kept for ever; another hash leads to it.
async fn version3_document(
    server: &Arc<Server>,
    request: &ApiRequest,
    registry: Arc<api::Registry>,
    parts: &[&str],
) -> Result<Response, ApiError> {
    let offered = [media::JSON, version3::MEDIA_TYPE, version3::OLD_MEDIA_TYPE];
    let (form, content_type) = match media::choose(&request.headers, &offered) {
        Some(media::JSON) => (Form::Json, media::JSON),
        Some(_) => (Form::Protobuf, version3::MEDIA_TYPE),
        None => return Err(ApiError::not_acceptable(&offered)),
    };
    let name = parts.join("/");
    let (hash, content) = if let Some((hash, bytes)) = of_other_server(server, parts) {
        (hash, Content::Plain(encoded(bytes, form).await?))
    } else {
        match own_document(server, registry, &name, form).await? {
            Some(Document { hash, gzip }) => (hash.to_string(), Content::Compressed(gzip)),
            None => return Ok(not_found()),
        }
    };
    let asked = request.query.get("hash").filter(|asked| !asked.is_empty());
    if asked.is_some_and(|asked| asked != hash) {
        let mut response = answer::text(StatusCode::MOVED_PERMANENTLY, "Moved Permanently\n");
        if let Ok(place) = HeaderValue::from_str(&address(&name, &hash)) {
            response.headers_mut().insert(LOCATION, place);
        }
        return Ok(response);
    }
    let as_it_is = compress::wanted(&request.headers, &request.info) && server.has_feature(compress::FEATURE);
    let (bytes, compressed) = match content {
        Content::Plain(bytes) => (bytes, false),
        Content::Compressed(gzip) if as_it_is => (gzip, true),
        Content::Compressed(gzip) => {
            let bytes = documents::decompress(&gzip).map_err(ApiError::internal)?;
            (bytes.into(), false)
        }
    };
    let mut response = tagged_as(&request.headers, &hash, content_type, bytes);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if asked.is_some() {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        let expires = (jiff::Timestamp::now() + YEAR).strftime("%a, %d %b %Y %H:%M:%S GMT");
        if let Ok(expires) = HeaderValue::from_str(&expires.to_string()) {
            headers.insert(EXPIRES, expires);
        }
    }
    Ok(response)
}

enum Content {
    Plain(Bytes),
    Compressed(Bytes),
}

async fn own_document(
    server: &Arc<Server>,
    registry: Arc<api::Registry>,
    name: &str,
    form: Form,
) -> Result<Option<Document>, ApiError> {
    if let Some(document) = server.openapi.at_hand(&registry, name, form) {
        return Ok(Some(document));
    }
    let (server, name) = (Arc::clone(server), name.to_owned());
    let made = blocking(move || server.openapi.get(&registry, &name, form)).await?;
    made.map_err(ApiError::internal)
}

/// Another server's document, which is known as JSON.
async fn encoded(bytes: Vec<u8>, form: Form) -> Result<Bytes, ApiError> {
    if form == Form::Json {
        return Ok(bytes.into());
    }
    let encoded = blocking(move || {
        serde_json::from_slice(&bytes).map(|document| encode(&version3::DOCUMENT, &document))
    });
    let encoded = encoded.await?.map_err(ApiError::internal)?;
    Ok(encoded.into())
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
    if let Some(index) = server.openapi.index_at_hand(&registry) {
        return Ok(index);
    }
    let server = Arc::clone(server);
    blocking(move || server.openapi.index(&registry)).await
}
