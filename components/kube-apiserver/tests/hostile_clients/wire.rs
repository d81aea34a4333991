//! Connections on which anything may be sent.

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use std::time::Duration;
use testkit::cluster_pki::ClusterPki;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server and a client's certificate.
pub struct Target {
    port: u16,
    config: ClientConfig,
}

#[allow(dead_code)] // not every test has both kinds of clients
impl Target {
    pub fn new(pki: &ClusterPki, port: u16, user: &str) -> Self {
        let certificate = CertificateDer::from_pem_file(pki.file(&format!("{user}.crt"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(pki.file(&format!("{user}.key"))).unwrap();
        let config = trusting(pki)
            .with_client_auth_cert(vec![certificate], key)
            .unwrap();
        Self { port, config }
    }

    pub fn without_certificate(pki: &ClusterPki, port: u16) -> Self {
        let config = trusting(pki).with_no_client_auth();
        Self { port, config }
    }

    pub async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        self.shake(self.dial().await, protocol).await
    }

    pub async fn dial(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    pub async fn shake(&self, stream: TcpStream, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("kubernetes.default.svc").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }
}

fn trusting(pki: &ClusterPki) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(pki.file("ca.crt")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}
