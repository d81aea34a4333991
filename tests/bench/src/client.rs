//! HTTP/2 over TLS with as many connections as asked for.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub const JSON: &str = "application/json";
/// As upstream's clients ask for it.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf,application/json";
/// A request that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(120);
/// Whole list pages are read without waiting for window updates, as upstream's clients do.
const WINDOW: u32 = 4 << 20;

/// Where the server is, and who asks.
#[derive(Clone)]
pub struct Credentials {
    authority: http::uri::Authority,
    config: Arc<ClientConfig>,
}

impl Credentials {
    pub fn read(server: &str, authority: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(authority).context("certificate authority")? {
            roots.add(root?)?;
        }
        let chain = CertificateDer::pem_file_iter(certificate)
            .context("client certificate")?
            .collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(key).context("client key")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let uri: Uri = server.parse().context("--server")?;
        Ok(Self {
            authority: uri.authority().context("--server has no host")?.clone(),
            config: Arc::new(config),
        })
    }
}

/// Makes connections.
#[derive(Clone)]
pub struct Client {
    credentials: Credentials,
}

/// One connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    authority: http::uri::Authority,
    sender: SendRequest<Full<Bytes>>,
}

/// What to ask.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    pub path: String,
    pub accept: &'static str,
    pub content_type: &'static str,
    pub body: Bytes,
}

impl Ask {
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            accept: JSON,
            content_type: JSON,
            body: Bytes::new(),
        }
    }

    pub fn send(
        method: Method,
        path: impl Into<String>,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            method,
            content_type,
            body: body.into(),
            ..Self::get(path)
        }
    }

    pub fn accept(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }
}

impl Client {
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials }
    }

    pub async fn connect(&self) -> Result<Connection> {
        let Credentials { authority, config } = &self.credentials;
        let port = authority.port_u16().unwrap_or(443);
        let stream = TcpStream::connect((authority.host(), port))
            .await
            .context("connect")?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(authority.host().to_owned())?;
        let tls = TlsConnector::from(Arc::clone(config))
            .connect(name, stream)
            .await
            .context("TLS")?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(4 * WINDOW)
            .handshake(TokioIo::new(tls))
            .await?;
        // Ends when the last sender is dropped; a broken connection shows as failed requests.
        tokio::spawn(connection);
        Ok(Connection {
            authority: authority.clone(),
            sender,
        })
    }

    pub async fn connections(&self, count: usize) -> Result<Vec<Connection>> {
        futures::future::try_join_all((0..count).map(|_| self.connect())).await
    }
}

impl Connection {
    /// Sends and gives the answer's head and body as it comes.
    pub async fn open(&self, ask: &Ask) -> Result<(StatusCode, Incoming)> {
        let uri = Uri::builder()
            .scheme("https")
            .authority(self.authority.clone())
            .path_and_query(ask.path.as_str())
            .build()?;
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(uri)
            .header("accept", ask.accept)
            .header("user-agent", "bench-api");
        if !ask.body.is_empty() {
            request = request.header("content-type", ask.content_type);
        }
        let mut sender = self.sender.clone();
        sender.ready().await?;
        let answer = sender.send_request(request.body(Full::new(ask.body.clone()))?);
        let answer = tokio::time::timeout(PATIENCE, answer)
            .await
            .context("no answer")??;
        let (head, body) = answer.into_parts();
        Ok((head.status, body))
    }

    /// Reads the whole answer without keeping it; its length. Fails unless the answer is a success.
    pub async fn drain(&self, ask: &Ask) -> Result<usize> {
        let (status, mut body) = self.open(ask).await?;
        if !status.is_success() {
            let text = body.collect().await?.to_bytes();
            bail!(
                "{} {} answered {status}: {}",
                ask.method,
                ask.path,
                String::from_utf8_lossy(&text)
            );
        }
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    }

    /// The answer as JSON. Fails unless it is a success.
    pub async fn json(&self, ask: &Ask) -> Result<serde_json::Value> {
        let (status, body) = self.open(ask).await?;
        let bytes = body.collect().await?.to_bytes();
        if !status.is_success() {
            bail!(
                "{} {} answered {status}: {}",
                ask.method,
                ask.path,
                String::from_utf8_lossy(&bytes)
            );
        }
        Ok(serde_json::from_slice(&bytes)?)
    }
}
