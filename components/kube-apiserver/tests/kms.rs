//! A key management service that goes away and comes back, while two servers write under keys of their own.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use prost::Message;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use testkit::eventually;
use tokio::net::UnixListener;
use tokio::task::{JoinHandle, JoinSet};

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "2")]
    healthz: String,
    #[prost(string, tag = "3")]
    key_id: String,
}

/// Of encrypting and decrypting: what came in, or what goes out and under which key.
#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
    #[prost(string, tag = "2")]
    key_id: String,
}

/// "Encrypts" by turning bits.
fn answer(path: &str, message: &[u8]) -> Vec<u8> {
    let turned = || {
        let text = Text::decode(message).unwrap();
        text.bytes.iter().map(|byte| !byte).collect()
    };
    match path.rsplit('/').next().unwrap() {
        "Status" => Status {
            version: "v2".into(),
            healthz: "ok".into(),
            key_id: "key".into(),
        }
        .encode_to_vec(),
        "Encrypt" => Text {
            bytes: turned(),
            key_id: "key".into(),
        }
        .encode_to_vec(),
        _ => Text {
            bytes: turned(),
            key_id: String::new(),
        }
        .encode_to_vec(),
    }
}

/// A running service.
struct Service(JoinHandle<()>);

impl Service {
    /// Ends it with its connections.
    async fn end(self, socket: &Path) {
        self.0.abort();
        assert!(self.0.await.unwrap_err().is_cancelled());
        std::fs::remove_file(socket).unwrap();
    }
}

fn serve(socket: &Path) -> Service {
    let listener = UnixListener::bind(socket).unwrap();
    Service(tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(testkit::grpc::serve(stream, answer));
        }
    }))
}

async fn secrets(server: &ApiServer) -> Api<Secret> {
    Api::default_namespaced(server.admin().await.unwrap())
}

async fn create(secrets: &Api<Secret>, name: &str) {
    let secret = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    secrets.create(&PostParams::default(), &secret).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_decrypted_for_a_while_is_not_taken_for_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("kms.sock");
    let file: PathBuf = folder.path().join("encryption");
    let provider = json!({"kms": {"apiVersion": "v2", "name": "k", "endpoint": format!("unix://{}", socket.display()), "timeout": "1s"}});
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [provider]}],
    });
    std::fs::write(&file, configuration.to_string()).unwrap();
    let flag = format!("--encryption-provider-config={}", file.display());
    let service = serve(&socket);
    let etcd = Etcd::start().await.unwrap();
    let start = async |address: &str| {
        let address = format!("--advertise-address={address}");
        ApiServer::start(Path::new(BINARY), &etcd, &[&flag, &address])
            .await
            .unwrap()
    };
    let (writer, reader) = (start("192.0.2.2").await, start("192.0.2.3").await);
    let (written, read) = (secrets(&writer).await, secrets(&reader).await);
    // The reader has a key of its own, and is not asked for the writer's before the service is gone.
    create(&read, "before").await;
    let mut watch = read
        .watch(&WatchParams::default().disable_bookmarks(), "0")
        .await
        .unwrap()
        .boxed();
    let first = watch.next().await.unwrap();
    assert!(matches!(first, Ok(WatchEvent::Added(_))), "{first:?}");
    service.end(&socket).await;

    // The writer goes on for a while without the service; the reader can't follow, and says so.
    create(&written, "meanwhile").await;
    let told = watch.next().await.unwrap();
    assert!(
        matches!(&told, Ok(WatchEvent::Error(status)) if status.code == 410),
        "{told:?}"
    );
    let refused = read.list(&ListParams::default()).await.unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 500 && status.message.contains("/registry/secrets/default/meanwhile")),
        "{refused:?}"
    );
    assert!(read.get("before").await.is_ok());
    let other: Api<Secret> = Api::namespaced(reader.admin().await.unwrap(), "kube-public");
    assert!(other.list(&ListParams::default()).await.is_ok());

    // It comes back by itself.
    let service = serve(&socket);
    eventually(PATIENCE, "the list is whole", async || {
        match read.list(&ListParams::default()).await {
            Ok(list) if list.items.len() == 2 => None,
            other => Some(format!("{other:?}")),
        }
    })
    .await;
    let request = http::Request::get("/metrics").body(vec![]).unwrap();
    let metrics = reader.admin().await.unwrap().request_text(request).await.unwrap();
    let value = |name: &str| {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_default().trim().parse::<f64>().unwrap_or(-1.0)
    };
    // Its own seed, and the looks for the writer's.
    assert!(
        value("apiserver_storage_data_key_generation_duration_seconds_count") >= 1.0,
        "{metrics}"
    );
    assert!(
        value("apiserver_storage_data_key_generation_failures_total") == 0.0,
        "{metrics}"
    );
    assert!(
        value("apiserver_storage_envelope_transformation_cache_misses_total") >= 1.0,
        "{metrics}"
    );
    service.end(&socket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_waits_for_the_service_that_its_secrets_need() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("kms.sock");
    let file = folder.path().join("encryption");
    let provider = json!({"kms": {"apiVersion": "v2", "name": "k", "endpoint": format!("unix://{}", socket.display()), "timeout": "1s"}});
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["*.*"], "providers": [provider]}],
    });
    std::fs::write(&file, configuration.to_string()).unwrap();
    let flag = format!("--encryption-provider-config={}", file.display());
    let etcd = Etcd::start().await.unwrap();
    let service = serve(&socket);
    let mut server = ApiServer::start(Path::new(BINARY), &etcd, &[&flag])
        .await
        .unwrap();
    create(&secrets(&server).await, "kept").await;
    service.end(&socket).await;
    // It knows no role then, and must not take that for there being none.
    let client = server.admin().await.unwrap();
    let unready = async || {
        let request = http::Request::get("/readyz")
            .body(kube::client::Body::empty())
            .unwrap();
        let Ok(answer) = client.send(request).await else {
            return Some("no answer".to_owned());
        };
        let text = answer.into_body().collect_bytes().await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        (!text.contains("[-]informer-sync")).then_some(text)
    };
    let service = async {
        eventually(PATIENCE, "the server waits", unready).await;
        serve(&socket)
    };
    let flags = [&*flag];
    let (came, service) = tokio::join!(server.restart(Path::new(BINARY), &etcd, &flags), service);
    came.unwrap();
    assert!(secrets(&server).await.get("kept").await.is_ok());
    service.end(&socket).await;
}
