//! Clients that are slow, send too much, or send what is no request: they are cut off, and others are served.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

#[path = "hostile_clients/exchange.rs"]
mod exchange;
#[path = "hostile_clients/frames.rs"]
mod frames;
#[path = "hostile_clients/wire.rs"]
mod wire;

use daemon::tls::Agreement;
use exchange::Answer;
use frames::{CLOSED, ENHANCE_YOUR_CALM};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::cluster_pki::ClusterPki;
use testkit::etcd::Etcd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::{PATIENCE, Target};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// More than a server grows by while it answers a few honest requests.
const MOST_GROWTH_KIB: u64 = 96 * 1024;

struct Bench {
    _etcd: Etcd,
    server: ApiServer,
    target: Target,
}

impl Bench {
    async fn start(extra: &[&str]) -> Self {
        let etcd = Etcd::start().await.unwrap();
        let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, extra)
            .await
            .unwrap();
        server.kubeconfig("admin", &["system:masters"]).unwrap();
        let target = Target::new(server.pki(), server.port(), "admin");
        Self {
            _etcd: etcd,
            server,
            target,
        }
    }

    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid().unwrap())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// An honest client is answered.
    async fn serves(&self) {
        let answer = self
            .target
            .exchange(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            .await;
        assert_eq!(answer.code, 200, "{answer:?}");
    }
}

fn post(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn who_does_not_finish_a_handshake_or_headers_is_cut_off() {
    use kube_apiserver::serving::accept::{self, Limits};
    use kube_apiserver::serving::certificates::{Listening, ServingCertificate};
    use kube_apiserver::serving::names::Certificates;
    let directory = tempfile::tempdir().unwrap();
    let pki = ClusterPki::write(directory.path()).unwrap();
    let certificate = ServingCertificate::load(&pki.file("apiserver.crt"), &pki.file("apiserver.key"));
    let certificates = Certificates::load(certificate.unwrap(), &[]).unwrap();
    let listening = Listening::new(Arc::new(certificates), Vec::new(), Agreement::default(), false).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let limits = Limits {
        handshake: Duration::from_millis(300),
        headers: Duration::from_millis(300),
        ..Limits::default()
    };
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let handler = |_, _| async { kube_apiserver::answer::text(http::StatusCode::OK, "ok") };
    let threads = Arc::new(kube_apiserver::serving::threads::Threads::start(1).unwrap());
    let serving = accept::serve(
        listener,
        threads,
        listening.current(),
        limits,
        handler,
        stop.clone(),
        tracker,
    );
    let clients = async {
        pki.leaf("someone", "someone", &[]).unwrap();
        let target = Target::new(&pki, port, "someone");
        let mut silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, silent.read_to_end(&mut rest))
            .await
            .expect("a client without a handshake is cut off")
            .ok();
        let mut slow = target.connect(b"http/1.1").await;
        slow.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
        tokio::time::timeout(PATIENCE, slow.read_to_end(&mut rest))
            .await
            .expect("a client that doesn't end its headers is cut off")
            .ok();
        let answer = target.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(answer.code, 200);
        stop.cancel();
    };
    tokio::join!(serving, clients);
}

