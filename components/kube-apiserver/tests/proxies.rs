//! What the API server passes on to nodes, and what it says when nobody is there.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use http::{Method, Request};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use std::convert::Infallible;
use std::path::Path;
use testkit::api_server::ApiServer;
use testkit::etcd::{Etcd, free_ports};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

async fn started() -> (Etcd, ApiServer) {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[])
        .await
        .unwrap();
    (etcd, server)
}

/// A server that answers with the method and the path that it got; gives its port.
async fn echo() -> (u16, AbortHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = service_fn(|request: Request<hyper::body::Incoming>| async move {
                let text = format!("{} {}", request.method(), request.uri());
                Ok::<_, Infallible>(http::Response::new(Full::<bytes::Bytes>::from(text)))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
            );
        }
    });
    (port, task.abort_handle())
}

/// A node on this machine whose kubelet is said to listen at `kubelet`.
async fn node(client: &Client, kubelet: u16) {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet}},
    }});
    nodes
        .patch_status("n", &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
}

async fn ask(client: &Client, method: Method, path: &str) -> Result<String, (u16, String)> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Vec::new())
        .unwrap();
    match client.request_text(request).await {
        Ok(text) => Ok(text),
        Err(kube::Error::Api(status)) => Err((status.code, status.message)),
        Err(other) => panic!("{path}: {other}"),
    }
}

#[tokio::test]
async fn a_proxy_passes_every_method_on() {
    let (_etcd, server) = started().await;
    let client = server.admin().await.unwrap();
    let (port, backend) = echo().await;
    node(&client, 1).await;
    let path = format!("/api/v1/nodes/n:{port}/proxy/some/path?a=b");
    // OPTIONS belongs to no verb of the API, and was refused for that.
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let expected = format!("{method} /some/path?a=b");
        assert_eq!(ask(&client, method, &path).await, Ok(expected));
    }
    backend.abort();
}

#[tokio::test]
async fn nobody_behind_a_proxy_is_unavailable_and_nobody_behind_logs_is_a_bad_gateway() {
    let (_etcd, server) = started().await;
    let client = server.admin().await.unwrap();
    let free = free_ports(2).unwrap();
    node(&client, free[0]).await;
    let (code, message) = ask(
        &client,
        Method::GET,
        &format!("/api/v1/nodes/n:{}/proxy/", free[1]),
    )
    .await
    .unwrap_err();
    assert_eq!(code, 503);
    let expected = format!("error trying to reach service: dial tcp 127.0.0.1:{}", free[1]);
    assert!(message.starts_with(&expected), "{message}");

    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    // The service account controller isn't there to make the namespace's account.
    let account = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::default_namespaced(client.clone());
    accounts.create(&PostParams::default(), &account).await.unwrap();
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
        .await
        .unwrap();
    let (code, message) = ask(&client, Method::GET, "/api/v1/namespaces/default/pods/p/log")
        .await
        .unwrap_err();
    assert_eq!(code, 502);
    let expected = format!("error dialing backend: dial tcp 127.0.0.1:{}", free[0]);
    assert!(message.starts_with(&expected), "{message}");
}
