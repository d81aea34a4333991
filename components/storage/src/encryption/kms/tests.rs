//! A provider against a service over a real socket.

use super::message::*;
use super::*;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// A service that "encrypts" by turning bits, with a key that can be changed.
#[derive(Default)]
struct Service {
    key: AtomicUsize,
    sick: AtomicBool,
    decrypted: AtomicUsize,
}

impl Service {
    fn key_id(&self) -> String {
        format!("key-{}", self.key.load(SeqCst))
    }

    fn answer(&self, method: &str, message: &[u8]) -> Vec<u8> {
        let turn = |bytes: &[u8]| bytes.iter().map(|byte| !byte).collect::<Vec<u8>>();
        match method {
            "Status" => StatusResponse {
                version: "v2".into(),
                healthz: if self.sick.load(SeqCst) { "no key" } else { "ok" }.into(),
                key_id: self.key_id(),
            }
            .encode_to_vec(),
            "Encrypt" => EncryptResponse {
                ciphertext: turn(&EncryptRequest::decode(message).unwrap().plaintext),
                key_id: self.key_id(),
                annotations: [("a.example".to_owned(), b"x".to_vec())].into(),
            }
            .encode_to_vec(),
            _ => {
                self.decrypted.fetch_add(1, SeqCst);
                let request = DecryptRequest::decode(message).unwrap();
                assert_eq!(request.annotations["a.example"], b"x");
                DecryptResponse {
                    plaintext: turn(&request.ciphertext),
                }
                .encode_to_vec()
            }
        }
    }

    /// Serves on its own thread until the process ends.
    fn start(self: &Arc<Self>, socket: &Path) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let service = Arc::clone(self);
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let service = Arc::clone(&service);
                    connections.spawn(testkit::grpc::serve(stream, move |path, message| {
                        let method = path.rsplit('/').next().unwrap();
                        service.answer(method, message)
                    }));
                }
            });
        });
    }
}

fn provider(socket: &Path) -> Kms {
    Kms::new("test", socket.to_owned(), Duration::from_secs(3)).unwrap()
}

const KEY: &str = "/registry/secrets/a/b";

#[test]
fn values_are_written_and_read_under_the_services_keys() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("kms.sock");
    let service = Arc::new(Service::default());
    service.start(&socket);
    let kms = provider(&socket);
    kms.check().unwrap();
    let stored = kms.encrypt(KEY, b"text").unwrap();
    assert!(stored.starts_with(b"k8s:enc:kms:v2:test:"));
    assert!(!stored.windows(4).any(|window| window == b"text"));
    assert_eq!(kms.decrypt(KEY, &stored), Some(Ok((b"text".to_vec(), false))));
    assert_eq!(kms.decrypt(KEY, b"k8s:enc:kms:v2:other:x"), None);
    assert!(
        kms.decrypt("/registry/secrets/a/c", &stored).unwrap().is_err(),
        "moved to another key"
    );

    // Another server knows nothing, and asks once.
    let other = provider(&socket);
    let before = service.decrypted.load(SeqCst);
    for _ in 0..3 {
        assert_eq!(other.decrypt(KEY, &stored), Some(Ok((b"text".to_vec(), false))));
    }
    assert_eq!(service.decrypted.load(SeqCst), before + 1);

    // With another key old values are still read, and known to be outdated.
    service.key.store(1, SeqCst);
    kms.refresh(|_| true);
    assert_eq!(kms.decrypt(KEY, &stored), Some(Ok((b"text".to_vec(), true))));
    let fresh = kms.encrypt(KEY, b"text").unwrap();
    assert_eq!(kms.decrypt(KEY, &fresh), Some(Ok((b"text".to_vec(), false))));
}

#[test]
fn what_services_are_asked_and_which_keys_are_used_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("kms.sock");
    let service = Arc::new(Service::default());
    service.start(&socket);
    let named = || Kms::new("counted", socket.clone(), Duration::from_secs(3)).unwrap();
    let stored = named().encrypt(KEY, b"text").unwrap();
    named().decrypt(KEY, &stored).unwrap().unwrap();
    let mut registry = prometheus_client::registry::Registry::default();
    metrics::register(&mut registry, "sha256:server");
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    // sha256 of `key-0`.
    let key = "key_id_hash=\"sha256:d5ead6fdd3d16630aad4f07f5e49486337a42e58fb4eef0deaabb814c003b134\"";
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("\"counted\"")).collect();
    let has = |start: &str, parts: &[&str]| {
        lines
            .iter()
            .any(|line| line.starts_with(start) && parts.iter().all(|part| line.contains(part)))
    };
    let prefix = "apiserver_envelope_encryption_";
    for method in ["Status", "Encrypt", "Decrypt"] {
        let method = format!("method_name=\"/v2.KeyManagementService/{method}\"");
        let start = format!("{prefix}kms_operations_latency_seconds_count");
        assert!(
            has(&start, &[&method, "grpc_status_code=\"OK\"", " 1"]),
            "{method}: {text}"
        );
    }
    for kind in ["to_storage", "from_storage"] {
        let kind = format!("transformation_type=\"{kind}\"");
        assert!(
            has(&format!("{prefix}key_id_hash_total"), &[&kind, key, "} 1"]),
            "{kind}: {text}"
        );
    }
    assert!(has(&format!("{prefix}dek_source_cache_size"), &["} 1"]), "{text}");
}

#[test]
fn answers_are_good_for_a_while_and_bad_ones_for_less() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("kms.sock");
    let service = Arc::new(Service::default());
    service.start(&socket);
    let kms = provider(&socket);
    let passed = |seconds: u64| {
        let mut state = kms.state.lock();
        let asked = state.asked.unwrap();
        state.asked = Some(asked.checked_sub(Duration::from_secs(seconds)).unwrap());
    };
    kms.check().unwrap();
    let before = kms.encrypt(KEY, b"text").unwrap();
    service.sick.store(true, SeqCst);
    kms.check().unwrap();
    passed(20);
    kms.follow();
    assert_eq!(kms.state.lock().failure, None);
    assert!(kms.check().is_err());
    service.sick.store(false, SeqCst);
    service.key.store(1, SeqCst);
    assert!(kms.check().is_err());
    passed(3);
    kms.check().unwrap();
    // What is asked for its health also tells of another key.
    assert_eq!(kms.decrypt(KEY, &before), Some(Ok((b"text".to_vec(), true))));
    service.key.store(2, SeqCst);
    passed(60);
    kms.follow();
    assert_eq!(kms.state.lock().seed.as_ref().unwrap().key_id, "key-2");
}

#[test]
fn a_sick_or_absent_service_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("kms.sock");
    let kms = provider(&socket);
    let absent = kms.check().unwrap_err();
    let text = "failed to perform status section of the healthz check for KMS Provider test, error: rpc error: code = Unavailable desc = ";
    assert!(absent.starts_with(text), "{absent}");
    assert!(kms.encrypt(KEY, b"text").is_err());
    let service = Arc::new(Service::default());
    service.sick.store(true, SeqCst);
    service.start(&socket);
    let kms = provider(&socket);
    let unwell = "kmsv2 Provider test is not healthy, error: got unexpected healthz status: no key";
    assert_eq!(kms.check(), Err(unwell.to_owned()));
    service.sick.store(false, SeqCst);
    assert!(kms.encrypt(KEY, b"text").is_ok());
}