#[tokio::test]
async fn slow_and_large_bodies_end_with_an_answer() {
    let bench = Bench::start(&["--request-timeout=2s"]).await;
    let begin = Instant::now();
    let unfinished = &post(MAPS, "application/json", &[b' '; 1000])[..300];
    let answer = bench.target.exchange(unfinished).await;
    assert_eq!(answer.code, 504, "{answer:?}");
    assert!(begin.elapsed() >= Duration::from_secs(2));

    // The length alone is enough; a body that doesn't come isn't waited for.
    let head = format!("POST {MAPS} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n");
    assert_eq!(bench.target.exchange(head.as_bytes()).await.code, 413);
    // Without a length, the limit holds while it is read.
    let head = format!("POST {MAPS} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let endless = [head.as_bytes(), &chunk.repeat(60)].concat();
    assert_eq!(bench.target.exchange(&endless).await.code, 413);
    // Regression: who looks for the answer once all is sent found a closed connection.
    for length in [3_200_000, 8_000_000] {
        let large = post(MAPS, "application/json", &vec![b' '; length]);
        let mut client = bench.target.connect(b"http/1.1").await;
        client.write_all(&large).await.unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{length}");
    }
    // Compressed, it could be anything.
    let packed =
        format!("POST {MAPS} HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc");
    assert_eq!(bench.target.exchange(packed.as_bytes()).await.code, 415);
    bench.serves().await;
}

#[tokio::test]
async fn deep_and_malformed_bodies_are_refused() {
    const DEPTH: usize = 200_000;
    let bench = Bench::start(&[]).await;
    let before = bench.memory();
    let nested = |open: &str, close: &str| open.repeat(DEPTH) + &close.repeat(DEPTH);
    // A message within a message, each with its length: field 1 of what is around.
    let mut message: Vec<u8> = vec![];
    for _ in 0..2000 {
        let mut outer = vec![0x0a];
        let mut length = message.len();
        while length > 0x7f {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.append(&mut message);
        message = outer;
    }
    let protobuf = [
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12".as_slice(),
        &message[1..],
    ]
    .concat();
    for (content_type, body) in [
        ("application/json", nested("[", "]").into_bytes()),
        ("application/json", nested("{\"a\":", "}").into_bytes()),
        ("application/json", "{\"data\":".repeat(DEPTH).into_bytes()),
        ("application/yaml", nested("[", "]").into_bytes()),
        ("application/yaml", "- ".repeat(DEPTH).into_bytes()),
        ("application/yaml", bomb().into_bytes()),
        ("application/vnd.kubernetes.protobuf", protobuf),
        (
            "application/vnd.kubernetes.protobuf",
            b"k8s\0\xff\xff\xff\xff".to_vec(),
        ),
        ("application/json", vec![0xff; 1000]),
    ] {
        let begin = Instant::now();
        let answer = bench.target.exchange(&post(MAPS, content_type, &body)).await;
        let start = String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned();
        assert_eq!(answer.code, 400, "{content_type} {start:?}: {answer:?}");
        assert!(begin.elapsed() < PATIENCE, "{content_type} {start:?}");
    }
    bench.serves().await;
    let growth = bench.memory().saturating_sub(before);
    assert!(growth < MOST_GROWTH_KIB, "{growth} KiB");
}

/// Ten levels of aliases, each ten times the one before.
fn bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    text
}

#[tokio::test]
async fn what_is_no_request_ends_the_connection() {
    let bench = Bench::start(&[]).await;
    let many: String = (0..5000).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(2_000_000));
    for (what, text, codes) in [
        ("noise", "\x00\x01\x02 nonsense\r\n\r\n".to_owned(), &[0, 400][..]),
        ("no version", "GET /\r\n\r\n".to_owned(), &[0, 400]),
        (
            "many headers",
            format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
            &[0, 431],
        ),
        (
            "a long header",
            format!("GET / HTTP/1.1\r\nhost: x\r\n{long}\r\n"),
            &[0, 431],
        ),
        (
            "two lengths",
            format!("POST {MAPS} HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd"),
            &[0, 400],
        ),
        (
            "a bad chunk",
            format!("POST {MAPS} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
            &[0, 400],
        ),
    ] {
        let answer = bench.target.exchange(text.as_bytes()).await;
        assert!(codes.contains(&answer.code), "{what}: {answer:?}");
        assert!(answer.closed, "{what}: the connection stays open");
    }
    bench.serves().await;
}

#[tokio::test]
async fn floods_of_frames_end_the_connection_and_harm_nobody() {
    let bench = Bench::start(&[]).await;
    let before = bench.memory();
    let resets: Vec<u8> = (0..20_000u32)
        .flat_map(|n| [frames::request(2 * n + 1), frames::reset(2 * n + 1)].concat())
        .collect();
    let headers = [
        frames::frame(frames::HEADERS, 0, 1, &frames::literal(1000)),
        (0..5_000)
            .flat_map(|_| frames::frame(frames::CONTINUATION, 0, 1, &frames::literal(1000)))
            .collect(),
    ]
    .concat();
    for (what, flood, expected) in [
        ("resets", resets, &[ENHANCE_YOUR_CALM][..]),
        // It grows over what is taken, and is told so or cut off.
        (
            "continuations",
            headers,
            &[ENHANCE_YOUR_CALM, CLOSED, frames::PROTOCOL_ERROR],
        ),
        (
            "frames without a stream",
            frames::frame(frames::HEADERS, 4, 0, &[0x82]),
            &[frames::PROTOCOL_ERROR],
        ),
        (
            "a frame too long",
            frames::head(0x00ff_ffff, 0, 0, 1),
            &[frames::FRAME_SIZE_ERROR],
        ),
    ] {
        let (found, ()) = tokio::join!(frames::send(&bench.target, flood), bench.serves());
        assert!(expected.contains(&found), "{what}: {found}");
    }
    // Nobody reads the acknowledgements: the server stops reading rather than keep them.
    for flood in [
        frames::frame(frames::SETTINGS, 0, 0, &[]).repeat(200_000),
        frames::frame(frames::PING, 0, 0, &[0; 8]).repeat(200_000),
    ] {
        let stuck = frames::push_unread(&bench.target, flood).await;
        bench.serves().await;
        drop(stuck);
    }
    bench.serves().await;
    let growth = bench.memory().saturating_sub(before);
    assert!(growth < MOST_GROWTH_KIB, "{growth} KiB");
    let _: Answer = bench
        .target
        .exchange(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
}
