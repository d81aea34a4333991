//! `--max-connection-bytes-per-sec`.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

#[path = "hostile_clients/wire.rs"]
mod wire;

use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use testkit::exchange;
use testkit::tls_front::TlsFront;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wire::{PATIENCE, Target};

const SENT: usize = 30_000;

/// A kubelet that changes the protocol of a connection and then sends much at once; without that, it only sends.
async fn kubelet() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            let upgrades = String::from_utf8_lossy(&head[..read])
                .to_ascii_lowercase()
                .contains("upgrade: own");
            let mut answer = match upgrades {
                true => "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: own\r\n\r\n"
                    .to_owned(),
                false => format!("HTTP/1.1 200 OK\r\ncontent-length: {SENT}\r\nconnection: close\r\n\r\n"),
            };
            answer.push_str(&"x".repeat(SENT));
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    port
}

/// How long all that the kubelet sends takes.
async fn time(target: &Target, headers: &str) -> Duration {
    let mut stream = target.connect(b"http/1.1").await;
    let began = Instant::now();
    let head = format!("GET /api/v1/nodes/n/proxy/x HTTP/1.1\r\nhost: k\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut got, mut block) = (0, vec![0; 4096]);
    while got < SENT {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut block)).await;
        let read = read.unwrap().unwrap();
        assert!(read > 0, "ended after {got} bytes");
        got += block[..read].iter().filter(|byte| **byte == b'x').count();
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_changed_its_protocol_is_no_faster_than_allowed() {
    let etcd = Etcd::start().await.unwrap();
    let flag = "--max-connection-bytes-per-sec=10000";
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[flag])
        .await
        .unwrap();
    let client = server.admin().await.unwrap();
    let kubelet = TlsFront::start(server.pki(), kubelet().await).await.unwrap();
    let send = async |method: &str, path: &str, kind: &str, body: Value| {
        exchange::send(&client, method, path, kind, &body)
            .await
            .unwrap()
            .status
            .as_u16()
    };
    let node = json!({"metadata": {"name": "n"}});
    assert_eq!(send("POST", "/api/v1/nodes", exchange::JSON, node).await, 201);
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port()}},
    }});
    let merge = "application/merge-patch+json";
    assert_eq!(send("PATCH", "/api/v1/nodes/n/status", merge, status).await, 200);
    let target = Target::new(server.pki(), server.port(), "admin");
    let slow = time(&target, "connection: upgrade\r\nupgrade: own\r\n").await;
    // Three seconds without the tenth of a second that goes at once.
    assert!(slow >= Duration::from_millis(2800), "{slow:?}");
    let usual = time(&target, "").await;
    assert!(usual < slow, "{usual:?} of an answer that is no other protocol");
}
