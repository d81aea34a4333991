//! Aggregated API servers: another server of ours, and one that changes protocol.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use futures::{StreamExt, TryStreamExt};
use http::StatusCode;
use k8s_openapi::api::batch::v1::CronJob;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::cluster_pki::ClusterPki;
use testkit::etcd::Etcd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");

async fn get(client: &kube::Client, path: &str, accept: &str) -> (StatusCode, String) {
    let request = http::Request::get(path)
        .header("accept", accept)
        .body(kube::client::Body::empty())
        .unwrap();
    let answer = client.send(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = body.collect_bytes().await.unwrap();
    (parts.status, String::from_utf8_lossy(&bytes).into_owned())
}

async fn eventually<F: Future<Output = Option<String>>>(what: &str, mut wrong: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Some(seen) = wrong().await {
        assert!(Instant::now() < deadline, "{what}: {seen}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn available(admin: &kube::Client, name: &str) -> Value {
    let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}");
    let (_, text) = get(admin, &path, "application/json").await;
    serde_json::from_str::<Value>(&text).unwrap()["status"]["conditions"][0].clone()
}

async fn external(admin: &kube::Client) {
    let service = json!({"metadata": {"name": "aggregated"}, "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": 443}]}});
    let services: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(admin.clone(), "default");
    services
        .create(&PostParams::default(), &serde_json::from_value(service).unwrap())
        .await
        .unwrap();
}

fn bundle(pki: &ClusterPki) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(std::fs::read(pki.file("ca.crt")).unwrap())
}

