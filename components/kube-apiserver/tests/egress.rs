//! Ways to nodes and to webhooks that go through a proxy: `--egress-selector-config-file`.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use testkit::api_server::ApiServer;
use testkit::cluster_pki::ClusterPki;
use testkit::etcd::{Etcd, free_ports};
use testkit::tls_front::TlsFront;
use testkit::webhook::{Answer, WebhookServer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

type Asked = Arc<Mutex<Vec<String>>>;

/// Takes CONNECT, notes where to, and connects.
async fn proxy(mut stream: impl AsyncRead + AsyncWrite + Unpin, asked: Asked) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let authority = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
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

async fn send(client: &kube::Client, method: &str, path: &str, kind: &str, body: &Value) -> (u16, String) {
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", kind)
        .body(body)
        .unwrap();
    match client.request_text(request).await {
        Ok(text) => (200, text),
        Err(kube::Error::Api(status)) => (status.code, status.message),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_and_webhooks_are_reached_by_their_proxies() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("proxy");
    let (near, far) = (Asked::default(), Asked::default());
    let cluster = UnixListener::bind(&socket).unwrap();
    let control_plane = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", control_plane.local_addr().unwrap());
    tokio::spawn({
        let near = Arc::clone(&near);
        async move {
            loop {
                let (stream, _) = cluster.accept().await.unwrap();
                tokio::spawn(proxy(stream, Arc::clone(&near)));
            }
        }
    });
    tokio::spawn({
        let far = Arc::clone(&far);
        async move {
            loop {
                let (stream, _) = control_plane.accept().await.unwrap();
                tokio::spawn(proxy(stream, Arc::clone(&far)));
            }
        }
    });
    let config = json!({
        "apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration",
        "egressSelections": [
            {"name": "cluster", "connection": {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": socket}}}},
            {"name": "controlplane", "connection": {"proxyProtocol": "HTTPConnect", "transport": {"tcp": {"url": url}}}},
            {"name": "etcd", "connection": {"proxyProtocol": "Direct"}},
        ],
    });
    let file = folder.path().join("egress");
    std::fs::write(&file, config.to_string()).unwrap();
    let flag = format!("--egress-selector-config-file={}", file.display());
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[&flag])
        .await
        .unwrap();
    let client = server.admin().await.unwrap();

    let node = json!({"metadata": {"name": "n"}});
    assert_eq!(
        send(&client, "POST", "/api/v1/nodes", "application/json", &node)
            .await
            .0,
        200
    );
    let merge = "application/merge-patch+json";
    let listens_at = async |port: u16| {
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }});
        let answer = send(&client, "PATCH", "/api/v1/nodes/n/status", merge, &status).await;
        assert_eq!(answer.0, 200);
    };
    let kubelet = TlsFront::start(server.pki(), greeter().await).await.unwrap();
    listens_at(kubelet.port()).await;
    let path = "/api/v1/nodes/n/proxy/x";
    let answer = send(&client, "GET", path, "application/json", &Value::Null).await;
    assert_eq!(answer, (200, "hello".to_owned()));
    assert_eq!(*near.lock().unwrap(), [format!("127.0.0.1:{}", kubelet.port())]);
    listens_at(free_ports(1).unwrap()[0]).await;
    let (code, why) = send(&client, "GET", path, "application/json", &Value::Null).await;
    assert!(
        code == 503 && why.contains("would not connect to 127.0.0.1"),
        "{code} {why}"
    );

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
        200
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
        if code != 200 {
            assert!(why.contains("by proxy"), "{code} {why}");
            break;
        }
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(*far.lock().unwrap(), [format!("localhost:{}", webhook.port())]);
}
