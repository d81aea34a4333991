//! Ways to nodes and to webhooks that go through a proxy: `--egress-selector-config-file`.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use testkit::api_server::ApiServer;
use testkit::cluster_pki::ClusterPki;
use testkit::etcd::{Etcd, free_ports};
use testkit::exchange;
use testkit::tls_front::TlsFront;
use testkit::webhook::{Answer, WebhookServer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

type Asked = Arc<Mutex<Vec<String>>>;

/// What [`greeting_node`]'s kubelet answers to.
const PROXIED: &str = "/api/v1/nodes/n/proxy/x";

/// Takes CONNECT, notes where to, and connects.
async fn proxy(mut stream: impl AsyncRead + AsyncWrite + Unpin, asked: Asked) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let authority = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
    assert_eq!(
        head,
        format!("CONNECT {authority} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    );
    asked.lock().unwrap().push(authority.to_owned());
    let Ok(mut backend) = TcpStream::connect(authority).await else {
        stream
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            .await
            .unwrap();
        return;
    };
    stream
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await
        .unwrap();
    // Either side may end it.
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut backend).await;
}

/// A server that answers every connection with the same.
async fn greeter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            assert!(stream.read(&mut buffer).await.unwrap() > 0);
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    port
}

/// The answer's code and text.
async fn send(client: &kube::Client, method: &str, path: &str, kind: &str, body: &Value) -> (u16, String) {
    let answer = exchange::send(client, method, path, kind, body).await.unwrap();
    (answer.status.as_u16(), answer.text())
}

/// A node whose kubelet greets.
async fn greeting_node(server: &ApiServer, client: &kube::Client) -> TlsFront {
    let node = json!({"metadata": {"name": "n"}});
    let made = send(client, "POST", "/api/v1/nodes", exchange::JSON, &node).await;
    assert_eq!(made.0, 201, "{}", made.1);
    let kubelet = TlsFront::start(server.pki(), greeter().await).await.unwrap();
    listens_at(client, kubelet.port()).await;
    kubelet
}

/// The node's kubelet is this machine's at `port`.
async fn listens_at(client: &kube::Client, port: u16) {
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }});
    let merge = "application/merge-patch+json";
    let changed = send(client, "PATCH", "/api/v1/nodes/n/status", merge, &status).await;
    assert_eq!(changed.0, 200, "{}", changed.1);
}

/// A proxy on a socket.
fn on_socket(socket: &Path, asked: &Asked) {
    let listener = UnixListener::bind(socket).unwrap();
    let asked = Arc::clone(asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(proxy(stream, Arc::clone(&asked)));
        }
    });
}

