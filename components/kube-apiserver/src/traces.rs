//! Spans of requests for an OpenTelemetry collector (`--tracing-config-file`). Without the flag none begins, and what a
//! client says of its own trace is passed on to those who are asked for its sake.

mod collector;

use crate::audit::Record;
use crate::connect::egress::Way;
use crate::handlers;
use crate::media::{Accepted, Encoding, Shape};
use crate::metrics::requests::labels;
use crate::request::ApiRequest;
use crate::request_info::RequestInfo;
use crate::serving::body::{Body, Response};
use crate::serving::peer::Peer;
use api::{Registry, Resource};
use apimachinery::{ApiError, GroupVersionKind};
use arc_swap::ArcSwap;
use component_config::kube_apiserver::collector::Collector;
use futures::StreamExt;
use http::HeaderMap;
use http::request::Parts;
use opentelemetry::propagation::TextMapCompositePropagator;
use opentelemetry::trace::{Link, SpanBuilder, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use serde_json::json;
use storage::spans::{self, SpanKind};

/// Who may say that a request is to be traced; of all others' requests a sample is.
const TRUSTED: &[&str] = &["system:masters", "system:monitoring"];

/// Makes spans and sends them.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// From now on headers that name a trace are understood and passed on.
pub fn follow_clients() {
    global::set_text_map_propagator(TextMapCompositePropagator::new(vec![
        Box::new(TraceContextPropagator::new()),
        Box::new(BaggagePropagator::new()),
    ]));
}

impl Traces {
    /// Begins to send to a collector, which need not be there yet. To be called within a runtime.
    pub fn start(to: &Collector, way: &Way, instance: &str) -> anyhow::Result<Self> {
        let resource = opentelemetry_sdk::Resource::builder()
            .with_attributes([
                KeyValue::new("service.name", "apiserver"),
                KeyValue::new("service.instance.id", instance.to_owned()),
            ])
            .build();
        let sampler = Sampler::parent_based(Sampler::TraceIdRatioBased(to.share));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(collector::exporter(&to.place, way)?)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        global::set_tracer_provider(provider.clone());
        Ok(Self {
            tracer: provider.tracer(spans::SCOPE),
            provider,
        })
    }

    /// Sends what has ended and is not sent yet. Blocks.
    pub fn finish(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last spans are not sent");
        }
    }
}

/// The span of a request's authentication, which is the first of all: whether the client's own trace is followed depends
/// on who it is.
pub fn authentication(traces: Option<&Traces>) -> Option<Context> {
    let traces = traces?;
    let builder = SpanBuilder::from_name("authentication").with_kind(SpanKind::Internal);
    let span = traces.tracer.build_with_context(builder, &Context::new());
    Some(Context::new().with_span(span))
}

/// The context of an authenticated request; none without a trace that it would belong to. One that names no trace of its
/// client's follows on its authentication, as upstream's do: if its client could have named one.
pub fn begin(
    traces: Option<&Traces>,
    authentication: Option<Context>,
    parts: &Parts,
    record: &Record,
    peer: &Peer,
) -> Option<Context> {
    let remote = spans::extract(&parts.headers);
    let Some(traces) = traces else {
        return remote;
    };
    let builder = SpanBuilder::from_name(name(&record.method, &record.info))
        .with_kind(SpanKind::Server)
        .with_start_time(record.received);
    let (builder, parent) = match &remote {
        Some(caller) if is_trusted(record) => (builder, caller.clone()),
        Some(caller) => {
            let link = Link::with_context(caller.span().span_context().clone());
            (builder.with_links(vec![link]), Context::new())
        }
        None if is_trusted(record) => (builder, authentication.unwrap_or_default()),
        None => (builder, Context::new()),
    };
    let span = traces.tracer.build_with_context(builder, &parent);
    let context = remote.unwrap_or_default().with_span(span);
    if !context.span().is_recording() {
        return Some(context);
    }
    context.span().set_attributes(attributes(record, peer));
    Some(context.with_value(spans::Request {
        audit_id: audit_id(record),
        protocol: format!("{:?}", record.protocol),
    }))
}

/// Tells how the request ended; a stream's span ends with it.
pub fn end(context: &Context, outcome: &mut Result<Response, ApiError>) {
    let span = context.span();
    if !span.is_recording() {
        return;
    }
    let code = match outcome {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.code(),
    };
    span.set_attribute(KeyValue::new("http.response.status_code", i64::from(code)));
    if code >= 500 {
        span.set_status(Status::error(""));
    }
    if let Ok(response) = outcome {
        if let Body::Stream(stream) = response.body_mut() {
            let open = Open(context.clone());
            let rest = std::mem::replace(stream, futures::stream::empty().boxed());
            let rest = rest.inspect(move |_| {
                let _ = &open;
            });
            *stream = rest.boxed();
            return;
        }
        if let Some(length) = response.body().known_length() {
            span.set_attribute(KeyValue::new("http.response.body.size", length as i64));
        }
    }
    span.end();
}

