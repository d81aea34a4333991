//! The webhook client against real TLS servers.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use bytes::Bytes;
use kube_apiserver::webhook::{CallError, Clients, Credentials, Endpoint, Identities, Kubeconfig, Place};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::cluster_pki::ClusterPki;
use testkit::webhook::{Answer, WebhookServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
    // The authorities have the same name, so that one is tried.
    let url = server.url("/?timeout=10s");
    assert_eq!(
        refused.to_string(),
        format!(
            "Post {url:?}: tls: failed to verify certificate: x509: certificate signed by unknown authority \
             (possibly because of \"x509: ECDSA verification failure\" while trying to verify candidate authority \
             certificate \"test-ca\")"
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
async fn slow_answers_and_failures() {
    let bench = Bench::new();
    let server = WebhookServer::start(&bench.pki, &[], |request| match request.path.as_str() {
        "/slow" => Answer {
            after: Duration::from_secs(60),
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
    let told = post(&bench.endpoint(&server.url("/status")), LONG)
        .await
        .unwrap_err();
    assert_eq!((told.code(), told.to_string().as_str()), (409, "m"));
}

#[tokio::test]
async fn redirects_are_followed_but_credentials_stay() {
    let bench = Bench::new();
    let other = WebhookServer::start(&bench.pki, &[], |_| Answer::ok(json!({"other": true})))
        .await
        .unwrap();
    let (elsewhere, plain) = (other.url("/there"), "http://localhost/".to_owned());
    let server = WebhookServer::start(&bench.pki, &[], move |request| {
        let onward = |code, location: &str| Answer {
            code,
            location: Some(location.to_owned()),
            ..Answer::ok(json!({}))
        };
        match request.path.as_str() {
            "/307" => onward(307, "308?x=y"),
            "/308" => onward(308, "/end"),
            "/302" => onward(302, "/end"),
            "/round" => onward(307, "/round"),
            "/away" => onward(307, &elsewhere),
            "/plain" => onward(307, &plain),
            "/nowhere" => Answer {
                code: 307,
                ..Answer::ok(json!({}))
            },
            _ => Answer::ok(json!({"end": true})),
        }
    })
    .await
    .unwrap();
    let bundle = std::fs::read(bench.pki.file("ca.crt")).unwrap();
    let users = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(users.path(), "users: [{name: '*', user: {token: secret}}]").unwrap();
    let identities = Identities::load(users.path()).unwrap();
    let call = async |path: &str| {
        let place = Place::at(&server.url(path)).unwrap();
        let endpoint = {
            let credentials = identities.of(&place.authority());
            bench.clients.endpoint(place, &bundle, credentials)
        };
        post(&endpoint.unwrap(), LONG).await
    };
    let end = "{\"end\":true}";
    assert_eq!(call("/307").await.unwrap(), end);
    let seen = server.seen();
    let told: Vec<(&str, &str)> = seen.iter().map(|seen| (&*seen.path, &*seen.query)).collect();
    assert_eq!(told, [("/307", "timeout=10s"), ("/308", "x=y"), ("/end", "")]);
    assert!(
        seen.iter()
            .all(|seen| seen.body == json!({"a": 1}) && seen.authorization == "Bearer secret")
    );
    assert_eq!(call("/302").await.unwrap(), end);
    assert_eq!(server.seen().last().unwrap().body, json!(null), "a GET has none");
    assert_eq!(call("/away").await.unwrap(), "{\"other\":true}");
    let seen = &other.seen()[0];
    assert_eq!((&seen.body, seen.authorization.as_str()), (&json!({"a": 1}), ""));
    let before = server.seen().len();
    let round = call("/round").await.unwrap_err().to_string();
    let url = server.url("/round");
    assert_eq!(round, format!("Post {url:?}: stopped after 10 redirects"));
    assert_eq!(server.seen().len() - before, 10);
    assert_eq!(call("/nowhere").await.unwrap_err().code(), 307);
    let refused = call("/plain").await.unwrap_err().to_string();
    assert!(
        refused.ends_with("a redirect from https to \"http://localhost/\" is not followed"),
        "{refused}"
    );
}

/// TLS settings of a server with `NAME.crt` and `NAME.key`.
fn settings(pki: &ClusterPki, name: &str) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_file_iter(pki.file(&format!("{name}.crt"))).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(pki.file(&format!("{name}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(tls))
}

/// TLS with a certificate that names the server in its subject only; gives the port.
async fn nameless(pki: &ClusterPki) -> (u16, tokio::task::JoinHandle<()>) {
    pki.nameless("nameless", "localhost").unwrap();
    let acceptor = settings(pki, "nameless");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            // The client goes away.
            let _ = acceptor.accept(tcp).await;
        }
    });
    (port, task)
}

/// As Python's `http.server` does it: no length, and the end of TCP is the end of the answer.
#[tokio::test]
async fn an_end_without_close_notify_is_the_end_of_an_answer() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let bench = Bench::new();
    let acceptor = settings(&bench.pki, "apiserver");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(tcp).await.unwrap();
        let mut asked = [0; 4096];
        assert!(stream.read(&mut asked).await.unwrap() > 0);
        stream
            .write_all(b"HTTP/1.0 200 OK\r\n\r\n{\"x\": 1}")
            .await
            .unwrap();
        stream.flush().await.unwrap();
        stream.get_mut().0.shutdown().await.unwrap();
    };
    let endpoint = bench.endpoint(&format!("https://localhost:{port}/"));
    let (answer, ()) = tokio::join!(post(&endpoint, LONG), serving);
    assert_eq!(answer.unwrap(), "{\"x\": 1}");
}

#[tokio::test]
async fn calls_are_counted_by_host_and_so_are_certificates_without_names() {
    let bench = Bench::new();
    let (port, task) = nameless(&bench.pki).await;
    let refused = post(&bench.endpoint(&format!("https://localhost:{port}/")), LONG)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("relies on legacy Common Name field, use SANs instead"),
        "{refused}"
    );
    task.abort();
    let server = WebhookServer::start(&bench.pki, &[], |_| Answer::ok(json!({"x": 1})))
        .await
        .unwrap();
    let endpoint = bench.endpoint(&server.url("/"));
    for _ in 0..2 {
        post(&endpoint, LONG).await.unwrap();
    }
    let mut registry = prometheus_client::registry::Registry::default();
    kube_apiserver::webhook::register_weaknesses(&mut registry);
    kube_apiserver::metrics::clients::register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let at = server.url("");
    let at = at.strip_prefix("https://").unwrap();
    for line in [
        "apiserver_webhooks_x509_missing_san_total 1".to_owned(),
        "apiserver_webhooks_x509_insecure_sha1_total 0".to_owned(),
        format!("rest_client_requests_total{{code=\"<error>\",host=\"localhost:{port}\",method=\"POST\"}} 1"),
        format!("rest_client_requests_total{{code=\"200\",host=\"{at}\",method=\"POST\"}} 2"),
        format!("rest_client_request_size_bytes_bucket{{le=\"64.0\",host=\"{at}\",verb=\"POST\"}} 2"),
        format!("rest_client_request_size_bytes_sum{{host=\"{at}\",verb=\"POST\"}} 14.0"),
        format!("rest_client_response_size_bytes_sum{{host=\"{at}\",verb=\"POST\"}} 14.0"),
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
}

#[tokio::test]
async fn a_kubeconfig_may_name_a_proxy() {
    let bench = Bench::new();
    let server = WebhookServer::start(&bench.pki, &[], |_| Answer::ok(json!({})))
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let authority = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
        let mut backend = TcpStream::connect(authority).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut backend).await });
        authority.to_owned()
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kubeconfig");
    let config = server
        .kubeconfig(&bench.pki, "/p")
        .replace(
            "\"server\":",
            &format!("\"proxy-url\":\"http://127.0.0.1:{port}\",\"server\":"),
        )
        .replace("\"user\":{}", "\"user\":{\"token\":\"t\"}");
    std::fs::write(&file, config).unwrap();
    let config = Kubeconfig::load(&file).unwrap();
    let place = Place::at(&config.server).unwrap();
    let endpoint = bench
        .clients
        .endpoint(place, &config.bundle, config.credentials)
        .unwrap();
    assert_eq!(post(&endpoint, LONG).await.unwrap(), "{}");
    assert_eq!(proxy.await.unwrap(), format!("localhost:{}", server.port()));
    assert_eq!(server.seen()[0].authorization, "Bearer t");
}