/// A server with these ways out.
async fn egressing(folder: &Path, selections: &Value) -> (Etcd, ApiServer, kube::Client) {
    let config = json!({
        "apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration",
        "egressSelections": selections,
    });
    let file = folder.join("egress");
    std::fs::write(&file, config.to_string()).unwrap();
    let flag = format!("--egress-selector-config-file={}", file.display());
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[&flag])
        .await
        .unwrap();
    let client = server.admin().await.unwrap();
    (etcd, server, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_and_webhooks_are_reached_by_their_proxies() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("proxy");
    let (near, far) = (Asked::default(), Asked::default());
    on_socket(&socket, &near);
    let control_plane = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", control_plane.local_addr().unwrap());
    tokio::spawn({
        let far = Arc::clone(&far);
        async move {
            loop {
                let (stream, _) = control_plane.accept().await.unwrap();
                tokio::spawn(proxy(stream, Arc::clone(&far)));
            }
        }
    });
    let (_etcd, server, client) = egressing(
        folder.path(),
        &json!([
            {"name": "cluster", "connection": {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": socket}}}},
            {"name": "controlplane", "connection": {"proxyProtocol": "HTTPConnect", "transport": {"tcp": {"url": url}}}},
            {"name": "etcd", "connection": {"proxyProtocol": "Direct"}},
        ]),
    )
    .await;

    let kubelet = greeting_node(&server, &client).await;
    let answer = send(&client, "GET", PROXIED, exchange::JSON, &Value::Null).await;
    assert_eq!(answer, (200, "hello".to_owned()));
    assert_eq!(*near.lock().unwrap(), [format!("127.0.0.1:{}", kubelet.port())]);
    let unused = free_ports(1).unwrap()[0];
    listens_at(&client, unused).await;
    let refusal = format!(
        "proxy error from {} while dialing 127.0.0.1:{unused}, code 502: 502 Bad Gateway",
        socket.display()
    );
    let (code, why) = send(&client, "GET", PROXIED, exchange::JSON, &Value::Null).await;
    assert!(
        code == 503 && why.contains(&refusal),
        "{code} {why}, not {refusal}"
    );
    let metrics = send(&client, "GET", "/metrics", exchange::JSON, &Value::Null)
        .await
        .1;
    for line in [
        "apiserver_egress_dialer_dial_start_total{protocol=\"http_connect\",transport=\"uds\"} 2",
        "apiserver_egress_dialer_dial_duration_seconds_count{protocol=\"http_connect\",transport=\"uds\"} 1",
        "apiserver_egress_dialer_dial_failure_count{protocol=\"http_connect\",transport=\"uds\",stage=\"proxy\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }

    let pki = ClusterPki::write(folder.path()).unwrap();
    let webhook = WebhookServer::start(&pki, &[], |seen| {
        let uid = &seen.body["request"]["uid"];
        Answer::ok(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": uid, "allowed": false, "status": {"message": "by proxy"}}}))
    })
    .await
    .unwrap();
    let bundle = std::fs::read(pki.file("ca.crt")).unwrap();
    let hook = json!({
        "metadata": {"name": "w"},
        "webhooks": [{
            "name": "w.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": webhook.url("/"), "caBundle": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bundle)},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        }],
    });
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    assert_eq!(
        send(&client, "POST", hooks, "application/json", &hook).await.0,
        201
    );
    let map = json!({"metadata": {"generateName": "m"}});
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let (code, why) = send(
            &client,
            "POST",
            "/api/v1/namespaces/default/configmaps",
            "application/json",
            &map,
        )
        .await;
        if code != 201 {
            assert!(why.contains("by proxy"), "{code} {why}");
            break;
        }
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(*far.lock().unwrap(), [format!("localhost:{}", webhook.port())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_is_reached_by_its_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("proxy");
    let asked = Asked::default();
    on_socket(&socket, &asked);
    let by_socket = json!({"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": socket}}});
    let selections = json!([{"name": "etcd", "connection": by_socket}]);
    let (etcd, _server, client) = egressing(folder.path(), &selections).await;
    let map = json!({"metadata": {"name": "m"}});
    let maps = "/api/v1/namespaces/default/configmaps";
    let made = send(&client, "POST", maps, exchange::JSON, &map).await;
    assert_eq!(made.0, 201, "{}", made.1);
    let asked = asked.lock().unwrap();
    let endpoint = etcd.endpoints()[0].clone();
    assert!(!asked.is_empty());
    assert!(
        asked.iter().all(|authority| endpoint.ends_with(authority)),
        "{asked:?}, not {endpoint}"
    );
}

/// Certificates of a proxy, which takes clients of the same authority only.
fn acceptor(pki: &ClusterPki) -> TlsAcceptor {
    let chain = |file: &str| -> Vec<CertificateDer<'static>> {
        let found = CertificateDer::pem_file_iter(pki.file(file)).unwrap();
        found.map(Result::unwrap).collect()
    };
    let mut roots = rustls::RootCertStore::empty();
    for root in chain("ca.crt") {
        roots.add(root).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(pki.file("proxy.key")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain("proxy.crt"), key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_for_a_proxy_are_read_anew_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let authorities = ["old", "new"].map(|name| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let pki = ClusterPki::write(&folder).unwrap();
        pki.serving("proxy", &["localhost"]).unwrap();
        pki.leaf("way", "kube-apiserver", &[]).unwrap();
        pki
    });
    let used = |name: &str| folder.path().join(name);
    let use_files_of = |pki: &ClusterPki| {
        for (file, name) in [("ca.crt", "ca"), ("way.crt", "certificate"), ("way.key", "key")] {
            // One rename, as whoever rotates certificates does it.
            std::fs::copy(pki.file(file), used("fresh")).unwrap();
            std::fs::rename(used("fresh"), used(name)).unwrap();
        }
    };
    use_files_of(&authorities[0]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let accepting = Arc::new(Mutex::new(acceptor(&authorities[0])));
    let asked = Asked::default();
    tokio::spawn({
        let (accepting, asked) = (Arc::clone(&accepting), Arc::clone(&asked));
        async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = accepting.lock().unwrap().clone();
                let asked = Arc::clone(&asked);
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        proxy(stream, asked).await;
                    }
                });
            }
        }
    });
    let selections = json!([{"name": "cluster", "connection": {"proxyProtocol": "HTTPConnect", "transport": {"tcp": {
        "url": url, "tlsConfig": {"caBundle": used("ca"), "clientCert": used("certificate"), "clientKey": used("key")},
    }}}}]);
    let (_etcd, server, client) = egressing(folder.path(), &selections).await;
    let _kubelet = greeting_node(&server, &client).await;
    let get = async || send(&client, "GET", PROXIED, exchange::JSON, &Value::Null).await;
    assert_eq!(get().await, (200, "hello".to_owned()));

    *accepting.lock().unwrap() = acceptor(&authorities[1]);
    let (code, why) = get().await;
    assert!(code == 503 && why.contains("certificate"), "{code} {why}");
    // A file that is none is told of, and what was there goes on.
    std::fs::write(used("ca"), "nothing").unwrap();
    assert_eq!(get().await.0, 503);
    assert!(server.log().contains("are not taken"));
    use_files_of(&authorities[1]);
    assert_eq!(get().await, (200, "hello".to_owned()));
    assert_eq!(asked.lock().unwrap().len(), 2);
}