/// Ends a span when it is dropped.
struct Open(Context);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.span().end();
    }
}

/// The span of a verb, which holds those of what the handler does. None for what is handed on, for watches, and where
/// nothing is recorded.
pub fn verb(registry: &ArcSwap<Registry>, record: &Record, headers: &HeaderMap) -> Option<Context> {
    let name = verb_name(&record.info)?;
    let span = spans::child(name, SpanKind::Internal, || verb_attributes(record, headers))?;
    let info = &record.info;
    let registry = registry.load();
    let row = registry.resource(&info.group, &info.version, &info.resource);
    Some(match row {
        Some(row) => span.with_value(spans::ObjectType {
            resource: row.group_resource().to_string(),
            name: object_type(row),
        }),
        None => span,
    })
}

/// The name of upstream's Go type: its packages are named after groups.
fn object_type(row: &Resource) -> String {
    if row.custom.is_some() {
        return "*unstructured.Unstructured".to_owned();
    }
    let package = match row.gvk.group.as_str() {
        "" | "events.k8s.io" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        group => group.split('.').next().unwrap_or(group),
    };
    format!("*{package}.{}", row.gvk.kind)
}

/// Tells the span of a verb that all of the request is there.
pub fn body_read(verb: Option<&Context>, info: &RequestInfo, length: usize) {
    if let Some(context) = verb.filter(|_| !matches!(info.verb.as_str(), "get" | "list")) {
        let length = KeyValue::new("len", length as i64);
        context
            .span()
            .add_event("limitedReadBody succeeded", vec![length]);
    }
}

/// The span of turning what a handler found into an answer.
pub fn serializing(request: &ApiRequest, kind: &GroupVersionKind, accepted: &Accepted) -> Option<Context> {
    spans::child("SerializeObject", SpanKind::Internal, || {
        let mut attributes = vec![
            KeyValue::new("method", request.method.as_str().to_owned()),
            KeyValue::new("url", request.info.path.clone()),
            KeyValue::new("mediaType", accepted.encoding.content_type()),
            KeyValue::new("encoder", encoder(kind, accepted)),
        ];
        attributes.extend(spans::audit_id());
        Context::map_current(|context| {
            if let Some(request) = context.get::<spans::Request>() {
                attributes.push(KeyValue::new("protocol", request.protocol.clone()));
            }
        });
        attributes
    })
}

/// Ends it. The bytes go to the connection, which sends them by itself.
pub fn serialized(span: Option<Context>, outcome: &Result<Response, ApiError>) {
    let Some(span) = span else {
        return;
    };
    let span = span.span();
    if let Ok(response) = outcome {
        let length = response.body().known_length();
        let size = || length.map(|length| KeyValue::new("size", length as i64));
        span.add_event(
            "About to start writing response",
            size().into_iter().collect::<Vec<_>>(),
        );
        span.add_event("Write call succeeded", size().into_iter().collect::<Vec<_>>());
    }
    span.end();
}

/// What upstream calls the encoder of an answer.
fn encoder(kind: &GroupVersionKind, accepted: &Accepted) -> String {
    let version = match &accepted.shape {
        Shape::Table(version) | Shape::PartialObject(version) | Shape::PartialList(version) => {
            format!("meta.k8s.io/{version}")
        }
        Shape::Object | Shape::Discovery { .. } => kind.api_version(),
    };
    let serializer = match accepted.encoding {
        Encoding::Protobuf => "protobuf".to_owned(),
        text => json!({
            "name": "json",
            "pretty": (text == Encoding::Json && accepted.pretty).to_string(),
            "strict": "false",
            "yaml": (text == Encoding::Yaml).to_string(),
        })
        .to_string(),
    };
    json!({ "encodeGV": version, "encoder": serializer, "name": "versioning" }).to_string()
}

/// The id, which clients may choose, as far as upstream tells it.
fn audit_id(record: &Record) -> String {
    const LONGEST: usize = 64;
    record.id.chars().take(LONGEST).collect()
}

fn verb_name(info: &RequestInfo) -> Option<&'static str> {
    if !info.is_resource || handlers::hands_on(info) || handlers::connects(info) || info.subresource == "log"
    {
        return None;
    }
    Some(match info.verb.as_str() {
        "create" => "Create",
        "get" => "Get",
        "list" => "List",
        "update" => "Update",
        "patch" => "Patch",
        "delete" | "deletecollection" => "Delete",
        _ => return None,
    })
}

