//! A server that stops leaves nobody standing: behind a balancer no request is refused, and watches end in turn.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

#[path = "hostile_clients/wire.rs"]
mod wire;

use futures::StreamExt;
use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, WatchParams};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");

async fn get(client: &kube::Client, path: &str) -> Result<StatusCode, String> {
    let request = http::Request::get(path)
        .body(kube::client::Body::empty())
        .unwrap();
    let answer = client.send(request).await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    answer
        .into_body()
        .collect_bytes()
        .await
        .map_err(|error| format!("{error:?}"))?;
    Ok(status)
}

/// Two servers and what a balancer knows of them.
struct Balancer {
    clients: [kube::Client; 2],
    ready: [AtomicBool; 2],
    turn: AtomicUsize,
}

impl Balancer {
    /// Probes as balancers do, until aborted.
    async fn probe(self: Arc<Self>) {
        loop {
            for (client, ready) in self.clients.iter().zip(&self.ready) {
                let probe = tokio::time::timeout(Duration::from_secs(1), get(client, "/readyz"));
                ready.store(matches!(probe.await, Ok(Ok(StatusCode::OK))), SeqCst);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn pick(&self) -> &kube::Client {
        let turn = self.turn.fetch_add(1, SeqCst);
        let other = usize::from(!self.ready[turn % 2].load(SeqCst));
        &self.clients[(turn + other) % 2]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_refused_while_one_of_two_servers_stops() {
    let etcd = Etcd::start().await.unwrap();
    let flags = ["--shutdown-delay-duration=3s"];
    let mut first = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let second = ApiServer::start(Path::new(BINARY), &etcd, &["--advertise-address=192.0.2.3"])
        .await
        .unwrap();
    let balancer = Arc::new(Balancer {
        clients: [first.admin().await.unwrap(), second.admin().await.unwrap()],
        ready: [AtomicBool::new(true), AtomicBool::new(true)],
        turn: AtomicUsize::new(0),
    });
    let probing = tokio::spawn(Arc::clone(&balancer).probe());
    let stop = Arc::new(AtomicBool::new(false));
    let loops: Vec<_> = (0..4)
        .map(|number| {
            let (balancer, stop) = (Arc::clone(&balancer), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut answered = 0usize;
                let mut refused = Vec::new();
                while !stop.load(SeqCst) {
                    let path = if number % 2 == 0 {
                        "/api/v1/namespaces/default"
                    } else {
                        "/api/v1/namespaces"
                    };
                    match get(balancer.pick(), path).await {
                        Ok(StatusCode::OK) => answered += 1,
                        other => refused.push(format!("{other:?}")),
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                (answered, refused)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stopping = tokio::task::spawn_blocking(move || {
        first.terminate(Duration::from_secs(60)).unwrap();
        first
    });
    let _first = stopping.await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, SeqCst);
    let mut total = 0;
    for task in loops {
        let (answered, refused) = task.await.unwrap();
        assert!(refused.is_empty(), "{refused:?} of {answered}");
        total += answered;
    }
    assert!(total > 100, "{total}");
    probing.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_end_spread_out_and_late_requests_are_told_to_come_back() {
    let etcd = Etcd::start().await.unwrap();
    let flags = [
        "--shutdown-watch-termination-grace-period=3s",
        "--shutdown-delay-duration=5s",
        "--shutdown-send-retry-after=true",
    ];
    let mut server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await.unwrap(), "kube-system");
    let mut watches = Vec::new();
    for _ in 0..30 {
        let mut watch = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
        assert!(watch.next().await.unwrap().is_ok());
        watches.push(watch);
    }
    let probing = server.admin().await.unwrap();
    let pid = server.pid().unwrap().to_string();
    let signalled = Instant::now();
    assert!(
        std::process::Command::new("kill")
            .arg(&pid)
            .status()
            .unwrap()
            .success()
    );
    // Readiness goes at once, liveness stays; other requests are still answered.
    let mut unready = None;
    while unready.is_none() {
        assert!(signalled.elapsed() < Duration::from_secs(4), "still ready");
        if get(&probing, "/readyz").await == Ok(StatusCode::INTERNAL_SERVER_ERROR) {
            unready = Some(signalled.elapsed());
        }
    }
    assert_eq!(get(&probing, "/livez").await, Ok(StatusCode::OK));
    assert_eq!(get(&probing, "/api/v1/namespaces").await, Ok(StatusCode::OK));
    let ends = watches.into_iter().map(|mut watch| async move {
        while let Some(Ok(_)) = watch.next().await {}
        signalled.elapsed()
    });
    let mut ends: Vec<Duration> = futures::future::join_all(ends).await;
    ends.sort();
    let (first, last) = (ends[0], ends[ends.len() - 1]);
    assert!(first >= Duration::from_secs(5), "{first:?}");
    assert!(last - first > Duration::from_millis(1500), "{ends:?}");
    server.terminate(Duration::from_secs(60)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_made_before_the_end_is_answered_once() {
    let etcd = Etcd::start().await.unwrap();
    let mut server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    server.kubeconfig("admin", &["system:masters"]).unwrap();
    let target = wire::Target::new(server.pki(), server.port(), "admin");
    let (shaking, silent) = (target.dial().await, target.connect(b"http/1.1").await);
    let mut asking = target.connect(b"http/1.1").await;
    let mut framed = target.connect(b"h2").await;
    let pid = server.pid().unwrap().to_string();
    let killed = std::process::Command::new("kill").arg(&pid).status().unwrap();
    assert!(killed.success());
    // The listener is closed with the beginning of the end.
    let closed = async { while TcpStream::connect(("127.0.0.1", server.port())).await.is_ok() {} };
    tokio::time::timeout(wire::PATIENCE, closed).await.unwrap();
    let request = b"GET /api/v1/namespaces/default HTTP/1.1\r\nhost: x\r\n\r\n";
    asking.write_all(request).await.unwrap();
    assert_answered_and_ended(&mut asking).await;
    let mut shaken = target.shake(shaking, b"http/1.1").await;
    shaken.write_all(request).await.unwrap();
    assert_answered_and_ended(&mut shaken).await;
    // HTTP/2 is told to go, in its own words, not just cut off.
    framed.write_all(PREFACE).await.unwrap();
    let mut said = Vec::new();
    while !frames(&said).any(|kind| kind == GOAWAY) {
        let read = framed.read_buf(&mut said).await.unwrap();
        assert!(read > 0, "{:?}", frames(&said).collect::<Vec<_>>());
    }
    drop(framed);
    // Who says nothing is not waited for.
    server.terminate(Duration::from_secs(20)).unwrap();
    drop(silent);
}

/// The client's preface and empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const GOAWAY: u8 = 7;

/// The types of HTTP/2 frames.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        bytes = rest.get(length..)?;
        Some(head[3])
    })
}

async fn assert_answered_and_ended(stream: &mut (impl AsyncRead + Unpin)) {
    let mut text = Vec::new();
    let reading = stream.read_to_end(&mut text);
    // An end without a close_notify is an end too.
    let _ = tokio::time::timeout(wire::PATIENCE, reading).await.unwrap();
    let text = String::from_utf8_lossy(&text).to_lowercase();
    assert!(text.starts_with("http/1.1 200 "), "{text}");
    assert!(text.contains("connection: close"), "{text}");
}

fn signal(server: &ApiServer) {
    let pid = server.pid().unwrap().to_string();
    let sent = std::process::Command::new("kill").arg(pid).status().unwrap();
    assert!(sent.success());
}

/// Who asks twice doesn't wait for the end of what runs.
#[tokio::test]
async fn a_second_signal_ends_the_server_at_once() {
    let etcd = Etcd::start().await.unwrap();
    let mut server = ApiServer::start(Path::new(BINARY), &etcd, &["--shutdown-delay-duration=10m"])
        .await
        .unwrap();
    let admin = server.admin().await.unwrap();
    signal(&server);
    testkit::eventually(Duration::from_secs(10), "the server is stopping", async || {
        let ready = get(&admin, "/readyz").await;
        (ready != Ok(StatusCode::INTERNAL_SERVER_ERROR)).then(|| format!("{ready:?}"))
    })
    .await;
    server.terminate(Duration::from_secs(10)).unwrap();
}

/// Nobody's connection is refused before the watches have ended, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_watches_end_is_told_to_come_back() {
    let etcd = Etcd::start().await.unwrap();
    let flags = [
        "--shutdown-watch-termination-grace-period=8s",
        "--shutdown-send-retry-after=true",
    ];
    let mut server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await.unwrap(), "kube-system");
    let mut watches = Vec::new();
    for _ in 0..20 {
        let mut watch = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
        assert!(watch.next().await.unwrap().is_ok());
        watches.push(watch);
    }
    signal(&server);
    // The first watch that ends says that the others are about to.
    let first = watches
        .iter_mut()
        .map(|watch| Box::pin(async move { while let Some(Ok(_)) = watch.next().await {} }));
    futures::future::select_all(first).await;
    let late = server.admin().await.unwrap();
    assert_eq!(
        get(&late, "/api/v1/namespaces").await,
        Ok(StatusCode::TOO_MANY_REQUESTS)
    );
    drop(watches);
    server.terminate(Duration::from_secs(60)).unwrap();
}
