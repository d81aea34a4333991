//! Tokens that a service signs: `--service-account-signing-endpoint`.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use std::os::linux::net::SocketAddrExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use tokio::net::UnixListener;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
/// What stands before the point in the DER of a P-256 key.
const SPKI: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

#[derive(Clone, PartialEq, Message)]
struct SignRequest {
    #[prost(string, tag = "1")]
    claims: String,
}

#[derive(Clone, PartialEq, Message)]
struct SignResponse {
    #[prost(string, tag = "1")]
    header: String,
    #[prost(string, tag = "2")]
    signature: String,
}

#[derive(Clone, PartialEq, Message)]
struct Key {
    #[prost(string, tag = "1")]
    key_id: String,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(bool, tag = "3")]
    excluded: bool,
}

#[derive(Clone, PartialEq, Message)]
struct KeysResponse {
    #[prost(message, repeated, tag = "1")]
    keys: Vec<Key>,
    #[prost(message, optional, tag = "2")]
    data_timestamp: Option<Timestamp>,
    #[prost(int64, tag = "3")]
    refresh_hint_seconds: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

#[derive(Clone, PartialEq, Message)]
struct MetadataResponse {
    #[prost(int64, tag = "1")]
    max_token_expiration_seconds: i64,
}

struct Pair {
    id: String,
    pair: EcdsaKeyPair,
    excluded: bool,
}

impl Pair {
    fn new(id: &str, excluded: bool) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Self {
            id: id.to_owned(),
            pair: pair.unwrap(),
            excluded,
        }
    }
}

/// A signer whose last key signs.
struct Signer {
    keys: Mutex<Vec<Pair>>,
    fetched: AtomicUsize,
}

impl Signer {
    fn start(socket: &Path) -> Arc<Self> {
        Self::on(UnixListener::bind(socket).unwrap())
    }

    fn on(listener: UnixListener) -> Arc<Self> {
        let signer = Arc::new(Self {
            keys: Mutex::new(vec![Pair::new("old", true), Pair::new("first", false)]),
            fetched: AtomicUsize::new(0),
        });
        tokio::spawn(serve(listener, Arc::clone(&signer)));
        signer
    }

    fn answer(&self, path: &str, message: &[u8]) -> Vec<u8> {
        let keys = self.keys.lock().unwrap();
        match path {
            "/v1.ExternalJWTSigner/Sign" => {
                let signing = keys.last().unwrap();
                let header = json!({"alg": "ES256", "kid": signing.id, "typ": "JWT"}).to_string();
                let header = URL_SAFE_NO_PAD.encode(header);
                let signed = format!("{header}.{}", SignRequest::decode(message).unwrap().claims);
                let signature = signing
                    .pair
                    .sign(&SystemRandom::new(), signed.as_bytes())
                    .unwrap();
                let signature = URL_SAFE_NO_PAD.encode(signature.as_ref());
                SignResponse { header, signature }.encode_to_vec()
            }
            "/v1.ExternalJWTSigner/FetchKeys" => {
                self.fetched.fetch_add(1, SeqCst);
                let public = |key: &Pair| Key {
                    key_id: key.id.clone(),
                    key: [&hex::decode(SPKI).unwrap(), key.pair.public_key().as_ref()].concat(),
                    excluded: key.excluded,
                };
                KeysResponse {
                    keys: keys.iter().map(public).collect(),
                    data_timestamp: Some(Timestamp {
                        seconds: 1_700_000_000,
                    }),
                    refresh_hint_seconds: 600,
                }
                .encode_to_vec()
            }
            "/v1.ExternalJWTSigner/Metadata" => MetadataResponse {
                max_token_expiration_seconds: 3600,
            }
            .encode_to_vec(),
            other => panic!("{other}"),
        }
    }
}

async fn serve(listener: UnixListener, signer: Arc<Signer>) {
    while let Ok((stream, _)) = listener.accept().await {
        let signer = Arc::clone(&signer);
        tokio::spawn(testkit::grpc::serve(stream, move |path, message| {
            signer.answer(path, message)
        }));
    }
}

fn post(path: &str, body: &Value) -> http::Request<Vec<u8>> {
    http::Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap()
}

