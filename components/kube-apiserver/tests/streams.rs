//! exec, attach and port-forward to kubelets that take WebSockets and to those that don't.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

#[path = "streams/kubelet.rs"]
mod kubelet;
#[path = "hostile_clients/wire.rs"]
mod wire;

use futures::{SinkExt, StreamExt};
use http::{HeaderMap, Request, Response};
use kubelet::{Kubelet, Said};
use serde_json::{Value, json};
use std::path::Path;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use testkit::exchange;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use wire::{PATIENCE, Target};

const V4: &str = "v4.channel.k8s.io";
const V5: &str = "v5.channel.k8s.io";
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const POD: &str = "/api/v1/namespaces/default/pods/p";
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// A server with a pod on a node of whose kubelet the test is the other side.
struct Cluster {
    kubelet: Kubelet,
    server: ApiServer,
    client: kube::Client,
    target: Target,
    _etcd: Etcd,
}

impl Cluster {
    async fn start(features: &[&str], flags: &[&str]) -> Self {
        let etcd = Etcd::start().await.unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_kube-apiserver"));
        let server = ApiServer::start(program, &etcd, flags).await.unwrap();
        let client = server.admin().await.unwrap();
        let kubelet = Kubelet::start(server.pki()).await;
        let send = async |method: &str, path: &str, kind: &str, body: Value| {
            let answer = exchange::send(&client, method, path, kind, &body).await.unwrap();
            assert!(answer.status.is_success(), "{method} {path}: {}", answer.status);
        };
        let node = json!({"metadata": {"name": "n"}});
        send("POST", "/api/v1/nodes", exchange::JSON, node).await;
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port()}},
            "declaredFeatures": features,
        }});
        let merge = "application/merge-patch+json";
        send("PATCH", "/api/v1/nodes/n/status", merge, status).await;
        let account = json!({"metadata": {"name": "default"}});
        let accounts = "/api/v1/namespaces/default/serviceaccounts";
        send("POST", accounts, exchange::JSON, account).await;
        let pod = json!({
            "metadata": {"name": "p"},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
        });
        send("POST", "/api/v1/namespaces/default/pods", exchange::JSON, pod).await;
        Self {
            target: Target::new(server.pki(), server.port(), "admin"),
            kubelet,
            server,
            client,
            _etcd: etcd,
        }
    }

    /// As kubectl opens a WebSocket.
    async fn websocket(&self, path: &str, protocols: &str) -> Result<Socket, Response<Option<Vec<u8>>>> {
        let path = format!("{POD}/{path}");
        self.opened(&path, &[("sec-websocket-protocol", protocols)]).await
    }

    async fn opened(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Socket, Response<Option<Vec<u8>>>> {
        let stream = self.target.connect(b"http/1.1").await;
        let mut request = Request::get(format!("wss://k{path}"))
            .header("host", "k")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((stream, answer)) => Ok(Socket {
                stream,
                headers: answer.headers().clone(),
            }),
            Err(Error::Http(answer)) => Err(*answer),
            Err(other) => panic!("{other}"),
        }
    }

    /// Waits until a counter has a value.
    async fn counted(&self, series: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let metrics = Request::get("/metrics").body(Vec::new()).unwrap();
            let metrics = self.client.request_text(metrics).await.unwrap();
            if metrics.lines().any(|line| line == series) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{series}: {metrics}");
            tokio::task::yield_now().await;
        }
    }
}

/// A client's WebSocket.
#[derive(Debug)]
struct Socket {
    stream: WebSocketStream<TlsStream<TcpStream>>,
    headers: HeaderMap,
}

impl Socket {
    async fn say(&mut self, channel: u8, bytes: &[u8]) {
        let message = [&[channel], bytes].concat();
        self.stream.send(Message::Binary(message.into())).await.unwrap();
    }

    /// The bytes of the next message; none when the server has closed.
    async fn bytes(&mut self) -> Option<Vec<u8>> {
        let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
        match next.unwrap() {
            Some(Ok(Message::Binary(bytes))) => Some(bytes.to_vec()),
            Some(Ok(Message::Close(frame))) => {
                assert_eq!(frame.map(|frame| u16::from(frame.code)), Some(1000));
                None
            }
            other => panic!("{other:?}"),
        }
    }

