//! One request, read and authenticated, as the handlers see it.

mod warnings;

use crate::header;
use crate::identity::User;
use crate::request_info::{Query, RequestInfo};
use crate::serving::peer::Peer;
use apimachinery::managed_fields::Compact;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use warnings::Warnings;

/// A request that nobody has looked at yet.
pub struct Arrived {
    pub started: Instant,
    pub audit_id: String,
    pub parts: Parts,
    pub body: Incoming,
    pub upgrade: Option<OnUpgrade>,
    pub peer: Arc<Peer>,
}

/// What the client calls this server: HTTP/2 says it apart from the headers.
pub fn host_of(parts: &Parts) -> Option<String> {
    let of_uri = parts.uri.authority().map(|authority| authority.as_str());
    let of_headers = || parts.headers.get(http::header::HOST)?.to_str().ok();
    of_uri.or_else(of_headers).map(str::to_owned)
}

/// What handlers add to a request's audit event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    pub always: BTreeMap<String, String>,
    /// Only for events that also carry the request's body.
    pub with_request: BTreeMap<String, String>,
    /// The object that was sent, as it was understood: without unknown fields, with defaults.
    pub object: Option<Value>,
    /// What was sent could not be read as an object.
    pub undecoded: bool,
}

impl Annotations {
    pub fn is_empty(&self) -> bool {
        self.always.is_empty() && self.with_request.is_empty() && self.object.is_none() && !self.undecoded
    }
}

/// What a request that is passed on to a node, pod or service brings along besides: its body is not read here.
#[derive(Debug)]
pub struct HandedOn {
    pub body: Incoming,
    /// As sent.
    pub query: Option<String>,
    /// As the client calls this server.
    pub host: Option<String>,
    pub client: IpAddr,
}

/// Everything a handler needs to know.
#[derive(Debug)]
pub struct ApiRequest {
    pub method: Method,
    pub info: Arc<RequestInfo>,
    pub query: Query,
    pub headers: HeaderMap,
    pub user: Arc<User>,
    pub body: Bytes,
    /// When it has to be answered, unless it stays open.
    pub deadline: Instant,
    /// Taken by the proxy.
    pub handed_on: Mutex<Option<HandedOn>>,
    /// Whether an audit event carries the object that is sent.
    pub tells_object: bool,
    warnings: Mutex<Warnings>,
    annotations: Mutex<Annotations>,
}

impl ApiRequest {
    pub fn new(
        method: Method,
        info: impl Into<Arc<RequestInfo>>,
        query: Query,
        headers: HeaderMap,
        user: Arc<User>,
        body: Bytes,
        deadline: Instant,
    ) -> Self {
        Self {
            method,
            info: info.into(),
            query,
            headers,
            user,
            body,
            deadline,
            handed_on: Mutex::default(),
            tells_object: false,
            warnings: Mutex::default(),
            annotations: Mutex::default(),
        }
    }

    /// Adds a Warning header to the answer.
    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.lock().add(text.into());
    }

    /// Adds an annotation to the audit event; the first of a key stays.
    pub fn annotate(&self, key: String, value: String) {
        self.annotations.lock().always.entry(key).or_insert(value);
    }

    /// Adds an annotation to audit events that carry the request's body.
    pub fn annotate_request_level(&self, key: String, value: String) {
        self.annotations.lock().with_request.entry(key).or_insert(value);
    }

    /// Notes the object that was sent for audit events that carry it.
    pub fn note_object(&self, object: &Compact) {
        self.note_value(|| object.to_whole());
    }

    /// The same of what isn't an object of a kind.
    pub fn note_value(&self, told: impl FnOnce() -> Value) {
        if self.tells_object {
            self.annotations.lock().object = Some(told());
        }
    }

    /// Notes that what was sent could not be read as an object: audit events don't carry it.
    pub fn note_undecoded(&self) {
        self.annotations.lock().undecoded = true;
    }

    pub fn take_annotations(&self) -> Annotations {
        std::mem::take(&mut self.annotations.lock())
    }

    pub fn take_warnings(&self) -> Vec<String> {
        self.warnings.lock().take()
    }

    /// `?dryRun=All`
    pub fn is_dry_run(&self) -> bool {
        self.query.all("dryRun").any(|value| value == "All")
    }

    pub fn user_agent(&self) -> Cow<'_, str> {
        header::first(&self.headers, &http::header::USER_AGENT)
    }
}
