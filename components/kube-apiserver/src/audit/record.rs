//! What is known of a request for its audit events and its metrics, gathered on its way.

use super::policy::Rules;
use crate::header;
use crate::identity::User;
use crate::protobuf;
use crate::request::Annotations;
use crate::request_info::RequestInfo;
use crate::serving::body::{Body, Response};
use crate::serving::peer::Peer;
use api::Registry;
use apimachinery::GroupVersion;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Version};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// One request.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: String,
    pub method: String,
    /// Path and query.
    pub uri: String,
    pub user_agent: String,
    pub sources: Vec<String>,
    pub protocol: Version,
    pub received: jiff::Timestamp,
    pub began: Instant,
    pub info: Arc<RequestInfo>,
    /// Whether it is a server-side apply.
    pub applies: bool,
    /// Length of the body; 0 until it was read.
    pub body_bytes: usize,
    /// The part of the server that ended it, if it was: no time or no seat was left for it, or it could not be sent on.
    pub terminated: Option<&'static str>,
    pub user: Option<Arc<User>>,
    pub impersonated: Option<Arc<User>>,
    /// The verb that allowed it for this request only.
    pub impersonation_constraint: Option<&'static str>,
    /// Nobody is known to have sent it.
    pub refused: bool,
    /// What the policy says; `None` until the user is known, or if nothing is recorded of this request.
    pub rules: Option<Arc<Rules>>,
    pub request_object: Option<Value>,
    pub response_object: Option<Value>,
    /// `responseStatus`
    pub status: Value,
    pub annotations: Map<String, Value>,
    /// Annotations that tell parts of the request.
    pub request_annotations: Map<String, Value>,
}

impl Record {
    pub fn new(parts: &Parts, peer: &Peer, id: String) -> Self {
        let header = |name: &str| {
            let value = parts.headers.get(name).map(header::text);
            value.unwrap_or_default().into_owned()
        };
        Self {
            id,
            method: parts.method.as_str().to_owned(),
            // With HTTP/2 the host stands in it as well.
            uri: parts
                .uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
            user_agent: shortened(header("user-agent")),
            sources: sources(
                &header("x-forwarded-for"),
                &header("x-real-ip"),
                peer.address.ip(),
            ),
            protocol: parts.version,
            received: jiff::Timestamp::now(),
            began: Instant::now(),
            info: Arc::default(),
            applies: is_apply(&parts.headers),
            body_bytes: 0,
            terminated: None,
            user: None,
            impersonated: None,
            impersonation_constraint: None,
            refused: false,
            rules: None,
            request_object: None,
            response_object: None,
            status: Value::Null,
            annotations: Map::new(),
            request_annotations: Map::new(),
        }
    }

    #[cfg(test)]
    pub fn for_tests() -> Self {
        let (parts, ()) = http::Request::new(()).into_parts();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        Self::new(&parts, &Peer::new(address, address, Vec::new()), "id".to_owned())
    }

    /// Whether anything is recorded of this request.
    pub fn is_audited(&self) -> bool {
        self.rules.is_some()
    }