#[tokio::test]
async fn a_group_is_served_by_another_server() {
    let (own_etcd, other_etcd) = (Etcd::start().await.unwrap(), Etcd::start().await.unwrap());
    let own = ApiServer::start(Path::new(BINARY), &own_etcd, &[]).await.unwrap();
    let trusted = format!(
        "--requestheader-client-ca-file={}",
        own.pki().file("ca.crt").display()
    );
    let mut other = ApiServer::start(Path::new(BINARY), &other_etcd, &[&trusted])
        .await
        .unwrap();
    let admin = own.admin().await.unwrap();
    external(&admin).await;
    let patch = json!({"spec": {
        "service": {"namespace": "default", "name": "aggregated", "port": other.port()},
        "caBundle": bundle(other.pki()),
    }});
    let request = http::Request::patch("/apis/apiregistration.k8s.io/v1/apiservices/v1.batch")
        .header("content-type", "application/merge-patch+json")
        .body(patch.to_string().into_bytes())
        .unwrap();
    admin.request::<Value>(request).await.unwrap();
    passes(&admin, "v1.batch").await;

    // Writes and watches go there, in the name of who makes them.
    let jobs: Api<CronJob> = Api::namespaced(admin.clone(), "default");
    let mut watch = jobs
        .watch(&WatchParams::default().disable_bookmarks(), "0")
        .await
        .unwrap()
        .boxed();
    let job = json!({"metadata": {"name": "j"}, "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}});
    jobs.create(&PostParams::default(), &serde_json::from_value(job).unwrap())
        .await
        .unwrap();
    let event = tokio::time::timeout(Duration::from_secs(10), watch.try_next())
        .await
        .unwrap();
    assert!(
        matches!(event.unwrap(), Some(WatchEvent::Added(job)) if job.metadata.name.as_deref() == Some("j"))
    );
    let there: Api<CronJob> = Api::namespaced(other.admin().await.unwrap(), "default");
    assert!(there.get("j").await.is_ok());
    let applied = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "j"}, "spec": {"suspend": true}});
    let params = PatchParams::apply("test").force();
    assert_eq!(
        jobs.patch("j", &params, &Patch::Apply(applied))
            .await
            .unwrap()
            .spec
            .suspend,
        Some(true)
    );

    // Both servers have a say: here the user may read, there nobody knows her.
    let binding = json!({"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(admin.clone());
    bindings
        .create(&PostParams::default(), &serde_json::from_value(binding).unwrap())
        .await
        .unwrap();
    let jane = own.client("jane", &[]).await.unwrap();
    let (path, json_type) = ("/apis/batch/v1/namespaces/default/cronjobs", "application/json");
    eventually("the binding is seen", || async {
        let (_, text) = get(&jane, "/apis/apps/v1/namespaces/default/deployments", json_type).await;
        text.contains("forbidden").then_some(text)
    })
    .await;
    let (code, text) = get(&jane, path, json_type).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert!(
        text.contains("User \\\"jane\\\" cannot list resource \\\"cronjobs\\\""),
        "{text}"
    );

    // Discovery and OpenAPI are those of both.
    let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let batch = |text: &str| {
        let document: Value = serde_json::from_str(text).unwrap();
        let items = document["items"].as_array().unwrap().clone();
        items
            .into_iter()
            .find(|item| item["metadata"]["name"] == "batch")
            .unwrap()["versions"][0]
            .clone()
    };
    let entry = batch(&get(&admin, "/apis", v2).await.1);
    assert_eq!(
        (&entry["freshness"], &entry["resources"][0]["resource"]),
        (&json!("Current"), &json!("cronjobs"))
    );
    assert!(
        get(&admin, "/apis/batch/v1", json_type)
            .await
            .1
            .contains("cronjobs/status")
    );
    eventually("the OpenAPI document is there", || async {
        let (_, text) = get(&admin, "/openapi/v3/apis/batch/v1", json_type).await;
        (!text.contains("CronJobSpec")).then_some(text)
    })
    .await;

    // A server that is gone is unavailable, and known to be.
    other.terminate(Duration::from_secs(30)).unwrap();
    eventually("the other server fails", || async {
        let condition = available(&admin, "v1.batch").await;
        (condition["reason"] != "FailedDiscoveryCheck").then(|| condition.to_string())
    })
    .await;
    eventually("requests are refused", || async {
        let answer = get(&admin, path, json_type).await;
        (answer
            != (
                StatusCode::SERVICE_UNAVAILABLE,
                "service unavailable\n".to_owned(),
            ))
            .then_some(answer.1)
    })
    .await;
    assert_eq!(batch(&get(&admin, "/apis", v2).await.1)["freshness"], "Stale");
    assert!(
        get(&admin, "/metrics", "*/*")
            .await
            .1
            .contains("aggregator_unavailable_apiservice{name=\"v1.batch\"} 1")
    );
    // Everything else goes on.
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(admin, "default");
    assert!(maps.list(&ListParams::default()).await.is_ok());
}

/// Answers discovery, says at `/told` what it was sent and at `/nothing` nothing, and echoes on connections that ask for `echo`. Its certificate names it in the subject only.
async fn echo_server(pki: &ClusterPki) -> (u16, tokio::task::JoinHandle<()>) {
    use rustls::pki_types::pem::PemObject;
    pki.nameless("echo", "aggregated.default.svc").unwrap();
    let chain = rustls::pki_types::CertificateDer::pem_file_iter(pki.file("echo.crt"))
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_file(pki.file("echo.key")).unwrap();
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                if head.contains("upgrade: echo") && head.contains("x-remote-user: admin") {
                    let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
                    stream.write_all(switch.as_bytes()).await.unwrap();
                    let (mut read, mut write) = tokio::io::split(stream);
                    tokio::io::copy(&mut read, &mut write).await.ok();
                    return;
                }
                let line = head.lines().next().unwrap_or("");
                if line.contains("/nothing") {
                    return;
                }
                if line.contains("/elsewhere") {
                    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {ELSEWHERE}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.ok();
                    stream.shutdown().await.ok();
                    return;
                }
                let discovery = r#"{"kind":"APIResourceList","groupVersion":"echo.example.com/v1","resources":[]}"#;
                let body = if line.contains("/told") { head.as_str() } else { discovery };
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.ok();
                stream.shutdown().await.ok();
            });
        }
    });
    (port, task)
}

