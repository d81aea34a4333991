//! Fake API servers, a balancer in this process, and clients.

pub mod lab;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api_balancer::backend::Backends;
use api_balancer::handover::{Handover, Inherited};
use api_balancer::run::Running;
use clap::Parser;
use component_config::api_balancer::Flags;
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const DEADLINE: Duration = Duration::from_secs(15);

/// Waits until the condition holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A certificate authority and one serving certificate.
#[derive(Clone)]
pub struct TestAuthority {
    pem: String,
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
}

impl TestAuthority {
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn new() -> TestAuthority {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(parameters, key);
        let names = ["127.0.0.1", "10.9.0.1", "10.9.0.2"].map(str::to_owned);
        let leaf_key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(names)
            .unwrap()
            .signed_by(&leaf_key, &issuer)
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap(),
            )
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TestAuthority {
            pem: certificate.pem(),
            server: Arc::new(server),
            client: Arc::new(client),
        }
    }
}

/// Answers /readyz and says its name to everything else.
pub struct ApiServer {
    pub address: SocketAddr,
    ready: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl ApiServer {
    pub async fn start(authority: &TestAuthority, name: &'static str, address: SocketAddr) -> ApiServer {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let ready = Arc::new(AtomicBool::new(true));
        let acceptor = TlsAcceptor::from(authority.server.clone());
        let state = ready.clone();
        let task = tokio::spawn(async move {
            // Dropped with the task, so that killing the server also ends its connections.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(answer(acceptor.clone(), stream, name, state.clone()));
            }
        });
        ApiServer { address, ready, task }
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::SeqCst);
    }

    pub fn kill(self) {}
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream, name: &'static str, ready: Arc<AtomicBool>) {
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut request = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut request).await {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let probe = request.starts_with(b"GET /readyz");
        request.clear();
        let (status, body) = match (probe, ready.load(Ordering::SeqCst)) {
            (true, false) => ("500 Internal Server Error", "not ready"),
            (true, true) => ("200 OK", "ok"),
            (false, _) => ("200 OK", name),
        };
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A balancer that runs in this process.
pub struct Balancer {
    pub address: SocketAddr,
    backends: tokio::sync::watch::Receiver<Arc<Backends>>,
    task: JoinHandle<anyhow::Result<()>>,
    configuration: PathBuf,
    _directory: tempfile::TempDir,
}

impl Balancer {
    pub async fn start(
        authority: &TestAuthority,
        backends: &[SocketAddr],
        prefer: Option<SocketAddr>,
    ) -> Balancer {
        let directory = tempfile::tempdir().unwrap();
        let configuration = directory.path().join("balancer.yaml");
        let ca = directory.path().join("ca.crt");
        std::fs::write(&ca, &authority.pem).unwrap();
        let mut text = format!(
            "backends: {:?}\n",
            backends.iter().map(ToString::to_string).collect::<Vec<_>>()
        );
        if let Some(prefer) = prefer {
            text.push_str(&format!("prefer: \"{prefer}\"\n"));
        }
        std::fs::write(&configuration, text).unwrap();
        let flags = Flags::parse_from([
            "api-balancer".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--health-listen=127.0.0.1:0".to_owned(),
            format!("--config={}", configuration.display()),
            format!("--ca={}", ca.display()),
        ]);
        let running = Running::start(flags, Inherited::default(), &Handover::new())
            .await
            .unwrap();
        let (address, backends) = (running.address, running.backends.clone());
        let task = tokio::spawn(running.run());
        Balancer {
            address,
            backends,
            task,
            configuration,
            _directory: directory,
        }
    }

    pub fn statuses(&self) -> String {
        api_balancer::status::respond("/status", &self.backends.borrow()).1
    }

    pub async fn wait_until_healthy(&self, count: usize) {
        eventually("backends are healthy", async || {
            self.statuses().matches(" Healthy ").count() == count
        })
        .await;
    }

    /// Replaces the configuration file as the provisioner does.
    pub fn write_configuration(&self, text: &str) {
        let next = self.configuration.with_extension("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, &self.configuration).unwrap();
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client with one TLS connection through the balancer.
pub struct Client {
    stream: tokio_rustls::client::TlsStream<TcpStream>,
}

impl Client {
    pub async fn connect(authority: &TestAuthority, address: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(authority.client.clone())
            .connect(name, stream)
            .await?;
        Ok(Client { stream })
    }

    /// Body of the answer.
    pub async fn ask(&mut self, path: &str) -> std::io::Result<String> {
        self.stream
            .write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes())
            .await?;
        let mut answer = Vec::new();
        loop {
            if self.stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length: usize = head.rsplit(": ").next().unwrap().parse().unwrap();
            if body.len() == length {
                return Ok(body.to_owned());
            }
        }
    }

    /// Returns when the connection has ended.
    pub async fn ended(&mut self) {
        let ended = tokio::time::timeout(DEADLINE, self.stream.read_u8()).await;
        assert!(ended.expect("the connection ends").is_err());
    }
}
