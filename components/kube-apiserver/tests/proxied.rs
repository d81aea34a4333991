//! What a proxy to a node, pod or service passes on as it is, and what it changes so that links lead back through it.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::path::Path;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use testkit::tls_front::TlsFront;
use tokio::net::TcpListener;

/// Longer than what the API server would read itself.
const LONG: usize = 5 << 20;

/// Redirects, shows a page, or tells what it got.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let answer = Response::builder().header("access-control-allow-origin", "*");
    Ok(match parts.uri.path() {
        "/old" => answer
            .status(StatusCode::FOUND)
            .header("location", "/new?a=b")
            .body(Full::default()),
        "/kept" => answer.header("cache-control", "max-age=9").body(Full::default()),
        "/page" => {
            let page = "<p>/x</p><a href=\"/x\">x</a><img src='y.png'><a href=http://example.com/>z</a>";
            answer
                .header("content-type", "text/html; charset=utf-8")
                .body(page.into())
        }
        _ => {
            let header = |name: &str| {
                parts
                    .headers
                    .get(name)
                    .map(|value| value.to_str().unwrap().to_owned())
            };
            let got = json!({
                "uri": parts.uri.to_string(),
                "length": body.collect().await.unwrap().to_bytes().len(),
                "encoding": header("content-encoding"),
                "for": header("x-forwarded-for"),
                "path": header("x-forwarded-uri"),
                "authorization": header("authorization"),
            });
            answer.body(got.to_string().into())
        }
    }
    .unwrap())
}

struct Bench {
    _etcd: Etcd,
    _server: ApiServer,
    _kubelet: TlsFront,
    client: Client,
}

impl Bench {
    /// A node whose kubelet is the server above.
    async fn start() -> Self {
        let etcd = Etcd::start().await.unwrap();
        let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[])
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let serving = hyper::server::conn::http1::Builder::new();
                tokio::spawn(serving.serve_connection(TokioIo::new(stream), service_fn(answer)));
            }
        });
        let kubelet = TlsFront::start(server.pki(), plain).await.unwrap();
        let client = server.admin().await.unwrap();
        let nodes: Api<Node> = Api::all(client.clone());
        let node = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port()}},
        }});
        nodes
            .patch_status("n", &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
        Self {
            _etcd: etcd,
            _server: server,
            _kubelet: kubelet,
            client,
        }
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> (http::response::Parts, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-encoding", "snappy")
            .body(kube::client::Body::from(body))
            .unwrap();
        let (parts, body) = self.client.send(request).await.unwrap().into_parts();
        let body = body.collect_bytes().await.unwrap();
        (parts, String::from_utf8(body.to_vec()).unwrap())
    }
}

/// Bodies were read whole, up to 3 MiB, and refused when they were compressed; queries were written anew.
#[tokio::test]
async fn bodies_and_queries_are_passed_on_as_they_come() {
    let bench = Bench::start().await;
    let path = "/api/v1/nodes/n/proxy/x%20y/?flag&a=b+c%20d";
    let (parts, text) = bench.send(Method::POST, path, vec![b'x'; LONG]).await;
    assert_eq!(parts.status, StatusCode::OK, "{text}");
    let got: Value = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "uri": "/x%20y/?flag&a=b+c%20d",
        "length": LONG,
        "encoding": "snappy",
        "for": "127.0.0.1",
        "path": "/api/v1/nodes/n/proxy/x%20y/",
        "authorization": null,
    });
    assert_eq!(got, expected);
}

#[tokio::test]
async fn links_lead_back_through_the_proxy() {
    let bench = Bench::start().await;
    let get = async |path: &str| {
        let path = format!("/api/v1/nodes/n/proxy{path}");
        bench.send(Method::GET, &path, Vec::new()).await
    };
    let (parts, _) = get("/old").await;
    assert_eq!(
        (parts.status, parts.headers["location"].to_str().unwrap()),
        (StatusCode::FOUND, "/api/v1/nodes/n/proxy/new?a=b")
    );
    assert!(!parts.headers.contains_key("access-control-allow-origin"));
    let (parts, page) = get("/page").await;
    assert_eq!(parts.status, StatusCode::OK);
    assert_eq!(
        page,
        "<p>/x</p><a href=\"/api/v1/nodes/n/proxy/x\">x</a><img src='y.png'><a href=http://example.com/>z</a>"
    );
    let (parts, _) = get("?a=b").await;
    assert_eq!(
        (parts.status, parts.headers["location"].to_str().unwrap()),
        (StatusCode::MOVED_PERMANENTLY, "/api/v1/nodes/n/proxy/?a=b")
    );
}

/// Browsers and caches kept what only some may see.
#[tokio::test]
async fn nobody_keeps_a_proxied_answer_that_does_not_say_so() {
    let bench = Bench::start().await;
    for (path, expected) in [
        ("/page", "no-cache, private"),
        ("?a=b", "no-cache, private"),
        ("/kept", "max-age=9"),
    ] {
        let path = format!("/api/v1/nodes/n/proxy{path}");
        let (parts, _) = bench.send(Method::GET, &path, Vec::new()).await;
        assert_eq!(parts.headers["cache-control"], expected, "{path}");
    }
}

/// Who writes a node's status could lead administrators to what listens on the API server's own host.
#[tokio::test]
async fn only_a_kubelet_may_be_on_this_host() {
    let bench = Bench::start().await;
    let (parts, text) = bench
        .send(Method::GET, "/api/v1/nodes/n:1/proxy/", Vec::new())
        .await;
    assert_eq!(parts.status, StatusCode::BAD_REQUEST, "{text}");
    assert!(text.contains("address not allowed"), "{text}");
}