async fn value(client: &kube::Client, request: http::Request<Vec<u8>>) -> Result<Value, (u16, String)> {
    match client.request::<Value>(request).await {
        Ok(value) => Ok(value),
        Err(kube::Error::Api(status)) => Err((status.code, status.message)),
        Err(other) => panic!("{other}"),
    }
}

fn kid(token: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].clone()
}

/// An API server that has its tokens signed, with a service account `a`.
async fn server_with_account(etcd: &Etcd, flag: &str) -> (ApiServer, kube::Client) {
    let server = ApiServer::start(Path::new(BINARY), etcd, &[flag]).await.unwrap();
    let client = server.admin().await.unwrap();
    let account = json!({"metadata": {"name": "a"}});
    value(&client, post(ACCOUNTS, &account)).await.unwrap();
    (server, client)
}

#[tokio::test]
async fn a_service_signs_tokens_and_its_keys_verify_them() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("signer");
    let signer = Signer::start(&socket);
    let flag = format!("--service-account-signing-endpoint={}", socket.display());
    let etcd = Etcd::start().await.unwrap();
    let (_server, client) = server_with_account(&etcd, &flag).await;

    let request = || {
        post(
            &format!("{ACCOUNTS}/a/token"),
            &json!({"spec": {"expirationSeconds": 7200}}),
        )
    };
    let review = |token: &str| {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        post("/apis/authentication.k8s.io/v1/tokenreviews", &review)
    };
    let first = value(&client, request()).await.unwrap();
    assert_eq!(
        first["spec"]["expirationSeconds"], 3600,
        "as long as the signer allows"
    );
    let first = first["status"]["token"].as_str().unwrap().to_owned();
    assert_eq!(kid(&first), "first");
    let reviewed = value(&client, review(&first)).await.unwrap();
    assert_eq!(
        reviewed["status"]["user"]["username"],
        "system:serviceaccount:default:a"
    );
    let keys = http::Request::get("/openid/v1/jwks").body(Vec::new()).unwrap();
    let published = value(&client, keys).await.unwrap();
    let ids: Vec<&Value> = published["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["kid"])
        .collect();
    assert_eq!(ids, ["first"]);

    // A new key is asked for when it is met, and the others are good for as long as the signer has them.
    signer.keys.lock().unwrap().push(Pair::new("second", false));
    let before = signer.fetched.load(SeqCst);
    let second = value(&client, request()).await.unwrap();
    let second = second["status"]["token"].as_str().unwrap().to_owned();
    assert_eq!(kid(&second), "second");
    for token in [&first, &second] {
        let reviewed = value(&client, review(token)).await.unwrap();
        assert_eq!(reviewed["status"]["authenticated"], true);
    }
    assert_eq!(signer.fetched.load(SeqCst), before + 1);

    // What nobody could look up is not given out.
    signer.keys.lock().unwrap().push(Pair::new("hidden", true));
    let (code, why) = value(&client, request()).await.unwrap_err();
    assert!(
        code == 500
            && why.ends_with(
                "while validating header: key used for signing JWT (kid: hidden) is excluded from OIDC discovery docs"
            ),
        "{why}"
    );
    let metrics = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let metrics = client.request_text(metrics).await.unwrap();
    for line in [
        "apiserver_externaljwt_fetch_keys_data_timestamp 1700000000.0",
        "apiserver_externaljwt_fetch_keys_request_total{code=\"OK\"} 3",
        "apiserver_externaljwt_sign_request_total{code=\"OK\"} 2",
        "apiserver_externaljwt_sign_request_total{code=\"unknown-non-grpc\"} 1",
        "apiserver_externaljwt_request_duration_seconds_count{method=\"/v1.ExternalJWTSigner/Sign\",code=\"OK\"} 3",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
}

#[tokio::test]
async fn a_server_does_not_start_with_a_signer_that_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("signer");
    let _signer = Signer::start(&socket);
    let flag = format!("--service-account-signing-endpoint={}", socket.display());
    let etcd = Etcd::start().await.unwrap();
    for (flags, said) in [
        (
            &[flag.as_str(), "--service-account-max-token-expiration=2h"][..],
            "the signer allows tokens of 3600 s at most",
        ),
        (&[&flag, "--service-account-key-file=/x"], "cannot be used with"),
    ] {
        let error = match ApiServer::start(Path::new(BINARY), &etcd, flags).await {
            Ok(_) => panic!("{flags:?}: it started"),
            Err(error) => format!("{error:#}"),
        };
        assert!(error.contains(said), "{flags:?}: {error}");
    }
}

