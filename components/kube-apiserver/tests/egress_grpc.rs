//! Ways to nodes through a proxy that speaks konnectivity's gRPC protocol.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

#[path = "hostile_clients/wire.rs"]
mod wire;

use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::etcd::{Etcd, free_ports};
use testkit::exchange;
use testkit::tls_front::TlsFront;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};
use wire::{PATIENCE, Target};

/// Much more than all buffers on the way.
const MUCH: usize = 96 << 20;
const CONNECTION: i64 = 7;
const PROXIED: &str = "/api/v1/nodes/n/proxy/x";

#[derive(Clone, PartialEq, prost::Message)]
struct Packet {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(message, optional, tag = "2")]
    dial_request: Option<DialRequest>,
    #[prost(message, optional, tag = "3")]
    dial_response: Option<Answer>,
    #[prost(message, optional, tag = "4")]
    data: Option<Data>,
    #[prost(message, optional, tag = "5")]
    close_request: Option<CloseRequest>,
    #[prost(message, optional, tag = "6")]
    close_response: Option<Answer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DialRequest {
    #[prost(string, tag = "1")]
    protocol: String,
    #[prost(string, tag = "2")]
    address: String,
    #[prost(int64, tag = "3")]
    random: i64,
}

/// To a dial and to a close, which has no number of its own.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(string, tag = "1")]
    error: String,
    #[prost(int64, tag = "2")]
    connection: i64,
    #[prost(int64, tag = "3")]
    random: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Data {
    #[prost(int64, tag = "1")]
    connection: i64,
    #[prost(bytes = "vec", tag = "3")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CloseRequest {
    #[prost(int64, tag = "1")]
    connection: i64,
}

#[derive(Default)]
struct Seen {
    dialled: Vec<String>,
    /// Connections whose end was asked for.
    closed: usize,
    open: usize,
    /// Bytes that have left for the API server.
    sent: usize,
}

type Shared = Arc<Mutex<Seen>>;

fn answer(kind: i32, error: String, random: i64) -> Packet {
    let answer = Some(Answer {
        error,
        connection: CONNECTION,
        random,
    });
    match kind {
        1 => Packet {
            kind,
            dial_response: answer,
            ..Packet::default()
        },
        _ => Packet {
            kind,
            close_response: answer,
            ..Packet::default()
        },
    }
}

/// As a server in Go it answers with its first packet, not before.
async fn tunnel(
    request: Request<Streaming<Packet>>,
    seen: Shared,
) -> Result<Response<impl futures::Stream<Item = Result<Packet, Status>> + Send + 'static>, Status> {
    let mut come = request.into_inner();
    let first = come.message().await?.unwrap();
    let dial = first.dial_request.unwrap();
    assert_eq!((first.kind, dial.protocol.as_str()), (0, "tcp"));
    seen.lock().unwrap().dialled.push(dial.address.clone());
    let (out, mut answers) = mpsc::channel(1);
    match TcpStream::connect(&dial.address).await {
        Ok(backend) => {
            out.send(Ok(answer(1, String::new(), dial.random))).await.unwrap();
            seen.lock().unwrap().open += 1;
            tokio::spawn(async move {
                let (read, mut write) = backend.into_split();
                let there = async {
                    while let Ok(Some(packet)) = come.message().await {
                        if let Some(data) = packet.data {
                            assert_eq!((packet.kind, data.connection), (4, CONNECTION));
                            write.write_all(&data.data).await.unwrap();
                        } else if let Some(close) = packet.close_request {
                            assert_eq!((packet.kind, close.connection), (2, CONNECTION));
                            seen.lock().unwrap().closed += 1;
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = there => {}
                    () = back(read, &out, &seen) => {}
                }
                // The other side may have gone.
                let _ = out.send(Ok(answer(3, String::new(), 0))).await;
                seen.lock().unwrap().open -= 1;
            });
        }
        Err(_) => {
            let error = format!("dial tcp {}: connect: connection refused", dial.address);
            out.send(Ok(answer(1, error, dial.random))).await.unwrap();
        }
    }
    Ok(Response::new(futures::stream::poll_fn(move |context| {
        answers.poll_recv(context)
    })))
}

async fn back(mut read: impl AsyncRead + Unpin, out: &mpsc::Sender<Result<Packet, Status>>, seen: &Shared) {
    let mut block = vec![0; 16 << 10];
    while let Ok(length @ 1..) = read.read(&mut block).await {
        let packet = Packet {
            kind: 4,
            data: Some(Data {
                connection: CONNECTION,
                data: block[..length].to_vec(),
            }),
            ..Packet::default()
        };
        if out.send(Ok(packet)).await.is_err() {
            return;
        }
        seen.lock().unwrap().sent += length;
    }
}

fn proxy(listener: UnixListener) -> Shared {
    let seen = Shared::default();
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let seen = Arc::clone(&shared);
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                assert_eq!(request.uri().path(), "/ProxyService/Proxy");
                let seen = Arc::clone(&seen);
                async move {
                    let codec = tonic_prost::ProstCodec::<Packet, Packet>::default();
                    let tunnel = tower::service_fn(move |request| tunnel(request, Arc::clone(&seen)));
                    let mut grpc = tonic::server::Grpc::new(codec);
                    Ok::<_, Infallible>(grpc.streaming(tunnel, request).await)
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    seen
}

/// Greets and then never closes by itself. Says what it got after a change of protocol, a line, or much if it was asked to, and then nothing until the other side ends.
async fn kubelet() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let head = head(&mut stream).await;
                if !head.contains("upgrade: own") {
                    let hello = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
                    stream.write_all(hello.as_bytes()).await.unwrap();
                    std::future::pending::<()>().await;
                }
                let switch =
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: own\r\n\r\n";
                stream.write_all(switch.as_bytes()).await.unwrap();
                let mut line = [0; 4];
                while stream.read_exact(&mut line).await.is_ok() {
                    match &line {
                        b"much" => stream.write_all(&vec![b'm'; MUCH]).await.unwrap(),
                        b"end!" => return,
                        echo => stream.write_all(echo).await.unwrap(),
                    }
                }
            });
        }
    });
    port
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