    /// Adds annotations.
    pub fn note(&mut self, annotations: Vec<(&'static str, String)>) {
        for (key, value) in annotations {
            self.annotations.insert(key.to_owned(), json!(value));
        }
    }

    /// Notes who decided how about the request.
    pub fn decided(&mut self, allowed: bool, reason: &str) {
        if self.rules.is_none() {
            return;
        }
        let decision = if allowed { "allow" } else { "forbid" };
        self.annotations
            .insert("authorization.k8s.io/decision".to_owned(), json!(decision));
        self.annotations
            .insert("authorization.k8s.io/reason".to_owned(), json!(reason));
    }

    /// Notes that nobody decided, for something went wrong.
    pub fn undecided(&mut self) {
        if self.rules.is_some() {
            self.annotations
                .insert("authorization.k8s.io/reason".to_owned(), json!("internal error"));
        }
    }

    /// Takes a copy of the request's body, if it is an object.
    pub fn note_request(&mut self, registry: &Registry, headers: &HeaderMap, body: &Bytes) {
        if self.rules.is_some() && self.info.is_resource && !body.is_empty() {
            self.request_object = object(registry, headers, body);
        }
    }

    /// Whether its events carry the object that is sent.
    pub fn tells_object(&self) -> bool {
        let tells = |rules: &Arc<Rules>| rules.level.tells_requests();
        self.request_object.is_some() && self.rules.as_ref().is_some_and(tells)
    }

    /// Whether the answer is an object: of a resource, a discovery document, or what a failure is told by. The events of a
    /// watch are none.
    fn answers_objects(&self, code: u16) -> bool {
        let discovers = || {
            let path = self.info.path.trim_start_matches('/');
            matches!(path.split('/').next(), Some("api" | "apis"))
        };
        let events = self.info.verb == "watch" && code < 400;
        !events && (self.info.is_resource || code >= 400 || discovers())
    }

    /// Takes what a finished answer says, before it is compressed.
    pub fn note_response(&mut self, registry: &Registry, response: &Response) {
        let Some(rules) = &self.rules else { return };
        let code = response.status().as_u16();
        let wanted = rules.level.tells_responses() && self.answers_objects(code);
        let tells_status = self.info.verb == "delete"
            || matches!(self.info.subresource.as_str(), "binding" | "eviction")
            || self.info.resource == "bindings";
        let body = if wanted || code >= 400 || tells_status {
            whole(response.body()).and_then(|body| object(registry, response.headers(), &body))
        } else {
            None
        };
        self.status = super::event::status_of(code, body.as_ref());
        if wanted {
            self.response_object = body.filter(|body| body["kind"].is_string());
        }
        if let Some(annotations) = response.extensions().get::<Annotations>() {
            let told = |(key, value): (&String, &String)| (key.clone(), json!(value));
            self.annotations.extend(annotations.always.iter().map(told));
            self.request_annotations
                .extend(annotations.with_request.iter().map(told));
            if annotations.undecoded {
                self.request_object = None;
            }
            if let Some(object) = &annotations.object {
                self.request_object = Some(object.clone());
            }
        }
    }
}

/// Longest user agent that is told, bytes; upstream's.
const LONGEST_AGENT: usize = 1024;

fn shortened(mut agent: String) -> String {
    if agent.len() > LONGEST_AGENT {
        agent.truncate(agent.floor_char_boundary(LONGEST_AGENT));
        agent.push_str("...TRUNCATED");
    }
    agent
}

/// A body that is all there.
fn whole(body: &Body) -> Option<Bytes> {
    match body {
        Body::Slices { slices, .. } => Some(slices.iter().flatten().copied().collect()),
        Body::Stream(_) => None,
    }
}

fn object(registry: &Registry, headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    let content_type = header::first(headers, &http::header::CONTENT_TYPE);
    if content_type.contains("yaml") {
        return crate::kinds::yaml::parse(body).ok();
    }
    if content_type.contains("protobuf") {
        return of_protobuf(registry, body);
    }
    serde_json::from_slice(body).ok()
}

fn of_protobuf(registry: &Registry, body: &[u8]) -> Option<Value> {
    let envelope = protobuf::open(body).ok()?;
    let version = GroupVersion::parse(&envelope.api_version).ok()?;
    let kind = version.kind(envelope.kind.as_str());
    // A list has no row of its own; the schemas of its group have it.
    let row = registry
        .kind(&kind)
        .or_else(|| registry.iter().find(|row| row.gvk.group_version() == version))?;
    let schema = if kind.kind == "Status" && kind.group.is_empty() {
        protobuf::STATUS.to_owned()
    } else {
        api::schema_name(&kind)
    };
    let mut value = protobuf::decode(&row.schemas, &schema, envelope.raw).ok()?;
    value["kind"] = json!(kind.kind);
    value["apiVersion"] = json!(kind.api_version());
    Some(value)
}

fn is_apply(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/apply-patch+"))
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

#[cfg(test)]
mod tests {
    use super::super::policy::Level;
    use super::*;

    #[test]
    fn objects_that_are_answered_are_told() {
        let told = |path: &str, verb: &str, is_resource: bool, code: u16, body: &Value| {
            let mut record = Record::for_tests();
            record.rules = Some(Arc::new(Rules {
                level: Level::RequestResponse,
                omit_managed_fields: false,
                omitted: Vec::new(),
            }));
            record.info = Arc::new(RequestInfo {
                path: path.to_owned(),
                verb: verb.to_owned(),
                is_resource,
                ..RequestInfo::default()
            });
            let status = http::StatusCode::from_u16(code).unwrap();
            let response = crate::answer::json(status, body);
            record.note_response(&Registry::built_in(), &response);
            record.response_object.is_some()
        };
        let list = json!({"kind": "APIResourceList", "apiVersion": "v1"});
        let status = json!({"kind": "Status", "apiVersion": "v1"});
        let event = json!({"type": "ERROR", "object": {"kind": "Status"}});
        for (path, verb, is_resource, code, body, expected) in [
            ("/apis/apps/v1", "get", false, 200, &list, true),
            ("/api", "get", false, 200, &list, true),
            ("/version", "get", false, 200, &json!({"major": "1"}), false),
            ("/version", "get", false, 403, &status, true),
            ("/api/v1/pods", "list", true, 200, &list, true),
            ("/api/v1/pods", "watch", true, 200, &event, false),
            ("/api/v1/pods", "watch", true, 403, &status, true),
        ] {
            assert_eq!(
                told(path, verb, is_resource, code, body),
                expected,
                "{path} {verb} {code}"
            );
        }
    }
}
