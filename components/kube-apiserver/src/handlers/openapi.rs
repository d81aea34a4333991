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
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

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
            if let Some(bytes) = of_other_server(server, rest) {
                return Ok(tagged(&request.headers, media::JSON, bytes));
            }
            let document = blocking(move || {
                api::openapi::v3_document(&registry, &name).map(|document| document.to_string().into_bytes())
            })
            .await?;
            Ok(document.map_or_else(not_found, |bytes| tagged(&request.headers, media::JSON, bytes)))
        }
        _ => Ok(not_found()),
    }
}

/// The document of a group and version that another server serves.
fn of_other_server(server: &Server, name: &[&str]) -> Option<Vec<u8>> {
    let (group, version) = match name {
        ["apis", group, version] => (*group, *version),
        ["api", version] => ("", *version),
        _ => return None,
    };
    server.aggregator.routes().remote(group, version)?;
    let (_, bytes) = server.aggregator.documents.get(group, version)?.v3?;
    Some(bytes.to_vec())
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