#[tokio::test]
async fn connections_change_protocol_through_the_aggregator() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    external(&admin).await;
    let (port, echo) = echo_server(server.pki()).await;
    let reference = json!({"namespace": "default", "name": "aggregated", "port": port});
    let name = "v1.echo.example.com";
    register(
        &admin,
        name,
        json!({"service": reference, "insecureSkipTLSVerify": true}),
    )
    .await;
    passes(&admin, name).await;
    assert!(
        get(&admin, "/apis", "application/json")
            .await
            .1
            .contains("echo.example.com/v1")
    );

    assert_eq!(redirected(&admin).await.0, StatusCode::BAD_GATEWAY);
    let mut stream = raw(&server).await;
    let request = "GET /apis/echo.example.com/v1/connect HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\nx-remote-user: mallory\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");
    echo.abort();
    // Nobody looks at its certificate, which others would not believe; that is counted.
    let (_, metrics) = get(&admin, "/metrics", "*/*").await;
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("apiserver_kube_aggregator_x509_missing_san_total "));
    assert!(count.unwrap().parse::<u64>().unwrap() >= 2, "{metrics}");
    assert!(metrics.contains("\napiserver_kube_aggregator_x509_insecure_sha1_total 0\n"));
}

const ELSEWHERE: &str = "https://elsewhere.example.com/x";

/// What a client is told that is sent elsewhere.
async fn redirected(client: &kube::Client) -> (StatusCode, Option<String>) {
    let request = http::Request::get("/apis/echo.example.com/v1/elsewhere");
    let request = request.body(kube::client::Body::empty()).unwrap();
    let answer = client.send(request).await.unwrap();
    let location = answer.headers().get("location");
    let location = location.map(|location| location.to_str().unwrap().to_owned());
    (answer.status(), location)
}

async fn register(admin: &kube::Client, name: &str, more: Value) {
    let (version, group) = name.split_once('.').unwrap();
    let mut service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": {
        "group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 10}});
    let more = more.as_object().unwrap().clone();
    service["spec"].as_object_mut().unwrap().extend(more);
    let request = http::Request::post("/apis/apiregistration.k8s.io/v1/apiservices")
        .header("content-type", "application/json")
        .body(service.to_string().into_bytes())
        .unwrap();
    admin.request::<Value>(request).await.unwrap();
}

/// Waits until requests are sent on to the server that an APIService is about. The status alone doesn't tell: it is stored first, and
/// every server acts on it once it has seen that.
async fn passes(admin: &kube::Client, name: &str) {
    eventually("the server passes", || async {
        let condition = available(admin, name).await;
        (condition["reason"] != "Passed").then(|| condition.to_string())
    })
    .await;
    let (version, group) = name.split_once('.').unwrap();
    let path = format!("/apis/{group}/{version}");
    eventually("requests are sent on", || async {
        let (_, text) = get(admin, &path, "application/json").await;
        (text == "service unavailable\n").then_some(text)
    })
    .await;
}