    async fn heard(&mut self) -> Option<(u8, Vec<u8>)> {
        let bytes = self.bytes().await?;
        Some((bytes[0], bytes[1..].to_vec()))
    }

    /// The Status on the channel for errors, with which the connection ends.
    async fn status(&mut self) -> Value {
        let (channel, status) = self.heard().await.unwrap();
        assert_eq!(channel, ERROR);
        assert_eq!(self.heard().await, None);
        serde_json::from_slice(&status).unwrap()
    }
}

fn protocol(headers: &HeaderMap) -> &str {
    headers["sec-websocket-protocol"].to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exec_is_translated_for_a_kubelet_that_speaks_spdy() {
    let cluster = Cluster::start(&["AnotherFeature"], &[]).await;
    let query = "exec?command=cat&command=-&stdin=true&stdout=true&stderr=true";
    let both = format!("{V4}, {V5}");
    let (socket, (head, mut kubelet)) =
        tokio::join!(cluster.websocket(query, &both), cluster.kubelet.speaks_spdy(V4));
    let mut socket = socket.unwrap();
    assert_eq!(protocol(&socket.headers), V5);
    let path = "POST /exec/default/p/c?input=1&output=1&error=1&command=cat&command=- HTTP/1.1\r\n";
    assert!(head.starts_with(path), "{head}");
    assert_eq!(socket.heard().await, Some((STDOUT, Vec::new())));
    let streams = kubelet.streams(4).await;
    let [error, stdin, stdout, stderr] = ["error", "stdin", "stdout", "stderr"].map(|name| streams[name]);

    socket.say(STDIN, b"in").await;
    assert_eq!(kubelet.next().await, Said::Data(stdin, b"in".to_vec()));
    kubelet.say(stdout, b"out", false).await;
    assert_eq!(socket.heard().await, Some((STDOUT, b"out".to_vec())));
    // The input ends, and the output does not.
    socket.say(CLOSE, &[STDIN]).await;
    assert_eq!(kubelet.next().await, Said::Finished(stdin));
    let much = vec![b'x'; 300_000];
    for block in much.chunks(32 << 10) {
        kubelet.say(stdout, block, false).await;
    }
    let mut got = 0;
    while got < much.len() {
        let (channel, bytes) = socket.heard().await.unwrap();
        assert_eq!(channel, STDOUT);
        got += bytes.len();
    }
    kubelet.say(stdout, b"", true).await;
    kubelet.say(stderr, b"", true).await;
    let status = json!({
        "status": "Failure", "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
    });
    kubelet.say(error, status.to_string().as_bytes(), true).await;
    let told = json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": "command terminated with non-zero exit code: command terminated with exit code 7",
        "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
    });
    assert_eq!(socket.status().await, told);
    drop(socket);
    cluster
        .counted("apiserver_stream_translator_requests_total{code=\"200\"} 1")
        .await;
    let routed = "apiserver_websocket_streaming_requests_total{subresource=\"exec\",proxy_type=\"translated_at_apiserver\"} 1";
    cluster.counted(routed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attached_terminal_is_resized_and_its_end_ends_the_kubelets_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, log) = (folder.path().join("policy"), folder.path().join("log"));
    let rules = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]});
    std::fs::write(&policy, rules.to_string()).unwrap();
    let flags = [
        // Also through what keeps a pace.
        "--max-connection-bytes-per-sec=100000".to_owned(),
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log.display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let cluster = Cluster::start(&[], &flags).await;
    let query = "attach?stdin=true&stdout=true&tty=true";
    let (socket, (head, mut kubelet)) =
        tokio::join!(cluster.websocket(query, V5), cluster.kubelet.speaks_spdy(V4));
    let mut socket = socket.unwrap();
    assert!(
        head.starts_with("POST /attach/default/p/c?input=1&output=1&tty=1 "),
        "{head}"
    );
    let streams = kubelet.streams(4).await;
    let size = br#"{"Width":80,"Height":24}"#;
    socket.say(RESIZE, size).await;
    assert_eq!(kubelet.next().await, Said::Data(streams["resize"], size.to_vec()));
    kubelet.say(streams["stdout"], b"$ ", false).await;
    assert_eq!(socket.heard().await, Some((STDOUT, Vec::new())));
    assert_eq!(socket.heard().await, Some((STDOUT, b"$ ".to_vec())));
    // Until then the request has not ended.
    assert_eq!(audited(&log, "ResponseComplete"), None);
    assert_eq!(audited(&log, "ResponseStarted"), Some(101));
    socket.stream.close(None).await.unwrap();
    drop(socket);
    let end = tokio::time::timeout(PATIENCE, kubelet.stream.read(&mut [0; 64])).await;
    assert!(matches!(end.unwrap(), Ok(0) | Err(_)));
    cluster
        .counted("apiserver_stream_translator_requests_total{code=\"200\"} 1")
        .await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while audited(&log, "ResponseComplete") != Some(101) {
        assert!(tokio::time::Instant::now() < deadline, "the end of the request");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_translated_stream_nor_a_tunnel_is_faster_than_allowed() {
    const SENT: usize = 30_000;
    let cluster = Cluster::start(&[], &["--max-connection-bytes-per-sec=10000"]).await;
    for (query, protocol, inner) in [
        ("exec?command=cat&stdout=true&stderr=true", V5, V4),
        ("portforward", TUNNEL, "portforward.k8s.io"),
    ] {
        let (socket, (_, mut kubelet)) = tokio::join!(
            cluster.websocket(query, protocol),
            cluster.kubelet.speaks_spdy(inner)
        );
        let mut socket = socket.unwrap();
        let began = tokio::time::Instant::now();
        if protocol == V5 {
            let stdout = kubelet.streams(3).await["stdout"];
            kubelet.say(stdout, &[b'x'; SENT], false).await;
        } else {
            kubelet.stream.write_all(&[b'x'; SENT]).await.unwrap();
        }
        let mut got = 0;
        while got < SENT {
            let bytes = socket.bytes().await.unwrap();
            got += bytes.iter().filter(|byte| **byte == b'x').count();
        }
        // Three seconds without the tenth of a second that goes at once.
        let took = began.elapsed();
        assert!(took.as_millis() >= 2800, "{query}: {took:?}");
    }
}

/// The code of an attach in a stage that was recorded.
fn audited(log: &Path, stage: &str) -> Option<u64> {
    let text = std::fs::read_to_string(log).unwrap();
    let events = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found =
        events.filter(|event| event["stage"] == stage && event["objectRef"]["subresource"] == "attach");
    found.next()?["responseStatus"]["code"].as_u64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_kubelet_has_against_a_stream_is_told() {
    let cluster = Cluster::start(&[], &[]).await;
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no"});
    for (answer, code, message) in [
        (
            "404 Not Found\r\ncontent-length: 21\r\n\r\ncontainer not found\r\n".to_owned(),
            500,
            "Internal error occurred: unable to upgrade connection: container not found",
        ),
        (
            format!(
                "403 Forbidden\r\ncontent-length: {}\r\n\r\n{status}",
                status.to_string().len()
            ),
            500,
            "Internal error occurred: unable to upgrade connection: no",
        ),
        (
            "200 OK\r\ncontent-length: 4\r\n\r\nfine".to_owned(),
            500,
            "Internal error occurred: unable to upgrade connection: fine",
        ),
        (
            "403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned(),
            500,
            "Internal error occurred: unable to upgrade connection: empty server response",
        ),
        (
            "101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: other\r\n\r\n".to_owned(),
            500,
            "Internal error occurred: unable to upgrade connection: the kubelet chose another protocol",
        ),
    ] {
        let (socket, (_, mut kubelet)) = tokio::join!(
            cluster.websocket("exec?command=ls&stdout=true&stderr=true", V5),
            cluster.kubelet.asked()
        );
        let mut socket = socket.unwrap();
        kubelet
            .write_all(format!("HTTP/1.1 {answer}").as_bytes())
            .await
            .unwrap();
        assert_eq!(socket.heard().await, Some((STDOUT, Vec::new())));
        let status = socket.status().await;
        assert_eq!(
            (&status["code"], &status["message"]),
            (&json!(code), &json!(message))
        );
    }
    let (socket, (_, mut kubelet)) = tokio::join!(
        cluster.websocket("exec?command=ls&stdout=true", V5),
        cluster.kubelet.asked()
    );
    let mut socket = socket.unwrap();
    let answer = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
    kubelet.write_all(answer.as_bytes()).await.unwrap();
    assert_eq!(socket.heard().await, Some((STDOUT, Vec::new())));
    let url = format!("https://127.0.0.1:{}/elsewhere", cluster.kubelet.port());
    assert_eq!(
        socket.status().await["message"],
        format!("Internal error occurred: error sending request: Post \"{url}\": redirect not allowed")
    );
    // One that ends in the middle is no success either.
    let (socket, (_, mut kubelet)) = tokio::join!(
        cluster.websocket("exec?command=ls&stdout=true&stderr=true", V5),
        cluster.kubelet.speaks_spdy(V4)
    );
    let mut socket = socket.unwrap();
    kubelet.streams(3).await;
    drop(kubelet);
    assert_eq!(socket.heard().await, Some((STDOUT, Vec::new())));
    assert_eq!(socket.status().await["code"], 500);
    drop(socket);
    cluster
        .counted("apiserver_stream_translator_requests_total{code=\"500\"} 7")
        .await;

    // A tunnel is not there before the kubelet speaks, so its answer is the client's.
    let (refused, ()) = tokio::join!(cluster.websocket("portforward", TUNNEL), async {
        let (head, mut kubelet) = cluster.kubelet.asked().await;
        assert!(
            head.starts_with("POST /portForward/default/p HTTP/1.1\r\n"),
            "{head}"
        );
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\nretry-after: 9\r\n\r\nbusy";
        kubelet.write_all(answer.as_bytes()).await.unwrap();
    });
    let refused = refused.err().unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"9".parse().unwrap())
    );
    let body = refused.into_body().unwrap_or_default();
    assert!(b"busy".starts_with(&body), "{body:?}");
    cluster
        .counted("apiserver_stream_tunnel_requests_total{code=\"503\"} 1")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_forward_is_a_tunnel_to_a_kubelet_that_speaks_spdy() {
    let mut cluster = Cluster::start(&[], &[]).await;
    let both = format!("{TUNNEL}, {V4}");
    let (socket, (head, mut kubelet)) = tokio::join!(
        cluster.websocket("portforward", &both),
        cluster.kubelet.speaks_spdy("portforward.k8s.io")
    );
    let mut socket = socket.unwrap();
    assert_eq!(protocol(&socket.headers), TUNNEL);
    assert!(
        head.starts_with("POST /portForward/default/p HTTP/1.1\r\n"),
        "{head}"
    );
    let kubelet = &mut kubelet.stream;
    // Not SPDY at all: nobody looks inside.
    let message = |bytes: &'static [u8]| Message::Binary(bytes.into());
    socket.stream.send(message(b"que")).await.unwrap();
    socket.stream.send(message(b"stion")).await.unwrap();
    let mut question = [0; 8];
    kubelet.read_exact(&mut question).await.unwrap();
    assert_eq!(&question, b"question");
    kubelet.write_all(b"answer").await.unwrap();
    let mut answer = Vec::new();
    while answer.len() < 6 {
        answer.extend(socket.bytes().await.unwrap());
    }
    assert_eq!(answer, b"answer");
    cluster
        .counted("apiserver_stream_tunnel_requests_total{code=\"101\"} 1")
        .await;
    // The server does not wait for it when it stops.
    cluster.server.terminate(PATIENCE).unwrap();
    let end = tokio::time::timeout(PATIENCE, kubelet.read(&mut [0; 64])).await;
    assert!(matches!(end.unwrap(), Ok(0) | Err(_)));
}

/// What the kubelet is asked, when it grants the WebSocket and says something in it.
async fn passed_on(cluster: &Cluster, query: &str, protocol: &str) {
    let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let (socket, _kubelet) = tokio::join!(cluster.websocket(query, protocol), async {
        let (head, mut stream) = cluster.kubelet.asked().await;
        for part in [
            "GET /".to_owned(),
            // As the client calls the server, and who that is.
            "\r\nhost: k\r\n".to_owned(),
            "\r\nx-forwarded-for: 127.0.0.1\r\n".to_owned(),
            "\r\nupgrade: websocket\r\n".to_owned(),
            format!(
                "\r\nsec-websocket-protocol: {}\r\n",
                protocol.to_ascii_lowercase()
            ),
        ] {
            assert!(head.contains(&part), "{part} {head}");
        }
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\nsec-websocket-protocol: {protocol}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        // A message of two bytes.
        stream.write_all(&[0x82, 2, STDOUT, b'!']).await.unwrap();
        stream
    });
    let mut socket = socket.unwrap();
    assert_eq!(socket.heard().await, Some((STDOUT, b"!".to_vec())), "{query}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubelet_that_declares_it_gets_the_websocket() {
    let cluster = Cluster::start(&["AnotherFeature", "ExtendWebSocketsToKubelet"], &[]).await;
    passed_on(&cluster, "exec?command=ls", V5).await;
    passed_on(&cluster, "attach", V5).await;
    passed_on(&cluster, "portforward", TUNNEL).await;
    for subresource in ["exec", "attach", "portforward"] {
        cluster.counted(&format!("apiserver_websocket_streaming_requests_total{{subresource=\"{subresource}\",proxy_type=\"proxied_to_kubelet\"}} 1")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_websockets_are_passed_on_to_any_kubelet() {
    let cluster = Cluster::start(&[], &[]).await;
    passed_on(&cluster, "exec?command=ls", V4).await;
    passed_on(&cluster, "portforward?ports=80", V4).await;
    // And all of them where the gates say so.
    let gates = "--feature-gates=TranslateStreamCloseWebsocketRequests=false,PortForwardWebsockets=false";
    let cluster = Cluster::start(&[], &[gates]).await;
    passed_on(&cluster, "exec?command=ls", V5).await;
    passed_on(&cluster, "portforward", TUNNEL).await;
}

#[tokio::test]
async fn what_a_pod_lacks_is_told_before_what_the_request_does() {
    let cluster = Cluster::start(&[], &[]).await;
    let pods = "/api/v1/namespaces/default/pods";
    let waiting =
        json!({"metadata": {"name": "waiting"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = exchange::send(&cluster.client, "POST", pods, exchange::JSON, &waiting).await;
    assert!(made.unwrap().status.is_success());
    for (method, path, code, said) in [
        ("POST", "none/exec?command=x", 404, "pods \"none\" not found"),
        (
            "POST",
            "waiting/exec?command=x",
            400,
            "pod waiting does not have a host assigned",
        ),
        (
            "POST",
            "waiting/portforward",
            400,
            "pod waiting does not have a host assigned",
        ),
        ("POST", "p/exec?command=x", 400, "Upgrade request required"),
        ("GET", "waiting/log", 204, ""),
    ] {
        let path = format!("{pods}/{path}");
        let answer = exchange::send(&cluster.client, method, &path, exchange::JSON, &Value::Null)
            .await
            .unwrap();
        assert_eq!(answer.status, code, "{path}: {}", answer.text());
        let message = answer.json()["message"].as_str().unwrap_or("").to_owned();
        assert_eq!(message, said, "{path}");
    }
}

/// What the server says until it closes, and whether each message was text.
async fn heard(mut socket: Socket) -> Vec<(bool, Vec<u8>)> {
    let mut heard = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, socket.stream.next()).await;
        match next.unwrap() {
            Some(Ok(Message::Binary(bytes))) => heard.push((false, bytes.to_vec())),
            Some(Ok(Message::Text(text))) => heard.push((true, text.as_bytes().to_vec())),
            Some(Ok(Message::Close(frame))) => {
                assert_eq!(frame.map(|frame| u16::from(frame.code)), Some(1000));
                return heard;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn logs_are_told_over_a_websocket() {
    let cluster = Cluster::start(&[], &[]).await;
    for (protocols, chosen, is_text, written) in [
        ("binary.k8s.io", "binary.k8s.io", false, "alive\n"),
        (
            "x, base64.binary.k8s.io",
            "base64.binary.k8s.io",
            true,
            "YWxpdmUK",
        ),
        ("", "", false, "alive\n"),
    ] {
        let headers = [("sec-websocket-protocol", protocols)];
        let headers = if protocols.is_empty() { &[][..] } else { &headers };
        let kubelet = async {
            let (head, mut stream) = cluster.kubelet.asked().await;
            assert!(head.starts_with("GET /containerLogs/default/p/c?"), "{head}");
            assert!(!head.contains("websocket"), "{head}");
            let log = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nalive\n";
            stream.write_all(log.as_bytes()).await.unwrap();
        };
        let path = format!("{POD}/log?container=c&tailLines=1");
        let (socket, ()) = tokio::join!(cluster.opened(&path, headers), kubelet);
        let socket = socket.unwrap();
        let named = socket.headers.get("sec-websocket-protocol");
        assert_eq!(named.map_or("", |name| name.to_str().unwrap()), chosen);
        // The first says that the connection is made.
        let expected = [(is_text, Vec::new()), (is_text, written.as_bytes().to_vec())];
        assert_eq!(heard(socket).await, expected, "{protocols}");
    }
    // What is wrong is told before the protocol changes.
    let refused = cluster.websocket("log?container=other", "binary.k8s.io").await;
    assert_eq!(refused.unwrap_err().status(), 400);
}

#[tokio::test]
async fn watches_are_told_over_a_websocket() {
    let cluster = Cluster::start(&[], &[]).await;
    let path = "/api/v1/namespaces/default/pods?watch=1&timeoutSeconds=1";
    let page = ("origin", "https://ui.example");
    let socket = cluster.opened(path, &[page]).await.unwrap();
    let events = heard(socket).await;
    let [(true, event)] = events.as_slice() else {
        panic!("{events:?}");
    };
    let event: Value = serde_json::from_slice(event).unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["metadata"]["name"]),
        (&json!("ADDED"), &json!("p"))
    );

    // One message for each event, however many there are at once, and none says its own length.
    let accept = ("accept", "application/vnd.kubernetes.protobuf");
    let path = "/api/v1/namespaces?watch=1&timeoutSeconds=1";
    let socket = cluster.opened(path, &[page, accept]).await.unwrap();
    let events = heard(socket).await;
    assert!(events.len() >= 4, "{events:?}");
    for (is_text, event) in &events {
        assert!(!is_text && event.starts_with(b"\x0a\x05ADDED\x12"), "{event:?}");
    }

    // What is too old to be told is an event, too.
    let path = "/api/v1/namespaces?watch=1&resourceVersion=1";
    let protocol = ("sec-websocket-protocol", "base64.binary.k8s.io");
    let socket = cluster.opened(path, &[page, protocol]).await.unwrap();
    assert_eq!(socket.headers["sec-websocket-protocol"], "base64.binary.k8s.io");
    let events = heard(socket).await;
    let error: Value = serde_json::from_slice(&events[0].1).unwrap();
    assert_eq!(
        (&error["type"], &error["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );

    // A client that leaves ends its watch.
    let mut socket = cluster.opened("/api/v1/nodes?watch=1", &[page]).await.unwrap();
    socket.stream.close(None).await.unwrap();
    while let Some(Ok(message)) = socket.stream.next().await {
        assert!(message.is_text() || message.is_close(), "{message:?}");
    }
    for (headers, code) in [
        (&[][..], 403),
        (&[("origin", "null")], 403),
        (&[page, ("sec-websocket-protocol", "a, b")], 400),
    ] {
        let refused = cluster.opened("/api/v1/nodes?watch=1", headers).await;
        assert_eq!(refused.unwrap_err().status(), code, "{headers:?}");
    }
}
