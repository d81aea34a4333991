//! The webhook client against real TLS servers.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use bytes::Bytes;
use kube_apiserver::webhook::{CallError, Clients, Credentials, Endpoint, Place};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::cluster_pki::ClusterPki;
use testkit::webhook::{Answer, WebhookServer};

struct Bench {
    _directory: tempfile::TempDir,
    pki: ClusterPki,
    clients: Clients,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pki = ClusterPki::write(directory.path()).unwrap();
        Self {
            _directory: directory,
            pki,
            clients: Clients::new(None),
        }
    }

    fn endpoint(&self, url: &str) -> Endpoint {
        let bundle = std::fs::read(self.pki.file("ca.crt")).unwrap();
        self.clients
            .endpoint(Place::at(url).unwrap(), &bundle, Arc::default())
            .unwrap()
    }
}

async fn post(endpoint: &Endpoint, timeout: Duration) -> Result<Bytes, CallError> {
    endpoint.post(Bytes::from_static(b"{\"a\":1}"), timeout).await
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn connections_are_reused_and_speak_http_2() {
    let bench = Bench::new();
    let server = WebhookServer::start(&bench.pki, &[], |_| Answer::ok(json!({"x": 1})))
        .await
        .unwrap();
    let endpoint = bench.endpoint(&server.url("/p"));
    assert_eq!(post(&endpoint, LONG).await.unwrap(), "{\"x\":1}");
    let calls = (0..20).map(|_| {
        // A second endpoint of the same configuration shares the connection.
        let endpoint = bench.endpoint(&server.url("/q"));
        async move { post(&endpoint, LONG).await }
    });
    futures::future::try_join_all(calls).await.unwrap();
    assert_eq!(server.connections(), 1);
    let seen = server.seen();
    assert_eq!(seen.len(), 21);
    assert!(
        seen.iter()
            .all(|request| request.http2 && request.query == "timeout=10s")
    );
    assert_eq!(seen[0].body, json!({"a": 1}));
}

#[tokio::test]
async fn strangers_are_not_believed() {
    let (bench, other) = (Bench::new(), Bench::new());
    let server = WebhookServer::start(&other.pki, &[], |_| Answer::ok(json!({})))
        .await
        .unwrap();
    let refused = post(&bench.endpoint(&server.url("/")), LONG).await.unwrap_err();
    let url = server.url("/?timeout=10s");
    assert_eq!(
        refused.to_string(),
        format!(
            "Post {url:?}: tls: failed to verify certificate: x509: certificate signed by unknown authority"
        )
    );
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_certificate_in_the_bundle_is_believed_for_its_names_only() {
    let bench = Bench::new();
    let server = WebhookServer::start(&bench.pki, &["other.example"], |_| Answer::ok(json!({})))
        .await
        .unwrap();
    let leaf = std::fs::read(bench.pki.file(&format!("webhook-{}.crt", server.port()))).unwrap();
    let place = Place::at(&server.url("/")).unwrap();
    let endpoint = bench
        .clients
        .endpoint(place.clone(), &leaf, Arc::default())
        .unwrap();
    post(&endpoint, LONG).await.unwrap();
    let named = |name: &str| {
        let credentials = Credentials::default().expecting(name);
        bench
            .clients
            .endpoint(place.clone(), &leaf, Arc::new(credentials))
            .unwrap()
    };
    post(&named("other.example"), LONG).await.unwrap();
    let refused = post(&named("third.example"), LONG).await.unwrap_err().to_string();
    assert!(refused.contains("not third.example"), "{refused}");
}

#[tokio::test]
async fn slow_answers_redirects_and_failures() {
    let bench = Bench::new();
    let server = WebhookServer::start(&bench.pki, &[], |request| match request.path.as_str() {
        "/slow" => Answer {
            after: Duration::from_secs(60),
            ..Answer::ok(json!({}))
        },
        "/redirect" => Answer {
            code: 307,
            location: Some("/elsewhere".to_owned()),
            ..Answer::ok(json!({}))
        },
        _ => Answer {
            code: 409,
            ..Answer::ok(
                json!({"kind": "Status", "status": "Failure", "message": "m", "reason": "Conflict", "code": 409}),
            )
        },
    })
    .await
    .unwrap();
    let started = Instant::now();
    let late = post(&bench.endpoint(&server.url("/slow")), Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(20));
    let url = server.url("/slow?timeout=1s");
    assert_eq!(
        late.to_string(),
        format!("Post {url:?}: context deadline exceeded")
    );
    let redirected = post(&bench.endpoint(&server.url("/redirect")), LONG)
        .await
        .unwrap_err();
    assert_eq!(redirected.code(), 307);
    assert!(server.seen().iter().all(|request| request.path != "/elsewhere"));
    let told = post(&bench.endpoint(&server.url("/status")), LONG)
        .await
        .unwrap_err();
    assert_eq!((told.code(), told.to_string().as_str()), (409, "m"));
}
