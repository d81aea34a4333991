//! Ways out of this server: directly, or through a proxy that takes CONNECT or speaks konnectivity's protocol
//! (`--egress-selector-config-file`).

mod grpc;

use crate::configuration::strict;
use crate::serving::certificates::{provider, read_certificates};
use crate::serving::stamps::{Stamp, stamp};
use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use component_config::kube_apiserver::egress::{
    Connection, EgressSelectorConfiguration, TcpTransport, TlsConfig, Transport as ConfiguredTransport,
};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use x509::{Roots, ServerVerifier};

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
}

/// A proxy that is asked to connect.
#[derive(Debug)]
pub struct Proxy(Protocol);

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

impl Egress {
    /// Reads an EgressSelectorConfiguration.
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        strict::once(text)?;
        let config: EgressSelectorConfiguration = serde_yaml_ng::from_str(text)?;
        let known = ["v1beta1", "v1alpha1"]
            .iter()
            .any(|version| config.api_version == format!("apiserver.k8s.io/{version}"));
        if !known || config.kind != "EgressSelectorConfiguration" {
            bail!("expected apiVersion apiserver.k8s.io/v1beta1, kind EgressSelectorConfiguration");
        }
        let mut egress = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for (index, selection) in config.egress_selections.iter().enumerate() {
            let field = format!("egressSelections[{index}]");
            // The first version's word for it.
            let name = match selection.name.as_str() {
                "master" if config.api_version.ends_with("/v1alpha1") => "controlplane",
                name => name,
            };
            if seen.contains(&name) {
                bail!("{field}.name: Duplicate value: {name:?}");
            }
            seen.push(name);
            let way = way(&selection.connection, &format!("{field}.connection"))?;
            match (name, &way) {
                ("cluster", _) => egress.cluster = way,
                ("controlplane", _) => egress.control_plane = way,
                ("etcd", _) => egress.etcd = way,
                _ => bail!("{field}.name: Unsupported value: {name:?}; use cluster, controlplane or etcd"),
            }
        }
        Ok(egress)
    }
}

fn way(connection: &Connection, field: &str) -> anyhow::Result<Way> {
    match connection.proxy_protocol.as_str() {
        "Direct" if connection.transport.is_none() => return Ok(Way::Direct),
        "Direct" => bail!("{field}.transport: Forbidden: must be absent when proxyProtocol is Direct"),
        "HTTPConnect" | "GRPC" => {}
        other => {
            bail!("{field}.proxyProtocol: Unsupported value: {other:?}; use GRPC, HTTPConnect or Direct")
        }
    }
    let Some(transport) = &connection.transport else {
        bail!("{field}.transport: Required value");
    };
    let field = format!("{field}.transport");
    if connection.proxy_protocol == "GRPC" {
        return Ok(Way::Proxy(Arc::new(Proxy(Protocol::Grpc(by_grpc(
            transport, &field,
        )?)))));
    }
    let transport = match (&transport.tcp, &transport.uds) {
        (Some(tcp), None) => by_tcp(tcp, &format!("{field}.tcp"))?,
        (None, Some(uds)) if !uds.uds_name.is_empty() => Transport::Unix(PathBuf::from(&uds.uds_name)),
        (None, Some(_)) => bail!("{field}.uds.udsName: Required value"),
        _ => bail!("{field}: Invalid value: exactly one of tcp and uds must be set"),
    };
    Ok(Way::Proxy(Arc::new(Proxy(Protocol::HttpConnect(transport)))))
}

/// As with upstream only a Unix socket leads there.
fn by_grpc(transport: &ConfiguredTransport, field: &str) -> anyhow::Result<grpc::Proxy> {
    match (&transport.tcp, &transport.uds) {
        (None, Some(uds)) if !uds.uds_name.is_empty() => Ok(grpc::Proxy {
            socket: PathBuf::from(&uds.uds_name),
        }),
        (None, Some(_)) => bail!("{field}.uds.udsName: Required value"),
        (Some(_), _) => bail!("{field}.tcp: Forbidden: GRPC goes over a Unix socket only; set uds instead"),
        (None, None) => bail!("{field}.uds: Required value: must be set when proxyProtocol is GRPC"),
    }
}