#[tokio::test]
async fn other_servers_are_told_who_asks_for_what_and_how() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(
        Path::new(BINARY),
        &etcd,
        &["--aggregator-reject-forwarding-redirect=false"],
    )
    .await
    .unwrap();
    let admin = server.admin().await.unwrap();
    external(&admin).await;
    let (port, echo) = echo_server(server.pki()).await;
    let reference = json!({"namespace": "default", "name": "aggregated", "port": port});
    let name = "v1.echo.example.com";
    register(
        &admin,
        name,
        json!({"service": reference, "insecureSkipTLSVerify": true}),
    )
    .await;
    passes(&admin, name).await;
    let sent = (StatusCode::FOUND, Some(ELSEWHERE.to_owned()));
    assert_eq!(redirected(&admin).await, sent);

    let path = "/apis/echo.example.com/v1/namespaces/a/told";
    let request = http::Request::get(path)
        .body(kube::client::Body::empty())
        .unwrap();
    let (parts, body) = admin.send(request).await.unwrap().into_parts();
    let told = String::from_utf8(body.collect_bytes().await.unwrap().to_vec()).unwrap();
    assert_eq!(parts.headers["cache-control"], "no-cache, private");
    let id = parts.headers["audit-id"].to_str().unwrap();
    for header in [
        format!("audit-id: {id}"),
        format!("host: localhost:{port}"),
        format!("x-forwarded-uri: {path}"),
        format!("x-forwarded-host: localhost:{port}"),
        "x-forwarded-proto: https".to_owned(),
    ] {
        assert!(told.lines().any(|line| line == header), "{header} in {told}");
    }
    let (code, text) = get(&admin, "/apis/echo.example.com/v1/nothing", "*/*").await;
    assert_eq!(
        (code.as_u16(), text.as_str()),
        (503, "error trying to reach service: EOF\n")
    );

    // The other server counts them; nobody makes series here by making resources up.
    let mallory = server.client("mallory", &[]).await.unwrap();
    let (code, _) = get(
        &mallory,
        "/apis/echo.example.com/v1/namespaces/a/rand1/x/sub1",
        "*/*",
    )
    .await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    let (_, metrics) = get(&admin, "/metrics", "*/*").await;
    assert!(!metrics.contains("rand1"), "{metrics}");
    assert!(!metrics.contains("group=\"echo.example.com\""), "{metrics}");
    echo.abort();
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_available_but_not_spoken_to() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    external(&admin).await;
    let (port, echo) = echo_server(server.pki()).await;
    let reference = json!({"namespace": "default", "name": "aggregated", "port": port});
    register(
        &admin,
        "v1.echo.example.com",
        json!({"service": reference, "caBundle": "bm90aGluZw=="}),
    )
    .await;
    register(&admin, "v1.other.example.com", json!({"service": reference})).await;
    passes(&admin, "v1.echo.example.com").await;
    passes(&admin, "v1.other.example.com").await;
    let (code, text) = get(&admin, "/apis/echo.example.com/v1/told", "*/*").await;
    assert_eq!(
        (code.as_u16(), text.as_str()),
        (
            500,
            "unable to load root certificates: unable to parse bytes as PEM block\n"
        )
    );
    let (code, text) = get(&admin, "/apis/other.example.com/v1/told", "*/*").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        text.starts_with("error trying to reach service: tls: failed to verify certificate: x509: "),
        "{text}"
    );
    // What it says of itself isn't taken from it either.
    let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let (_, text) = get(&admin, "/apis", v2).await;
    let document: Value = serde_json::from_str(&text).unwrap();
    let items = document["items"].as_array().unwrap();
    let other = items
        .iter()
        .find(|item| item["metadata"]["name"] == "other.example.com");
    assert!(
        other.is_none_or(|other| other["versions"][0]["freshness"] == "Stale"),
        "{text}"
    );
    let (_, metrics) = get(&admin, "/metrics", "*/*").await;
    let terminated = metrics.lines().find(|line| {
        line.starts_with("apiserver_request_terminations_total{code=\"500\",verb=\"LIST\"")
            && line.contains("component=\"aggregator\"")
    });
    assert!(terminated.is_some_and(|line| line.ends_with("} 1")), "{metrics}");
    echo.abort();
}

#[tokio::test]
async fn nothing_is_told_of_an_apiservice_that_is_gone() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    let name = "v1.gone.example.com";
    register(
        &admin,
        name,
        json!({"service": {"namespace": "default", "name": "none"}}),
    )
    .await;
    let series = format!("aggregator_unavailable_apiservice{{name=\"{name}\"}}");
    let told = || async {
        get(&admin, "/metrics", "*/*")
            .await
            .1
            .contains(&format!("{series} 1"))
    };
    eventually("it is unavailable", || async {
        (!told().await).then(String::new)
    })
    .await;
    let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}");
    let request = http::Request::delete(&path).body(Vec::new()).unwrap();
    admin.request::<Value>(request).await.unwrap();
    eventually("it is forgotten", || async { told().await.then(String::new) }).await;
}

/// A connection of the administrator that speaks HTTP/1.1.
async fn raw(server: &ApiServer) -> tokio_rustls::client::TlsStream<TcpStream> {
    use rustls::pki_types::pem::PemObject;
    let pki = server.pki();
    let mut roots = rustls::RootCertStore::empty();
    for root in rustls::pki_types::CertificateDer::pem_file_iter(pki.file("ca.crt")).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let chain = rustls::pki_types::CertificateDer::pem_file_iter(pki.file("admin.crt"))
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_file(pki.file("admin.key")).unwrap();
    let mut tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tcp = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(tls))
        .connect(name, tcp)
        .await
        .unwrap()
}
