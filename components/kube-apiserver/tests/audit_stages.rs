//! Audit events of what is not answered at once, of callers that nobody knows, and of what a webhook did not take.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

#[path = "hostile_clients/wire.rs"]
mod wire;

use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::cluster_pki::ClusterPki;
use testkit::etcd::Etcd;
use testkit::tls_front::TlsFront;
use testkit::webhook::{Answer, WebhookServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use wire::{PATIENCE, Target};

fn events(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The stages of a request with their codes, once the last one is there.
async fn stages(file: &Path, audit_id: &str, last: &str) -> Vec<(String, u64)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told: Vec<(String, u64)> = events(file)
            .iter()
            .filter(|event| event["auditID"] == audit_id)
            .map(|event| {
                let stage = event["stage"].as_str().unwrap().to_owned();
                (stage, event["responseStatus"]["code"].as_u64().unwrap_or(0))
            })
            .collect();
        if told.iter().any(|(stage, _)| stage == last) {
            return told;
        }
        assert!(Instant::now() < deadline, "{audit_id}: {told:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn stage(name: &str, code: u64) -> (String, u64) {
    (name.to_owned(), code)
}

/// A server that changes to a protocol of its own, and keeps the connection until the other side ends it.
async fn switching() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                assert!(stream.read(&mut buffer).await.unwrap() > 0);
                let answer =
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: own\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    port
}

/// Sends a request's head and gives the answer's beginning.
async fn ask(target: &Target, head: &str) -> (String, TlsStream<TcpStream>) {
    let mut stream = target.connect(b"http/1.1").await;
    stream
        .write_all(format!("{head}\r\nhost: kubernetes\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut buffer = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    (String::from_utf8_lossy(&buffer[..read]).into_owned(), stream)
}

fn post(path: &str, body: &Value) -> http::Request<Vec<u8>> {
    http::Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap()
}

fn patch(path: &str, kind: &str, body: &Value) -> http::Request<Vec<u8>> {
    http::Request::patch(path)
        .header("content-type", kind)
        .body(body.to_string().into_bytes())
        .unwrap()
}

// The webhook answers while the test waits for the server's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stage_is_told_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let pki = ClusterPki::write(folder.path()).unwrap();
    let refusals = AtomicUsize::new(0);
    let webhook = WebhookServer::start(&pki, &[], move |_| {
        let mut answer = Answer::ok(json!({}));
        if refusals.fetch_add(1, Ordering::Relaxed) == 0 {
            answer.code = 400;
        }
        answer
    })
    .await
    .unwrap();
    std::fs::write(folder.path().join("webhook"), webhook.kubeconfig(&pki, "/audit")).unwrap();
    // A field that policies don't have is no reason not to start.
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitManagedFields": true, "comment": "",
        "rules": [{"level": "RequestResponse", "why": ""}],
    });
    std::fs::write(folder.path().join("policy"), policy.to_string()).unwrap();
    let log = folder.path().join("audit.log");
    let etcd = Etcd::start().await.unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let flags = [
        format!("--audit-policy-file={}", file("policy")),
        format!("--audit-log-path={}", file("audit.log")),
        format!("--audit-webhook-config-file={}", file("webhook")),
        "--audit-webhook-batch-max-wait=50ms".to_owned(),
        "--audit-webhook-initial-backoff=10ms".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &flags)
        .await
        .unwrap();
    let client = server.admin().await.unwrap();

    // A connection that changed its protocol is told when it ends.
    let node = json!({"metadata": {"name": "n"}});
    client.request_text(post("/api/v1/nodes", &node)).await.unwrap();
    let kubelet = TlsFront::start(server.pki(), switching().await).await.unwrap();
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port()}},
    }});
    let request = patch("/api/v1/nodes/n/status", "application/merge-patch+json", &status);
    client.request_text(request).await.unwrap();
    let target = Target::new(server.pki(), server.port(), "admin");
    let long = "x".repeat(100);
    let head = format!(
        "GET /api/v1/nodes/n/proxy/x HTTP/1.1\r\nconnection: upgrade\r\nupgrade: own\r\naudit-id: {long}\r\nuser-agent: {}",
        "a".repeat(2000)
    );
    let (answer, stream) = ask(&target, &head).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let begun = [stage("RequestReceived", 0), stage("ResponseStarted", 101)];
    assert_eq!(stages(&log, &long, "ResponseStarted").await, begun);
    drop(stream);
    let all = [&begun[..], &[stage("ResponseComplete", 101)]].concat();
    assert_eq!(stages(&log, &long, "ResponseComplete").await, all);
    let agent = format!("{}...TRUNCATED", "a".repeat(1024));
    assert!(events(&log).iter().any(|event| event["userAgent"] == agent));

    // So is a watch that was refused.
    server.client("jane", &[]).await.unwrap();
    let jane = Target::new(server.pki(), server.port(), "jane");
    let head = "GET /api/v1/secrets?watch=1&timeout=nonsense HTTP/1.1\r\naudit-id: jane";
    let (answer, _stream) = ask(&jane, head).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let expected = [
        stage("RequestReceived", 0),
        stage("ResponseStarted", 403),
        stage("ResponseComplete", 403),
    ];
    assert_eq!(stages(&log, "jane", "ResponseComplete").await, expected);

    // Of somebody whom nobody knows only the refusal is told.
    let head = "GET /api/v1/pods HTTP/1.1\r\naudit-id: nobody\r\nauthorization: Bearer nonsense";
    let (answer, _stream) = ask(&Target::without_certificate(server.pki(), server.port()), head).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let told = stages(&log, "nobody", "ResponseStarted").await;
    assert_eq!(told, [stage("ResponseStarted", 401)]);

    // A patch is told as it is, and says nothing of what the object is.
    let map = json!({"metadata": {"name": "m"}, "data": {"k": "v"}});
    let maps = "/api/v1/namespaces/default/configmaps";
    client.request_text(post(maps, &map)).await.unwrap();
    let steps = json!([{"op": "replace", "path": "/data/k", "value": "w"}]);
    let request = patch(&format!("{maps}/m"), "application/json-patch+json", &steps);
    client.request_text(request).await.unwrap();
    let labels = json!({"metadata": {"labels": {"a": "b"}, "uid": null}});
    let request = patch(&format!("{maps}/m"), "application/merge-patch+json", &labels);
    client.request_text(request).await.unwrap();
    let patches: Vec<Value> = events(&log)
        .into_iter()
        .filter(|event| event["verb"] == "patch" && event["objectRef"]["resource"] == "configmaps")
        .filter(|event| event["stage"] == "ResponseComplete")
        .collect();
    assert_eq!(patches.len(), 2);
    assert_eq!(patches[0]["requestURI"], format!("{maps}/m"));
    assert_eq!(
        (&patches[0]["requestObject"], &patches[1]["requestObject"]),
        (&steps, &labels)
    );
    let table = http::Request::get(maps)
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .unwrap();
    client.request_text(table).await.unwrap();
    let told = events(&log);
    let table = told
        .iter()
        .rfind(|event| event["responseObject"]["kind"] == "Table")
        .unwrap();
    let row = &table["responseObject"]["rows"][0]["object"];
    assert_eq!(row["kind"], "PartialObjectMetadata");
    assert!(row["metadata"].get("managedFields").is_none());

    let metrics = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let metrics = client.request_text(metrics).await.unwrap();
    assert!(metrics.contains("apiserver_audit_level_total{level=\"RequestResponse\"}"));

    drop(client);
    server.terminate(PATIENCE).unwrap();
    let sent: usize = webhook
        .seen()
        .iter()
        .skip(1)
        .map(|seen| seen.body["items"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!(sent, events(&log).len());
}
