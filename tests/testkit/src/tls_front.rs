//! TLS before a server that speaks none, as a kubelet's port has it.

use crate::cluster_pki::ClusterPki;
use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Takes TLS connections and passes their bytes on; ends when dropped.
pub struct TlsFront {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl TlsFront {
    /// Before the server at `plain` on loopback; the certificate is the authority's.
    pub async fn start(pki: &ClusterPki, plain: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("front")?;
        let port = listener.local_addr().context("front")?.port();
        let acceptor = acceptor(pki, &format!("front-{port}"), &[], &[b"http/1.1"])?;
        let task = tokio::spawn(async move {
            // Owns the connections: they end with the front.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                connections.spawn(pass_on(acceptor.clone(), tcp, plain));
            }
        });
        Ok(Self { port, task })
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// With a certificate of the authority, also for `names`, that is written under `leaf`.
pub(crate) fn acceptor(
    pki: &ClusterPki,
    leaf: &str,
    names: &[&str],
    protocols: &[&[u8]],
) -> Result<TlsAcceptor> {
    pki.serving(leaf, names)?;
    let chain = CertificateDer::pem_file_iter(pki.file(&format!("{leaf}.crt")))
        .context("certificate")?
        .collect::<Result<Vec<_>, _>>()
        .context("certificate")?;
    let key = PrivateKeyDer::from_pem_file(pki.file(&format!("{leaf}.key"))).context("key")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

async fn pass_on(acceptor: TlsAcceptor, tcp: TcpStream, plain: u16) {
    let (Ok(mut secured), Ok(mut behind)) = (
        acceptor.accept(tcp).await,
        TcpStream::connect(("127.0.0.1", plain)).await,
    ) else {
        return;
    };
    // Either side may end it.
    let _ = tokio::io::copy_bidirectional(&mut secured, &mut behind).await;
}
