//! `--tracing-config-file`: what a collector is told of requests, and what those are told who are asked for their sake.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use testkit::eventually;
use testkit::webhook::{Answer, WebhookServer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

const PATIENCE: Duration = Duration::from_secs(30);
/// Enough for the last spans to be sent.
const STOPPING: Duration = Duration::from_secs(60);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// What a collector was told.
#[derive(Clone, Default)]
struct Told {
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<Vec<String>>>,
}

impl Told {
    fn answer(&self, path: &str, message: &[u8]) -> Vec<u8> {
        assert_eq!(
            path,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        );
        let export = ExportTraceServiceRequest::decode(message).unwrap();
        for resource in export.resource_spans {
            let of = resource.resource.unwrap_or_default();
            let names = of
                .attributes
                .into_iter()
                .filter(|pair| pair.key.starts_with("service."));
            let mut services = self.services.lock().unwrap();
            services.extend(names.filter_map(|pair| text(pair.value?.value?)));
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans);
        }
        ExportTraceServiceResponse::default().encode_to_vec()
    }

    /// The spans of a trace.
    fn of(&self, trace: &str) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        let of = spans.iter().filter(|span| hex::encode(&span.trace_id) == trace);
        of.cloned().collect()
    }
}

fn text(value: Attribute) -> Option<String> {
    match value {
        Attribute::StringValue(text) => Some(text),
        Attribute::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn attribute(span: &Span, key: &str) -> String {
    let pair = span.attributes.iter().find(|pair| pair.key == key);
    let value = pair.and_then(|pair| pair.value.clone()?.value);
    value.and_then(text).unwrap_or_default()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| {
        let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
        panic!("there is no {name} among {names:?}")
    })
}

async fn by_tcp() -> (String, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Arc::new(listener);
    let told = collector(move || {
        let listener = Arc::clone(&listener);
        async move { listener.accept().await.map(|(stream, _)| stream) }
    });
    (address.to_string(), told)
}

async fn by_socket(directory: &Path) -> (String, Told) {
    let path = directory.join("otlp.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let listener = Arc::new(listener);
    let told = collector(move || {
        let listener = Arc::clone(&listener);
        async move { listener.accept().await.map(|(stream, _)| stream) }
    });
    (format!("unix://{}", path.display()), told)
}

/// Answers on every connection that comes.
fn collector<S, F>(accept: impl Fn() -> F + Send + 'static) -> Told
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Future<Output = std::io::Result<S>> + Send,
{
    let told = Told::default();
    let answering = told.clone();
    tokio::spawn(async move {
        loop {
            let (stream, told) = (accept().await.unwrap(), answering.clone());
            tokio::spawn(testkit::grpc::serve(stream, move |path, message| {
                told.answer(path, message)
            }));
        }
    });
    told
}

async fn server(etcd: &Etcd, endpoint: &str, rate: u32) -> ApiServer {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "TracingConfiguration",
        "endpoint": endpoint,
        "samplingRatePerMillion": rate,
    });
    write!(file, "{configuration}").unwrap();
    let flag = format!("--tracing-config-file={}", file.path().display());
    let binary = Path::new(env!("CARGO_BIN_EXE_kube-apiserver"));
    ApiServer::start(binary, etcd, &[&flag, "--shutdown-delay-duration=0s"])
        .await
        .unwrap()
}

/// Sends a request that belongs to a trace of the client's.
async fn send(client: &kube::Client, method: &str, path: &str, body: &Value) {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .body(kube::client::Body::from(body.to_string().into_bytes()))
        .unwrap();
    let answer = client.send(request).await.unwrap();
    assert!(
        answer.status().is_success() || answer.status() == 403,
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_told_from_its_arrival_to_etcd_and_to_webhooks() {
    let etcd = Etcd::start().await.unwrap();
    let (endpoint, told) = by_tcp().await;
    let mut server = server(&etcd, &endpoint, 0).await;
    let webhook = WebhookServer::start(server.pki(), &[], |seen| {
        let response = json!({ "uid": seen.body["request"]["uid"], "allowed": true });
        Answer::ok(
            json!({ "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response }),
        )
    });
    let webhook = webhook.await.unwrap();
    let admin = server.admin().await.unwrap();
    let bundle = std::fs::read(server.pki().file("ca.crt")).unwrap();
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "asked" },
        "webhooks": [{
            "name": "asked.example.com",
            "clientConfig": { "url": webhook.url("/asked"), "caBundle": base64(&bundle) },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"] }],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "matchConditions": [{ "name": "traced", "expression": "object.metadata.name.startsWith('traced')" }],
        }],
    });
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    send(&admin, "POST", hooks, &hook).await;
    let mut number = 0;
    eventually(PATIENCE, "the webhook is asked", async || {
        number += 1;
        let map = json!({ "metadata": { "name": format!("traced-{number}") } });
        send(&admin, "POST", MAPS, &map).await;
        webhook.seen().is_empty().then(|| "it was not".to_owned())
    })
    .await;
    let other = server.client("jane", &[]).await.unwrap();
    send(&other, "GET", MAPS, &Value::Null).await;
    drop((admin, other));
    server.terminate(STOPPING).unwrap();

    let asked = webhook.seen().pop().unwrap().traceparent;
    assert!(
        asked.starts_with(&format!("00-{TRACE}-")) && !asked.contains(PARENT),
        "{asked}"
    );
    let spans = told.of(TRACE);
    let post = spans
        .iter()
        .find(|span| attribute(span, "http.target") == MAPS && span.kind == 2);
    let post = post.expect("the span of a server");
    assert_eq!(post.name, "POST /api/v1/namespaces/{:namespace}/configmaps");
    assert_eq!(hex::encode(&post.parent_span_id), PARENT);
    assert_eq!(attribute(post, "http.response.status_code"), "201");
    let ended = post.end_time_unix_nano - post.start_time_unix_nano;
    assert!(ended > 0 && ended < 60_000_000_000, "{ended} ns");
    let child = |name: &str, of: &Span| {
        let found = spans
            .iter()
            .find(|span| span.name == name && span.parent_span_id == of.span_id);
        found
            .unwrap_or_else(|| panic!("there is no {name} in {}: {spans:#?}", of.name))
            .clone()
    };
    child("authorization", post);
    let create = child("Create", post);
    assert_eq!(attribute(&create, "verb"), "CREATE");
    let stored = child("Create etcd3", &create);
    assert!(attribute(&stored, "key").starts_with("/configmaps/default/traced-"));
    assert_eq!(attribute(&stored, "type"), "*core.ConfigMap");
    assert_eq!(attribute(&stored, "resource"), "configmaps");
    let id = attribute(&create, "audit-id");
    assert!(!id.is_empty() && attribute(&stored, "audit-id") == id, "{id}");
    let call = child("etcdserverpb.KV/Txn", &stored);
    assert_eq!(attribute(&call, "rpc.grpc.status_code"), "0");
    named(&spans, "HTTP POST");
    let services = told.services.lock().unwrap().clone();
    assert!(services.contains(&"apiserver".to_owned()), "{services:?}");
    let strangers = told.spans.lock().unwrap().len() - spans.len();
    assert_eq!(
        strangers, 0,
        "who is not trusted does not decide that a request is told of"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_requests_of_others_a_sample_is_told() {
    let etcd = Etcd::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (endpoint, told) = by_socket(directory.path()).await;
    let mut server = server(&etcd, &endpoint, 1_000_000).await;
    let other = server.client("jane", &[]).await.unwrap();
    send(&other, "GET", MAPS, &Value::Null).await;
    drop(other);
    server.terminate(STOPPING).unwrap();
    assert!(told.of(TRACE).is_empty(), "a trace of its own");
    let spans = told.spans.lock().unwrap().clone();
    let get = named(&spans, "GET /api/v1/namespaces/{:namespace}/configmaps");
    assert_eq!(attribute(get, "http.response.status_code"), "403");
    let links: Vec<String> = get.links.iter().map(|link| hex::encode(&link.trace_id)).collect();
    assert_eq!(links, [TRACE], "it says where it came from");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_tells_what_it_does_and_authentication_comes_first() {
    let etcd = Etcd::start().await.unwrap();
    let (endpoint, told) = by_tcp().await;
    let mut server = server(&etcd, &endpoint, 1_000_000).await;
    let admin = server.admin().await.unwrap();
    let one = format!("{MAPS}/a");
    let map = json!({ "metadata": { "name": "a" }, "data": { "k": "v" } });
    let patch = json!({ "data": { "k": "w" } });
    let writes = "limitedReadBody succeeded, About to convert to expected version, Conversion done, \
                  About to store object in database, Write to database call succeeded, \
                  About to write a response, Writing http response done";
    let cases = [
        ("POST", MAPS, &map, "Create", writes),
        (
            "GET",
            &one,
            &Value::Null,
            "Get",
            "About to Get from storage, About to write a response, Writing http response done",
        ),
        (
            "GET",
            MAPS,
            &Value::Null,
            "List",
            "About to List from storage, Listing from storage done, Writing http response done",
        ),
        ("PUT", &one, &map, "Update", writes),
        (
            "PATCH",
            &one,
            &patch,
            "Patch",
            "limitedReadBody succeeded, Recorded the audit event, About to apply patch, \
             About to check admission control, Object stored in database, About to write a response, \
             Writing http response done",
        ),
        (
            "DELETE",
            &one,
            &json!({ "propagationPolicy": "Background" }),
            "Delete",
            "limitedReadBody succeeded, Decoded delete options, Recorded the audit event, \
             About to delete object from database, Object deleted from database, About to write a response, \
             Writing http response done",
        ),
    ];
    for (method, path, body, ..) in &cases {
        let kind = if *method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = http::Request::builder().method(*method).uri(*path);
        let request = request.header("content-type", kind).header("audit-id", "mine");
        let answer = admin
            .send(request.body(kube::client::Body::from(bytes)).unwrap())
            .await;
        let answer = answer.unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {answer:?}");
    }
    drop(admin);
    server.terminate(STOPPING).unwrap();
    let spans = told.spans.lock().unwrap().clone();
    for (method, path, _, verb, want) in cases {
        let of = |span: &&Span| {
            span.name == verb && attribute(span, "audit-id") == "mine" && attribute(span, "url") == path
        };
        let span = spans.iter().find(of).unwrap_or_else(|| panic!("{method} {path}"));
        let events: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(events.join(", "), want, "{method} {path}");
        let mut trace = told.of(&hex::encode(&span.trace_id));
        let written = trace
            .iter()
            .find(|other| other.name == "SerializeObject" && other.parent_span_id == span.span_id);
        let written = written.unwrap_or_else(|| panic!("{method} {path}: {trace:#?}"));
        for (key, value) in [
            ("audit-id", "mine"),
            ("method", method),
            ("url", path),
            ("mediaType", "application/json"),
            ("protocol", "HTTP/1.1"),
        ] {
            assert_eq!(attribute(written, key), value, "{method} {path}");
        }
        let events: Vec<&str> = written.events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(
            events,
            ["About to start writing response", "Write call succeeded"]
        );
        // An administrator's request belongs to the trace of its authentication.
        trace.retain(|span| span.parent_span_id.is_empty());
        let first: Vec<&str> = trace.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(first, ["authentication"], "{method} {path}");
    }
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}