/// Waits until `is` holds.
async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

struct Started {
    _etcd: Etcd,
    _folder: tempfile::TempDir,
    _kubelet: TlsFront,
    server: ApiServer,
    client: kube::Client,
    seen: Shared,
    port: u16,
}

impl Started {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("proxy");
        let seen = proxy(UnixListener::bind(&socket).unwrap());
        let config = json!({
            "apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration",
            "egressSelections": [{"name": "cluster", "connection": {
                "proxyProtocol": "GRPC", "transport": {"uds": {"udsName": socket}},
            }}],
        });
        let file = folder.path().join("egress");
        std::fs::write(&file, config.to_string()).unwrap();
        let flag = format!("--egress-selector-config-file={}", file.display());
        let etcd = Etcd::start().await.unwrap();
        let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[&flag])
            .await
            .unwrap();
        let client = server.admin().await.unwrap();
        let kubelet = TlsFront::start(server.pki(), kubelet().await).await.unwrap();
        let started = Self {
            _etcd: etcd,
            _folder: folder,
            port: kubelet.port(),
            _kubelet: kubelet,
            server,
            client,
            seen,
        };
        let node = json!({"metadata": {"name": "n"}});
        let made = started.send("POST", "/api/v1/nodes", exchange::JSON, &node).await;
        assert_eq!(made.0, 201, "{}", made.1);
        started.listens_at(started.port).await;
        started
    }

    async fn send(&self, method: &str, path: &str, kind: &str, body: &Value) -> (u16, String) {
        let answer = exchange::send(&self.client, method, path, kind, body)
            .await
            .unwrap();
        (answer.status.as_u16(), answer.text())
    }

    async fn listens_at(&self, port: u16) {
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }});
        let merge = "application/merge-patch+json";
        let changed = self.send("PATCH", "/api/v1/nodes/n/status", merge, &status).await;
        assert_eq!(changed.0, 200, "{}", changed.1);
    }

    /// A connection to the kubelet that has changed its protocol.
    async fn upgraded(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        let target = Target::new(self.server.pki(), self.server.port(), "admin");
        let mut stream = target.connect(b"http/1.1").await;
        let request =
            format!("GET {PROXIED} HTTP/1.1\r\nhost: k\r\nconnection: upgrade\r\nupgrade: own\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        assert!(head.starts_with("http/1.1 101"), "{head}");
        stream
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_reached_by_a_tunnel_that_ends_with_its_connection() {
    let started = Started::start().await;
    let seen = &started.seen;
    let answer = started.send("GET", PROXIED, exchange::JSON, &Value::Null).await;
    assert_eq!(answer, (200, "hello".to_owned()));
    assert_eq!(
        seen.lock().unwrap().dialled,
        [format!("127.0.0.1:{}", started.port)]
    );
    until("the proxy is not asked to close", || {
        seen.lock().unwrap().closed == 1
    })
    .await;

    // What the agent says comes to who asked.
    let nobody = free_ports(1).unwrap()[0];
    started.listens_at(nobody).await;
    let (code, why) = started.send("GET", PROXIED, exchange::JSON, &Value::Null).await;
    let said = format!("dial tcp 127.0.0.1:{nobody}: connect: connection refused");
    assert!(code == 503 && why.contains(&said), "{code} {why}");
    started.listens_at(started.port).await;

    // Whoever closes, the other one is told.
    let mut ended_there = started.upgraded().await;
    ended_there.write_all(b"echoend!").await.unwrap();
    let mut heard = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, ended_there.read_to_end(&mut heard));
    // With or without a goodbye of TLS.
    let _ = reading.await.unwrap();
    assert_eq!(heard, b"echo");
    let mut ended_here = started.upgraded().await;
    ended_here.write_all(b"echo").await.unwrap();
    let mut echo = [0; 4];
    ended_here.read_exact(&mut echo).await.unwrap();
    until("the other tunnel stays", || seen.lock().unwrap().open == 1).await;
    drop(ended_here);
    until("a tunnel outlives its client", || seen.lock().unwrap().open == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_reads_stays_where_it_is() {
    let started = Started::start().await;
    let mut stream = started.upgraded().await;
    stream.write_all(b"much").await.unwrap();
    let sent = || started.seen.lock().unwrap().sent;
    let (mut last, mut since) = (0, Instant::now());
    until("it never comes to rest", || {
        if sent() != last {
            (last, since) = (sent(), Instant::now());
        }
        last > 0 && since.elapsed() > Duration::from_millis(500)
    })
    .await;
    assert!(last < MUCH / 2, "{last} bytes were sent to one who reads nothing");
    let (mut got, mut block) = (0, vec![0; 64 << 10]);
    while got < MUCH {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut block)).await;
        let read = read.unwrap().unwrap();
        assert!(
            read > 0 && block[..read].iter().all(|byte| *byte == b'm'),
            "after {got} bytes"
        );
        got += read;
    }
    stream.write_all(b"echo").await.unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!((got, &echo), (MUCH, b"echo"));
}
