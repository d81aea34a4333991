//! Connections on which anything may be sent.

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use std::time::Duration;
use testkit::cluster_pki::ClusterPki;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// 0 when the connection ended without an answer.
    pub code: u16,
    /// Whether the server ended the connection soon after.
    pub closed: bool,
}

/// A server and a client's certificate.
pub struct Target {
    port: u16,
    config: ClientConfig,
}

impl Target {
    pub fn new(pki: &ClusterPki, port: u16, user: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(pki.file("ca.crt")).unwrap())
            .unwrap();
        let certificate = CertificateDer::from_pem_file(pki.file(&format!("{user}.crt"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(pki.file(&format!("{user}.key"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)
            .unwrap();
        Self { port, config }
    }

    pub async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let name = ServerName::try_from("kubernetes.default.svc").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }

    /// Sends bytes as HTTP/1.1 and reads the first answer.
    pub async fn exchange(&self, bytes: &[u8]) -> Answer {
        let (mut reader, mut writer) = tokio::io::split(self.connect(b"http/1.1").await);
        // The server may answer and go before it has read everything.
        let writing = async {
            let _ = writer.write_all(bytes).await;
            let _ = writer.flush().await;
        };
        let reading = async {
            let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
            while !text.windows(4).any(|end| end == b"\r\n\r\n") {
                match reader.read(&mut chunk).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => text.extend(&chunk[..read]),
                }
            }
            let head = String::from_utf8_lossy(&text).into_owned();
            let code = head
                .split(' ')
                .nth(1)
                .and_then(|code| code.parse().ok())
                .unwrap_or(0);
            let closed = code == 0 || {
                let rest = async { while matches!(reader.read(&mut chunk).await, Ok(1..)) {} };
                tokio::time::timeout(Duration::from_secs(2), rest).await.is_ok()
            };
            Answer { code, closed }
        };
        let both = async { tokio::join!(writing, reading).1 };
        tokio::time::timeout(PATIENCE, both)
            .await
            .expect("an answer or the end of the connection")
    }
}
