//! Ways out of this server: directly, or through a proxy that takes CONNECT or speaks konnectivity's protocol
//! (`--egress-selector-config-file`).

mod grpc;
mod metrics;
mod read;

use crate::serving::certificates::{provider, read_certificates};
use crate::serving::stamps::{Stamp, stamp};
use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use component_config::kube_apiserver::egress::TlsConfig;
use metrics::{Dial, Stage};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use x509::{Roots, ServerVerifier};

pub use metrics::EgressMetrics;

/// Longest wait until a proxy has connected.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer of a proxy, bytes.
const LONGEST_ANSWER: usize = 16 * 1024;

/// A connection of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The way to a part of the network.
#[derive(Clone, Debug, Default)]
pub enum Way {
    #[default]
    Direct,
    Proxy(Arc<Proxy>),
}

/// All ways.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    /// To nodes, pods and services.
    pub cluster: Way,
    /// To webhooks that are named by their URL, and to issuers.
    pub control_plane: Way,
    pub etcd: Way,
    pub metrics: EgressMetrics,
}

/// A proxy that is asked to connect.
#[derive(Debug)]
pub struct Proxy {
    protocol: Protocol,
    /// Where its connections are counted; those of the environment's proxies are nowhere.
    metrics: Option<EgressMetrics>,
}

#[derive(Debug)]
enum Protocol {
    HttpConnect(Transport),
    Grpc(grpc::Proxy),
}

#[derive(Debug)]
enum Transport {
    Tcp {
        host: String,
        port: u16,
        tls: Option<Tls>,
        login: Option<Login>,
    },
    Unix(PathBuf),
}

/// Name and password for a proxy, as its header has them.
struct Login(String);

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Login {
    fn of(url: &url::Url) -> Option<Self> {
        let password = url.password();
        if url.username().is_empty() && password.is_none() {
            return None;
        }
        let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
        pair.push(b':');
        pair.extend(percent_decode_str(password.unwrap_or_default()));
        Some(Self(format!("Basic {}", STANDARD.encode(pair))))
    }
}

/// Certificates, which are read anew when their files have changed.
#[derive(Debug)]
struct Tls {
    files: TlsConfig,
    current: ArcSwap<(Stamps, Arc<ClientConfig>)>,
}

/// Of the authority, the certificate and the key.
type Stamps = [Stamp; 3];

fn stamps(files: &TlsConfig) -> Stamps {
    [&files.ca_bundle, &files.client_cert, &files.client_key]
        .map(|file| file.as_ref().and_then(|file| stamp(file)))
}

impl Tls {
    fn load(files: &TlsConfig) -> anyhow::Result<Self> {
        let stamps = stamps(files);
        let config = Arc::new(tls(files)?);
        Ok(Self {
            files: files.clone(),
            current: ArcSwap::from_pointee((stamps, config)),
        })
    }

    /// For a new connection. Files that can't be used are told of, and what they said before goes on.
    fn config(&self) -> Arc<ClientConfig> {
        let now = stamps(&self.files);
        let current = self.current.load();
        if current.0 == now {
            return Arc::clone(&current.1);
        }
        let fresh = match tls(&self.files) {
            Ok(config) => {
                tracing::info!("certificates for an egress proxy reloaded");
                Arc::new(config)
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "changed certificates for an egress proxy are not taken");
                Arc::clone(&current.1)
            }
        };
        self.current.store(Arc::new((now, Arc::clone(&fresh))));
        fresh
    }
}

