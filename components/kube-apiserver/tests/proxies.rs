//! What the API server passes on to nodes, what it says when nobody is there, and what it must know before it acts.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use http::{Method, Request};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::Client;
use kube::api::{Api, DeleteParams, EvictParams, Patch, PatchParams, PostParams};
use serde_json::json;
use std::convert::Infallible;
use std::path::Path;
use testkit::api_server::ApiServer;
use testkit::etcd::{Etcd, free_ports};
use testkit::tls_front::TlsFront;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

async fn started() -> (Etcd, ApiServer) {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[])
        .await
        .unwrap();
    (etcd, server)
}

/// Two servers over one etcd: what one has written arrives in the other's cache a moment later.
struct Pair {
    writer: ApiServer,
    reader: ApiServer,
    _etcd: Etcd,
}

impl Pair {
    async fn start() -> Self {
        let (etcd, writer) = started().await;
        let reader = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[])
            .await
            .unwrap();
        Self {
            writer,
            reader,
            _etcd: etcd,
        }
    }

    /// One that writes, and one that must know of it.
    async fn clients(&self) -> (Client, Client) {
        (
            self.writer.admin().await.unwrap(),
            self.reader.admin().await.unwrap(),
        )
    }
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

/// The account of the default namespace, whose controller isn't there.
async fn account(client: &Client) {
    let account = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    accounts.create(&PostParams::default(), &account).await.unwrap();
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
    let kubelet = TlsFront::start(server.pki(), port).await.unwrap();
    node(&client, kubelet.port()).await;
    let path = "/api/v1/nodes/n/proxy/some/path?a=b";
    // OPTIONS belongs to no verb of the API, and was refused for that.
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let expected = format!("{method} /some/path?a=b");
        assert_eq!(ask(&client, method, path).await, Ok(expected));
    }
    backend.abort();
}

