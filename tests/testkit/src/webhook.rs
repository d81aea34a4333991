//! A webhook over real TLS on a free port of loopback.

use crate::cluster_pki::ClusterPki;
use crate::tls_front;
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the webhook answers.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
    /// Instead of `body`.
    pub text: Option<String>,
    pub location: Option<String>,
    /// How long the caller waits for it.
    pub after: Duration,
}

impl Answer {
    pub fn ok(body: Value) -> Self {
        Self {
            code: 200,
            body,
            text: None,
            location: None,
            after: Duration::ZERO,
        }
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub query: String,
    pub authorization: String,
    /// Which span of the caller's it belongs to.
    pub traceparent: String,
    pub http2: bool,
    pub body: Value,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
}

/// A running webhook; it ends when dropped.
pub struct WebhookServer {
    port: u16,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl WebhookServer {
    /// Answers with `answer`. The certificate is the authority's, good for `localhost`, loopback and `names`.
    pub async fn start(
        pki: &ClusterPki,
        names: &[&str],
        answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("webhook")?;
        let port = listener.local_addr().context("webhook")?.port();
        let leaf = format!("webhook-{port}");
        let acceptor = tls_front::acceptor(pki, &leaf, names, &[b"h2", b"http/1.1"])?;
        let state = Arc::new(State::default());
        let task = tokio::spawn(serve(listener, acceptor, Arc::clone(&state), Arc::new(answer)));
        Ok(Self { port, state, task })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// A kubeconfig of a server that asks this webhook at `path`.
    pub fn kubeconfig(&self, pki: &ClusterPki, path: &str) -> String {
        json!({
            "clusters": [{"name": "c", "cluster": {"server": self.url(path), "certificate-authority": pki.file("ca.crt")}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        })
        .to_string()
    }

    /// Connections taken so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Requests so far, in order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.state
            .seen
            .lock()
            .map(|seen| seen.clone())
            .unwrap_or_default()
    }
}

impl Drop for WebhookServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    state: Arc<State>,
    answer: Arc<dyn Fn(&Seen) -> Answer + Send + Sync>,
) {
    // Owns the connections: they end with the server.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, state, answer) = (acceptor.clone(), Arc::clone(&state), Arc::clone(&answer));
        state.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(tcp).await else {
                return;
            };
            let service = service_fn(move |request| handle(request, Arc::clone(&state), Arc::clone(&answer)));
            // A client that leaves is no failure of the webhook.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn handle(
    request: http::Request<hyper::body::Incoming>,
    state: Arc<State>,
    answer: Arc<dyn Fn(&Seen) -> Answer + Send + Sync>,
) -> Result<http::Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let seen = Seen {
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or("").to_owned(),
        authorization: header("authorization"),
        traceparent: header("traceparent"),
        http2: parts.version == http::Version::HTTP_2,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let answer = answer(&seen);
    if let Ok(mut all) = state.seen.lock() {
        all.push(seen);
    }
    // A sleep of no time would last until the timer's next millisecond.
    if !answer.after.is_zero() {
        tokio::time::sleep(answer.after).await;
    }
    let mut response = http::Response::builder()
        .status(answer.code)
        .header("content-type", "application/json");
    if let Some(location) = answer.location {
        response = response.header("location", location);
    }
    let body = answer.text.unwrap_or_else(|| answer.body.to_string());
    Ok(response.body(Full::new(body.into()))?)
}