/// As upstream names them.
fn verb_attributes(record: &Record, headers: &HeaderMap) -> Vec<KeyValue> {
    let info = &record.info;
    let accept = headers.get(http::header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
    vec![
        KeyValue::new("accept", accept.to_owned()),
        KeyValue::new("audit-id", audit_id(record)),
        KeyValue::new("client", client(record).to_owned()),
        KeyValue::new("protocol", format!("{:?}", record.protocol)),
        KeyValue::new("resource", info.resource.clone()),
        KeyValue::new("scope", labels::scope(info)),
        KeyValue::new("url", info.path.clone()),
        KeyValue::new("user-agent", record.user_agent.clone()),
        KeyValue::new("verb", info.verb.to_ascii_uppercase()),
    ]
}

/// Names and namespaces are left out: spans of one kind have one name.
fn name(method: &str, info: &RequestInfo) -> String {
    if !info.is_resource {
        return method.to_owned();
    }
    let mut name = format!("{method} /{}", info.prefix);
    for (part, given) in [
        (&*info.group, !info.group.is_empty()),
        (&*info.version, true),
        ("namespaces/{:namespace}", !info.namespace.is_empty()),
        (&*info.resource, true),
        ("{:name}", !info.name.is_empty()),
        (&*info.subresource, !info.subresource.is_empty()),
    ] {
        if given {
            name.push('/');
            name.push_str(part);
        }
    }
    name
}

fn is_trusted(record: &Record) -> bool {
    let groups = record.user.as_ref().map(|user| user.groups.as_slice());
    groups
        .unwrap_or_default()
        .iter()
        .any(|group| TRUSTED.contains(&group.as_str()))
}

fn client(record: &Record) -> &str {
    record.sources.first().map_or("", String::as_str)
}

/// As OpenTelemetry's conventions for HTTP servers name them.
fn attributes(record: &Record, peer: &Peer) -> Vec<KeyValue> {
    let version = match record.protocol {
        http::Version::HTTP_2 => "2",
        _ => "1.1",
    };
    vec![
        KeyValue::new("http.request.method", record.method.clone()),
        KeyValue::new("url.scheme", "https"),
        KeyValue::new("url.path", record.info.path.clone()),
        KeyValue::new("http.target", record.uri.clone()),
        KeyValue::new("server.address", peer.local.ip().to_string()),
        KeyValue::new("server.port", i64::from(peer.local.port())),
        KeyValue::new("client.address", client(record).to_owned()),
        KeyValue::new("network.peer.address", peer.address.ip().to_string()),
        KeyValue::new("network.peer.port", i64::from(peer.address.port())),
        KeyValue::new("network.protocol.version", version),
        KeyValue::new("user_agent.original", record.user_agent.clone()),
        KeyValue::new("audit-id", audit_id(record)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_info::Query;

    #[test]
    fn spans_of_one_kind_have_one_name() {
        for (method, path, want) in [
            (
                "GET",
                "/api/v1/namespaces/default/pods/a",
                "GET /api/v1/namespaces/{:namespace}/pods/{:name}",
            ),
            ("GET", "/api/v1/nodes", "GET /api/v1/nodes"),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/x/deployments/y/scale",
                "PATCH /apis/apps/v1/namespaces/{:namespace}/deployments/{:name}/scale",
            ),
            ("GET", "/healthz", "GET"),
        ] {
            let method: http::Method = method.parse().unwrap();
            let info = RequestInfo::parse(&method, path, &Query::parse(None)).unwrap();
            assert_eq!(name(method.as_str(), &info), want);
        }
    }

    #[test]
    fn objects_have_upstreams_types() {
        let registry = Registry::built_in();
        for (group, version, resource, want) in [
            ("", "v1", "nodes", "*core.Node"),
            ("events.k8s.io", "v1", "events", "*core.Event"),
            ("apps", "v1", "deployments", "*apps.Deployment"),
            ("rbac.authorization.k8s.io", "v1", "roles", "*rbac.Role"),
            ("coordination.k8s.io", "v1", "leases", "*coordination.Lease"),
        ] {
            let row = registry.resource(group, version, resource).unwrap();
            assert_eq!(object_type(row), want);
        }
    }

    #[test]
    fn encoders_are_named_by_version_and_form() {
        let registry = Registry::built_in();
        let row = registry.resource("apps", "v1", "deployments").unwrap();
        let table = Shape::Table("v1".into());
        for (encoding, shape, want) in [
            (
                Encoding::Protobuf,
                Shape::Object,
                r#"{"encodeGV":"apps/v1","encoder":"protobuf","name":"versioning"}"#,
            ),
            (
                Encoding::Json,
                table,
                r#"{"encodeGV":"meta.k8s.io/v1","encoder":"{\"name\":\"json\",\"pretty\":\"false\",\"strict\":\"false\",\"yaml\":\"false\"}","name":"versioning"}"#,
            ),
        ] {
            let accepted = Accepted {
                encoding,
                shape,
                ..Accepted::default()
            };
            assert_eq!(encoder(&row.gvk, &accepted), want);
        }
    }
}