fn by_tcp(tcp: &TcpTransport, field: &str) -> anyhow::Result<Transport> {
    let url =
        url::Url::parse(&tcp.url).with_context(|| format!("{field}.url: Invalid value: {:?}", tcp.url))?;
    let tls = match (url.scheme(), &tcp.tls_config) {
        ("https", Some(files)) => Some(Tls::load(files).with_context(|| format!("{field}.tlsConfig"))?),
        ("https", None) => bail!("{field}.tlsConfig: Required value: must be set when the URL is https"),
        ("http", None) => None,
        ("http", Some(_)) => bail!("{field}.tlsConfig: Forbidden: must be absent when the URL is http"),
        _ => bail!("{field}.url: Invalid value: {:?}: must be http or https", tcp.url),
    };
    let host = url
        .host_str()
        .with_context(|| format!("{field}.url: Invalid value: {:?}: has no host", tcp.url))?;
    Ok(Transport::Tcp {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port_or_known_default().unwrap_or(443),
        tls,
        login: None,
    })
}

fn tls(files: &TlsConfig) -> anyhow::Result<ClientConfig> {
    let roots = match &files.ca_bundle {
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
        Ok(Self(Protocol::HttpConnect(Transport::Tcp {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            tls,
            login: Login::of(url),
        })))
    }

    /// A connection to `authority`, which the proxy makes.
    pub async fn dial(&self, authority: &str) -> io::Result<Box<dyn Stream>> {
        let transport = match &self.0 {
            Protocol::HttpConnect(transport) => transport,
            Protocol::Grpc(proxy) => return proxy.dial(authority).await,
        };
        match tokio::time::timeout(TIMEOUT, transport.connect(authority)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the proxy did not connect in time",
            )),
        }
    }
}

impl Transport {
    async fn connect(&self, authority: &str) -> io::Result<Box<dyn Stream>> {
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
        let login = match self {
            Transport::Tcp {
                login: Some(Login(login)),
                ..
            } => format!("Proxy-Authorization: {login}\r\n"),
            _ => String::new(),
        };
        let head = format!(
            "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: kube-apiserver\r\n{login}\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        let answer = answer(&mut stream).await?;
        let mut words = answer.split(' ').skip(1);
        if words.next() == Some("200") {
            return Ok(stream);
        }
        let line = answer.lines().next().unwrap_or_default();
        Err(io::Error::other(format!(
            "the proxy would not connect to {authority}: {line}"
        )))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_and_their_mistakes() {
        let head =
            "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n- ";
        let connect = |transport: &str| {
            format!("{{name: cluster, connection: {{proxyProtocol: HTTPConnect, transport: {transport}}}}}")
        };
        let parsed = |entry: &str| Egress::parse(&format!("{head}{entry}"));
        let egress = parsed(&connect("{uds: {udsName: /run/proxy}}")).unwrap();
        assert!(matches!(egress.cluster, Way::Proxy(_)) && matches!(egress.control_plane, Way::Direct));
        assert!(parsed(&connect("{tcp: {url: 'http://127.0.0.1:1'}}")).is_ok());
        assert!(parsed(&connect("{uds: {udsName: /run/proxy}}").replace("HTTPConnect", "GRPC")).is_ok());
        assert!(parsed("{name: etcd, connection: {proxyProtocol: Direct}}").is_ok());
        let etcd = parsed(&connect("{uds: {udsName: /run/proxy}}").replace("cluster", "etcd")).unwrap();
        assert!(matches!(etcd.etcd, Way::Proxy(_)) && matches!(etcd.cluster, Way::Direct));
        let master = connect("{uds: {udsName: /run/proxy}}").replace("cluster", "master");
        let first = Egress::parse(&format!("{}{master}", head.replace("v1beta1", "v1alpha1"))).unwrap();
        assert!(matches!(first.control_plane, Way::Proxy(_)));
        assert!(parsed(&master).is_err(), "later versions don't know the word");
        for (entry, said) in [
            (connect("{}"), "exactly one of tcp and uds"),
            (
                connect("{tcp: {url: 'https://127.0.0.1:1'}}"),
                "tlsConfig: Required value",
            ),
            (connect("{uds: {}}"), "udsName: Required value"),
            (
                "{name: cluster, connection: {proxyProtocol: GRPC, transport: {}}}".to_owned(),
                "connection.transport.uds: Required value",
            ),
            (
                connect("{tcp: {url: 'http://127.0.0.1:1'}}").replace("HTTPConnect", "GRPC"),
                "connection.transport.tcp: Forbidden: GRPC goes over a Unix socket only",
            ),
            (
                "{name: moon, connection: {proxyProtocol: Direct}}".to_owned(),
                "egressSelections[0].name",
            ),
        ] {
            let error = format!("{:#}", parsed(&entry).unwrap_err());
            assert!(error.contains(said), "{entry}: {error}");
        }
    }
}
