//! The audit log: who did what, one JSON line per request.

pub mod policy;
pub mod sink;

use crate::identity::User;
use crate::request::Annotations;
use crate::request_info::RequestInfo;
use crate::serving::body::Response;
use crate::serving::peer::Peer;
use http::request::Parts;
use http::{HeaderMap, Version};
use policy::{Level, Policy};
use serde_json::{Value, json};
use sink::Sink;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// What is known of a request for its audit event and its metrics.
#[derive(Debug)]
pub struct Record {
    pub id: String,
    pub method: String,
    pub uri: String,
    pub user_agent: String,
    pub sources: Vec<String>,
    pub protocol: Version,
    pub received: jiff::Timestamp,
    pub info: RequestInfo,
    pub user: Option<Arc<User>>,
    pub impersonated: Option<Arc<User>>,
}

impl Record {
    pub fn new(parts: &Parts, peer: &Peer, id: String) -> Self {
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or("")
                .to_owned()
        };
        Self {
            id,
            method: parts.method.as_str().to_owned(),
            uri: parts.uri.to_string(),
            user_agent: header("user-agent"),
            sources: sources(
                &header("x-forwarded-for"),
                &header("x-real-ip"),
                peer.address.ip(),
            ),
            protocol: parts.version,
            received: jiff::Timestamp::now(),
            info: RequestInfo::default(),
            user: None,
            impersonated: None,
        }
    }
}

fn sources(forwarded: &str, real: &str, peer: IpAddr) -> Vec<String> {
    let listed = forwarded
        .split(',')
        .chain(std::iter::once(real))
        .map(str::trim)
        .filter(|text| text.parse::<IpAddr>().is_ok());
    let mut all: Vec<String> = Vec::new();
    for text in listed.map(str::to_owned).chain(std::iter::once(peer.to_string())) {
        if !all.contains(&text) {
            all.push(text);
        }
    }
    all
}

/// The caller's Audit-ID, or a fresh one.
pub fn id_of(headers: &HeaderMap) -> String {
    let given = headers
        .get("audit-id")
        .and_then(|value| value.to_str().ok())
        .filter(|text| !text.is_empty() && text.len() <= 64);
    given.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

/// Policy and where events go; nothing is done without both.
#[derive(Default)]
pub struct Audit {
    enabled: Option<(Policy, Sink)>,
}

impl Audit {
    pub fn new(policy: Policy, sink: Sink) -> Self {
        Self {
            enabled: Some((policy, sink)),
        }
    }

    /// Writes the event of a finished request, as far as the policy wants it.
    pub fn write(&self, record: &Record, response: &Response, started: Instant) {
        let Some((policy, sink)) = &self.enabled else {
            return;
        };
        let level = policy.level(record.user.as_deref(), &record.info);
        if level == Level::None {
            return;
        }
        let event = event(record, level, response, started, policy.omits_managed_fields());
        sink.write(&event);
    }
}

fn user_json(user: &User) -> Value {
    let mut value = json!({ "username": user.name });
    if !user.uid.is_empty() {
        value["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        value["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        value["extra"] = json!(user.extra);
    }
    value
}

fn event(record: &Record, level: Level, response: &Response, started: Instant, _omit: bool) -> Value {
    let info = &record.info;
    let now = jiff::Timestamp::now();
    let mut event = json!({
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": level.name(),
        "auditID": record.id,
        "stage": "ResponseComplete",
        "requestURI": record.uri,
        "verb": info.verb,
        "user": record.user.as_deref().map_or_else(|| json!({}), user_json),
        "sourceIPs": record.sources,
        "responseStatus": { "metadata": {}, "code": response.status().as_u16() },
        "requestReceivedTimestamp": micro(record.received),
        "stageTimestamp": micro(now),
        "annotations": { "apiserver.latency.k8s.io/total": format!("{:?}", started.elapsed()) },
    });
    if let Some(annotations) = response.extensions().get::<Annotations>() {
        let with_request = annotations
            .with_request
            .iter()
            .filter(|_| matches!(level, Level::Request | Level::RequestResponse));
        for (key, value) in annotations.always.iter().chain(with_request) {
            event["annotations"][key] = json!(value);
        }
    }
    if !record.user_agent.is_empty() {
        event["userAgent"] = json!(record.user_agent);
    }
    if let Some(user) = &record.impersonated {
        event["impersonatedUser"] = user_json(user);
    }
    if info.is_resource {
        let mut reference = serde_json::Map::new();
        for (key, text) in [
            ("resource", &info.resource),
            ("namespace", &info.namespace),
            ("name", &info.name),
            ("apiGroup", &info.group),
            ("apiVersion", &info.version),
            ("subresource", &info.subresource),
        ] {
            if !text.is_empty() {
                reference.insert(key.to_owned(), json!(text));
            }
        }
        event["objectRef"] = Value::Object(reference);
    }
    event
}

fn micro(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