#[tokio::test]
async fn a_signer_may_start_after_the_server_and_be_away_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("signer");
    let flag = format!("--service-account-signing-endpoint={}", socket.display());
    let etcd = Etcd::start().await.unwrap();
    let starting = server_with_account(&etcd, &flag);
    let late = async {
        // Not before the server has looked for it.
        let refused = UnixListener::bind(&socket).unwrap();
        drop(refused.accept().await.unwrap());
        drop(refused);
        std::fs::remove_file(&socket).unwrap();
        Signer::start(&socket)
    };
    let ((_server, client), _signer) = tokio::join!(starting, late);
    let asked = post(&format!("{ACCOUNTS}/a/token"), &json!({"spec": {}}));
    let token = value(&client, asked).await.unwrap();
    assert_eq!(kid(token["status"]["token"].as_str().unwrap()), "first");
}

#[tokio::test]
async fn a_signer_may_listen_on_an_abstract_socket() {
    let name = format!("hardway-signer-{}", uuid::Uuid::new_v4());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let _signer = Signer::on(UnixListener::from_std(listener).unwrap());
    let flag = format!("--service-account-signing-endpoint=@{name}");
    let etcd = Etcd::start().await.unwrap();
    let (_server, client) = server_with_account(&etcd, &flag).await;
    let asked = post(&format!("{ACCOUNTS}/a/token"), &json!({"spec": {}}));
    let token = value(&client, asked).await.unwrap();
    assert_eq!(kid(token["status"]["token"].as_str().unwrap()), "first");
}

#[tokio::test]
async fn a_token_for_an_account_that_is_gone_is_refused_unless_the_gate_is_off() {
    let etcd = Etcd::start().await.unwrap();
    let (_server, client) = server_with_account(&etcd, "--profiling=false").await;
    let asked = |uid: &str| {
        post(
            &format!("{ACCOUNTS}/a/token"),
            &json!({"metadata": {"uid": uid}, "spec": {}}),
        )
    };
    let account = http::Request::get(format!("{ACCOUNTS}/a"))
        .body(Vec::new())
        .unwrap();
    let account = value(&client, account).await.unwrap();
    let uid = account["metadata"]["uid"].as_str().unwrap();
    value(&client, asked(uid)).await.unwrap();
    let named = post(
        &format!("{ACCOUNTS}/a/token"),
        &json!({"metadata": {"name": "b"}, "spec": {}}),
    );
    let refused = "TokenRequest.authentication.k8s.io \"a\" is invalid: metadata.name: Invalid value: \"b\": must match the \
                   service account name if specified";
    assert_eq!(
        value(&client, named).await.unwrap_err(),
        (422, refused.to_owned())
    );
    let bound = |version: &str, kind: &str| {
        let reference = json!({"apiVersion": version, "kind": kind, "name": "a"});
        post(
            &format!("{ACCOUNTS}/a/token"),
            &json!({"spec": {"boundObjectRef": reference}}),
        )
    };
    for (version, kind, code, why) in [
        (
            "v1",
            "Odd",
            400,
            "cannot bind token to object of type /v1, Kind=Odd",
        ),
        (
            "a/v1",
            "Pod",
            400,
            "cannot bind token to object of type a/v1, Kind=Pod",
        ),
        ("v2", "Secret", 404, "secrets \"a\" not found"),
    ] {
        let found = value(&client, bound(version, kind)).await.unwrap_err();
        assert_eq!(found, (code, why.to_owned()), "{version} {kind}");
    }
    let (code, error) = value(&client, asked("other")).await.unwrap_err();
    let said = format!(
        "Operation cannot be fulfilled on TokenRequest.authentication.k8s.io \"a\": the UID in the token request (other) \
         does not match the UID of the service account ({uid})"
    );
    assert_eq!((code, error), (409, said));

    let flag = "--feature-gates=TokenRequestServiceAccountUIDValidation=false";
    let another = ApiServer::start(Path::new(BINARY), &etcd, &[flag]).await.unwrap();
    let client = another.admin().await.unwrap();
    value(&client, asked("other")).await.unwrap();
}
