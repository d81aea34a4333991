//! TLS serving: certificates that follow their files, and a server for an axum router.
//!
//! A client certificate is asked for but not demanded, and its chain is checked per request by who needs
//! it ([`crate::identity`]): that gives 401 instead of a broken handshake, and an expired certificate stops
//! working on open connections too.

mod agreement;
mod curves;
mod hybrid;
mod p521;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub use agreement::Agreement;
use anyhow::Context as _;
use axum::Router;
use curves::provider;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use x509::AnyOwnedCertificate;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// A key share of the other end that is none of its group.
fn invalid_share() -> rustls::Error {
    rustls::PeerMisbehaved::InvalidKeyShare.into()
}

/// What a handler can know about the other end; a request extension.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// As sent, leaf first, not verified; the peer has proved that it holds the leaf's key.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

/// A certificate and key that follow their files.
#[derive(Debug)]
pub struct ServingCertificate {
    files: Option<(PathBuf, PathBuf)>,
    current: Mutex<(Arc<CertifiedKey>, Option<SystemTime>, Instant)>,
}

impl ServingCertificate {
    pub fn from_files(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let modified = modified(certificate);
        let loaded = load(certificate, key)?;
        Ok(Self {
            files: Some((certificate.to_owned(), key.to_owned())),
            current: Mutex::new((loaded, modified, Instant::now())),
        })
    }

    /// A certificate made now and kept in memory, for daemons that were given none, as upstream does it.
    pub fn self_signed(names: Vec<String>) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(names).context("cannot make a serving certificate")?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
            .map_err(|error| anyhow::anyhow!("cannot use the serving key: {error}"))?;
        let certified = x509::certified_key(vec![made.cert.der().clone()], key)
            .context("cannot use the serving certificate")?;
        Ok(Self {
            files: None,
            current: Mutex::new((Arc::new(certified), None, Instant::now())),
        })
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock();
        if let Some((certificate, key)) = &self.files
            && current.2.elapsed() >= RELOAD_INTERVAL
        {
            current.2 = Instant::now();
            let modified = modified(certificate);
            if modified != current.1 {
                match load(certificate, key) {
                    Ok(fresh) => {
                        tracing::info!(file = %certificate.display(), "serving certificate reloaded");
                        *current = (fresh, modified, Instant::now());
                    }
                    Err(error) => {
                        tracing::warn!(
                            error = format!("{error:#}"),
                            "the changed serving certificate cannot be used yet"
                        );
                    }
                }
            }
        }
        current.0.clone()
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

fn load(certificate: &Path, key: &Path) -> anyhow::Result<Arc<CertifiedKey>> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{} is not a PEM certificate", certificate.display()))?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .with_context(|| format!("{} is not a PEM private key", key.display()))?;
    let certified = x509::certified_key(chain, private).with_context(|| {
        format!(
            "{} and {} do not belong together",
            certificate.display(),
            key.display()
        )
    })?;
    Ok(Arc::new(certified))
}

/// Server settings: HTTP/2 and HTTP/1.1, client certificates asked for.
///
/// # Errors
///
/// The server can't agree to what it shall.
pub fn server_config(
    certificate: ServingCertificate,
    agreement: Agreement<'_>,
) -> anyhow::Result<rustls::ServerConfig> {
    let provider = Arc::new(agreement.provider()?);
    let mut config = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&agreement.versions()?)
        .context("TLS versions")?
        .with_client_cert_verifier(Arc::new(AnyOwnedCertificate::new(provider)))
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Serves `router` until `shutdown`, then lets open requests finish for a few seconds.
pub async fn serve(
    listener: TcpListener,
    config: rustls::ServerConfig,
    router: Router,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, address) = tokio::select! {
            () = shutdown.cancelled() => break,
            // Reaps finished connections, so that the set does not grow.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or the peer has gone: neither may end the server.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (acceptor, router, shutdown) = (acceptor.clone(), router.clone(), shutdown.clone());
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%address, %error, "TLS handshake failed"),
                Err(_) => return tracing::debug!(%address, "TLS handshake timed out"),
            };
            let certificates = stream
                .get_ref()
                .1
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect();
            let peer = Peer {
                address,
                certificates,
            };
            let service =
                hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
                    request.extensions_mut().insert(peer.clone());
                    router.clone().oneshot(request)
                });
            let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            builder
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT);
            builder
                .http2()
                .timer(TokioTimer::new())
                .keep_alive_interval(Some(HEADER_TIMEOUT));
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let result = tokio::select! {
                result = connection.as_mut() => result,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    match tokio::time::timeout(DRAIN_TIMEOUT, connection).await {
                        Ok(result) => result,
                        Err(_) => return,
                    }
                }
            };
            if let Err(error) = result {
                tracing::debug!(%address, %error, "connection ended");
            }
        });
    }
    while connections.join_next().await.is_some() {}
    Ok(())
}