#[tokio::test]
async fn a_proxy_dials_where_the_last_write_says() {
    // The node was taken from the cache, where another server's write arrives a moment later.
    let pair = Pair::start().await;
    let (client, reader) = pair.clients().await;
    node(&client, 1).await;
    let nodes: Api<Node> = Api::all(client.clone());
    for last in 2..100 {
        let address = format!("127.0.0.{last}");
        let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": address}]}});
        nodes
            .patch_status("n", &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
        let (_, message) = ask(&reader, Method::GET, "/api/v1/nodes/n/proxy/")
            .await
            .unwrap_err();
        let expected = format!("error trying to reach service: dial tcp {address}:1:");
        assert!(message.starts_with(&expected), "{message}");
    }
}

#[tokio::test]
async fn an_eviction_knows_a_budget_that_was_just_made() {
    // Budgets were taken from the cache, and a pod was evicted past the one that had just been made.
    let pair = Pair::start().await;
    let (client, reader) = pair.clients().await;
    account(&client).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = json!({"metadata": {"name": "p", "labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
        .await
        .unwrap();
    let running =
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    pods.patch_status("p", &PatchParams::default(), &Patch::Merge(running))
        .await
        .unwrap();
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(client.clone());
    let evicting: Api<Pod> = Api::default_namespaced(reader);
    for number in 0..50 {
        let name = format!("b{number}");
        let budget = json!({"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}});
        budgets
            .create(&PostParams::default(), &serde_json::from_value(budget).unwrap())
            .await
            .unwrap();
        let refused = evicting.evict("p", &EvictParams::default()).await;
        assert!(
            matches!(refused, Err(kube::Error::Api(status)) if status.code == 429),
            "{name}"
        );
        budgets.delete(&name, &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_behind_a_proxy_is_unavailable_and_nobody_behind_logs_is_a_bad_gateway() {
    let (_etcd, server) = started().await;
    let client = server.admin().await.unwrap();
    let free = free_ports(1).unwrap();
    node(&client, free[0]).await;
    let (code, message) = ask(&client, Method::GET, "/api/v1/nodes/n/proxy/")
        .await
        .unwrap_err();
    assert_eq!(code, 503);
    let expected = format!("error trying to reach service: dial tcp 127.0.0.1:{}", free[0]);
    assert!(message.starts_with(&expected), "{message}");

    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    account(&client).await;
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

#[tokio::test]
async fn logs_of_a_kubelet_that_is_not_believed_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let other = testkit::cluster_pki::ClusterPki::write(folder.path()).unwrap();
    let flag = format!(
        "--kubelet-certificate-authority={}",
        other.file("ca.crt").display()
    );
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[&flag])
        .await
        .unwrap();
    let client = server.admin().await.unwrap();
    let (plain, behind) = echo().await;
    let front = TlsFront::start(server.pki(), plain).await.unwrap();
    node(&client, front.port()).await;
    account(&client).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
        .await
        .unwrap();
    let log = "/api/v1/namespaces/default/pods/p/log";
    let (code, message) = ask(&client, Method::GET, log).await.unwrap_err();
    assert_eq!(code, 502, "{message}");
    let expected = "error dialing backend: tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert!(message.starts_with(expected), "{message}");
    // Who reads it may do without.
    let anyway = format!("{log}?insecureSkipTLSVerifyBackend=true");
    ask(&client, Method::GET, &anyway).await.unwrap();
    behind.abort();
    let metrics = ask(&client, Method::GET, "/metrics").await.unwrap();
    for line in [
        "kube_apiserver_pod_logs_backend_tls_failure_total 1",
        r#"kube_apiserver_pod_logs_insecure_backend_total{usage="enforce_tls"} 1"#,
        r#"kube_apiserver_pod_logs_insecure_backend_total{usage="skip_tls_allowed"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
}

#[tokio::test]
async fn a_pod_may_have_a_class_that_was_just_made() {
    // Classes were taken from the cache only, and the pod was refused (seen in the conformance cases).
    let pair = Pair::start().await;
    let (client, reader) = pair.clients().await;
    account(&client).await;
    let priorities: Api<PriorityClass> = Api::all(client.clone());
    let runtimes: Api<RuntimeClass> = Api::all(client);
    let pods: Api<Pod> = Api::default_namespaced(reader);
    for number in 0..50 {
        let name = format!("c{number}");
        let class = json!({"metadata": {"name": name}, "value": number});
        let class = serde_json::from_value(class).unwrap();
        priorities.create(&PostParams::default(), &class).await.unwrap();
        let class =
            json!({"metadata": {"name": name}, "handler": "runc", "overhead": {"podFixed": {"cpu": "5m"}}});
        let class = serde_json::from_value(class).unwrap();
        runtimes.create(&PostParams::default(), &class).await.unwrap();
        let pod = json!({"metadata": {"name": name}, "spec": {
            "priorityClassName": name, "runtimeClassName": name, "containers": [{"name": "c", "image": "i"}],
        }});
        let pod = serde_json::from_value(pod).unwrap();
        let made = pods
            .create(&PostParams::default(), &pod)
            .await
            .unwrap()
            .spec
            .unwrap();
        assert_eq!(made.priority, Some(number));
        assert!(made.overhead.is_some());
    }
}

#[tokio::test]
async fn a_namespaces_first_bounds_hold_at_once() {
    let pair = Pair::start().await;
    let (client, reader) = pair.clients().await;
    let post = async |client: &Client, path: &str, object: serde_json::Value| {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .unwrap();
        match client.request_text(request).await {
            Ok(_) => (201, String::new()),
            Err(kube::Error::Api(status)) => (status.code, status.message),
            Err(other) => panic!("{path}: {other}"),
        }
    };
    for number in 0..30 {
        let name = format!("n{number}");
        let space = format!("/api/v1/namespaces/{name}");
        let named = |name: &str| json!({"metadata": {"name": name}});
        for (path, object) in [
            ("/api/v1/namespaces".to_owned(), named(&name)),
            (format!("{space}/serviceaccounts"), named("default")),
        ] {
            assert_eq!(post(&client, &path, object).await.0, 201, "{path}");
        }
        let limits = json!({"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "min": {"cpu": "50m"}}]}});
        assert_eq!(
            post(&client, &format!("{space}/limitranges"), limits).await.0,
            201
        );
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "10m"}}}]}});
        let (code, said) = post(&reader, &format!("{space}/pods"), pod).await;
        assert!(
            code == 403 && said.contains("minimum cpu usage per Container is 50m"),
            "{name}: {code} {said}"
        );
    }
}
