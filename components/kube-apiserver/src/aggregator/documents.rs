//! What aggregated servers say of themselves: discovery and OpenAPI, kept between looks.

use super::backend::{Backend, Unreachable, uri};
use super::proxy;
use super::routes::Routes;
use crate::connect::relay;
use crate::identity::User;
use ahash::AHashMap;
use bytes::Bytes;
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest document that is taken.
const LONGEST: usize = 64 * 1024 * 1024;

/// The documents of one group and version.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// APIVersionDiscovery, once it was read.
    pub discovery: Option<Arc<Value>>,
    /// The last attempt to read it failed.
    pub stale: bool,
    /// The OpenAPI version 2 document and its tag.
    pub v2: Option<(String, Arc<Value>)>,
    /// The OpenAPI version 3 document of the group and version, and its hash.
    pub v3: Option<(String, Bytes)>,
}

/// By group and version.
#[derive(Default)]
pub struct Documents {
    known: Mutex<AHashMap<(String, String), Known>>,
    generation: AtomicU64,
}

impl Documents {
    /// Goes up with each change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn get(&self, group: &str, version: &str) -> Option<Known> {
        self.known
            .lock()
            .get(&(group.to_owned(), version.to_owned()))
            .cloned()
    }

    /// Whether the server of a group and version says that it has a resource, and its subresource unless that is empty.
    pub fn has(&self, group: &str, version: &str, resource: &str, subresource: &str) -> bool {
        let discovery = self.get(group, version).and_then(|known| known.discovery);
        let named = |list: &Value, field: &str, name: &str| -> Option<Value> {
            let mut all = list.as_array()?.iter();
            all.find(|one| one[field] == name).cloned()
        };
        let found = discovery.and_then(|discovery| named(&discovery["resources"], "resource", resource));
        found.is_some_and(|found| {
            subresource.is_empty() || named(&found["subresources"], "subresource", subresource).is_some()
        })
    }

    /// Changes what is known of a group and version; `change` says whether it did.
    pub fn change(&self, group: &str, version: &str, change: impl FnOnce(&mut Known) -> bool) {
        let mut known = self.known.lock();
        let entry = known.entry((group.to_owned(), version.to_owned())).or_default();
        if change(entry) {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Forgets what isn't served by others any more.
    pub fn keep_only(&self, routes: &Routes) {
        let mut known = self.known.lock();
        let before = known.len();
        known.retain(|(group, version), _| routes.remote(group, version).is_some());
        if known.len() != before {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }
}

/// A document's answer.
pub struct Fetched {
    pub status: StatusCode,
    pub tag: String,
    pub body: Bytes,
}

/// Gets a document in the name of `user`. `tag` is what is known already.
pub async fn fetch(
    backend: &Backend,
    user: &User,
    path: &str,
    accept: &'static str,
    tag: Option<&str>,
) -> Result<Fetched, Unreachable> {
    let mut request = Request::new(relay::empty());
    let authority = backend
        .authority()
        .map_err(|error| Unreachable(error.to_string()))?;
    *request.uri_mut() = uri(&authority, path)?;
    request
        .headers_mut()
        .insert(ACCEPT, HeaderValue::from_static(accept));
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(tag).ok()) {
        request.headers_mut().insert(IF_NONE_MATCH, tag);
    }
    proxy::identify(request.headers_mut(), user, backend.hides_uids())?;
    let response = backend.send(request).await?;
    let status = response.status();
    let tag = response
        .headers()
        .get(ETAG)
        .and_then(|tag| tag.to_str().ok())
        .unwrap_or("")
        .to_owned();
    let body = Limited::new(response.into_body(), LONGEST)
        .collect()
        .await
        .map_err(|error| Unreachable(error.to_string()))?
        .to_bytes();
    Ok(Fetched { status, tag, body })
}