fn tls(files: &TlsConfig) -> anyhow::Result<ClientConfig> {
    let bundle = files.ca_bundle.as_deref();
    let roots = match bundle.filter(|bundle| !bundle.as_os_str().is_empty()) {
        Some(bundle) => read_certificates(bundle).context("caBundle")?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let verifier = ServerVerifier::new(Arc::new(Roots::new(roots)));
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match (&files.client_cert, &files.client_key) {
        (Some(certificate), Some(key)) => builder.with_client_cert_resolver(x509::client_key(
            read_certificates(certificate).context("clientCert")?,
            PrivateKeyDer::from_pem_file(key).with_context(|| format!("clientKey {}", key.display()))?,
        )?),
        (None, None) => builder.with_no_client_auth(),
        _ => bail!("clientCert and clientKey belong together"),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl Proxy {
    /// The proxy at a URL, which may have a name and a password. One behind TLS shows a certificate that the system
    /// believes.
    pub fn at(url: &url::Url) -> anyhow::Result<Self> {
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(Tls::load(&TlsConfig::default())?),
            other => bail!("{other} is not supported; use http or https"),
        };
        let host = url.host_str().context("it has no host")?;
        let transport = Transport::Tcp {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            tls,
            login: Login::of(url),
        };
        Ok(Self {
            protocol: Protocol::HttpConnect(transport),
            metrics: None,
        })
    }

    /// A connection to `authority`, which the proxy makes.
    pub async fn dial(&self, authority: &str) -> io::Result<Box<dyn Stream>> {
        let Some(metrics) = &self.metrics else {
            return self.dialed(authority, &mut Stage::default()).await;
        };
        let mut stage = Stage::default();
        let dial = metrics.begin(self.dial_labels());
        let outcome = self.dialed(authority, &mut stage).await;
        dial.end(outcome.as_ref().err().map(|_| stage));
        outcome
    }

    fn dial_labels(&self) -> Dial {
        match &self.protocol {
            Protocol::HttpConnect(Transport::Tcp { .. }) => Dial::new("http_connect", "tcp"),
            Protocol::HttpConnect(Transport::Unix(_)) => Dial::new("http_connect", "uds"),
            Protocol::Grpc(_) => Dial::new("grpc", "uds"),
        }
    }

    /// `stage` says how far it came.
    async fn dialed(&self, authority: &str, stage: &mut Stage) -> io::Result<Box<dyn Stream>> {
        let transport = match &self.protocol {
            Protocol::HttpConnect(transport) => transport,
            Protocol::Grpc(proxy) => return proxy.dial(authority, stage).await,
        };
        // Proxies of the environment are spoken to as Go's HTTP client does, those of the file as upstream.
        let own = self.metrics.is_some();
        match tokio::time::timeout(TIMEOUT, transport.connect(authority, own, stage)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the proxy did not connect in time",
            )),
        }
    }
}

impl Transport {
    async fn connect(&self, authority: &str, own: bool, stage: &mut Stage) -> io::Result<Box<dyn Stream>> {
        let mut stream: Box<dyn Stream> = match self {
            Transport::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Transport::Tcp { host, port, tls, .. } => {
                let tcp = TcpStream::connect((host.as_str(), *port)).await?;
                tcp.set_nodelay(true)?;
                match tls {
                    None => Box::new(tcp),
                    Some(tls) => {
                        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                        Box::new(TlsConnector::from(tls.config()).connect(name, tcp).await?)
                    }
                }
            }
        };
        *stage = Stage::Proxy;
        let head = self.question(authority, own);
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        let answer = answer(&mut stream).await.map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
                _ => error.to_string(),
            };
            let to = format!("from CONNECT to {authority} via proxy {self} failed");
            io::Error::new(error.kind(), format!("reading HTTP response {to}: {why}"))
        })?;
        let status = answer.lines().next().unwrap_or_default();
        let status = status.split_once(' ').map_or("", |(_, status)| status);
        let code = status.split(' ').next().unwrap_or_default();
        if code == "200" {
            return Ok(stream);
        }
        Err(io::Error::other(format!(
            "proxy error from {self} while dialing {authority}, code {code}: {status}"
        )))
    }

    fn question(&self, authority: &str, own: bool) -> String {
        let host = if own { "127.0.0.1" } else { authority };
        let mut head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {host}\r\n");
        if !own {
            head.push_str("User-Agent: kube-apiserver\r\n");
        }
        if let Transport::Tcp {
            login: Some(Login(login)),
            ..
        } = self
        {
            head.push_str(&format!("Proxy-Authorization: {login}\r\n"));
        }
        head.push_str("\r\n");
        head
    }
}

/// The proxy's own address.
impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The head of the proxy's answer, and not a byte of what follows.
async fn answer(stream: &mut Box<dyn Stream>) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LONGEST_ANSWER {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
