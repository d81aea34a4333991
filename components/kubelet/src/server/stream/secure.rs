//! TLS to the runtime's streaming server.
//!
//! Its certificate has to be for the URL's host and come from an authority of `clientCAFile`, which is where
//! the node's own certificates come from.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509::{Roots, ServerVerifier};

use super::upstream::UpstreamError;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom to believe that a streaming server is the runtime's.
#[derive(Clone, Debug)]
pub struct StreamAuthority {
    /// PEM, read for each connection: it may be replaced, and connections are few.
    file: Option<PathBuf>,
}

impl StreamAuthority {
    /// Without a file only plain streaming servers can be used.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    fn roots(&self) -> Result<Roots, UpstreamError> {
        let Some(file) = &self.file else {
            return Err(UpstreamError::Authority(
                "it speaks TLS, and authentication.x509.clientCAFile is not set".to_owned(),
            ));
        };
        let bad = |reason: String| UpstreamError::Authority(format!("{}: {reason}", file.display()));
        let bytes = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
        let roots = Roots::from_pem(&bytes);
        if roots.is_empty() {
            return Err(bad("holds no certificate".to_owned()));
        }
        Ok(roots)
    }

    /// Makes the connection one of TLS with `host`, a name or an address.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<TlsStream<TcpStream>, UpstreamError> {
        let config = ClientConfig::builder_with_provider(Arc::new(x509::provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(Arc::new(self.roots()?))))
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(secured) => Ok(secured?),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::super::upstream;
    use super::*;

    type Ca = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Ca {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn acceptor(ca: &Ca, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, ca)
            .unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
                )
                .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Upgrades one connection and sends back what it gets, without its first line.
    async fn streaming_server(acceptor: Option<TlsAcceptor>) -> u16 {
        async fn answer(
            mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
        ) -> io::Result<()> {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            assert!(head.starts_with(b"POST /exec/token "));
            stream
                .write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
                )
                .await?;
            stream.flush().await?;
            let (mut reader, mut writer) = tokio::io::split(stream);
            tokio::io::copy(&mut reader, &mut writer).await?;
            Ok(())
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            match acceptor {
                Some(acceptor) => answer(acceptor.accept(stream).await?).await,
                None => answer(stream).await,
            }
        });
        port
    }

    #[tokio::test]
    async fn streaming_servers_are_verified() {
        let (ca, other) = (authority(), authority());
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.crt");
        std::fs::write(&file, ca.pem()).unwrap();
        let (known, unknown) = (StreamAuthority::new(Some(file)), StreamAuthority::new(None));
        let missing = StreamAuthority::new(Some(directory.path().join("none.crt")));
        for (scheme, tls, authority, error) in [
            ("https", Some(acceptor(&ca, "127.0.0.1")), &known, None),
            ("http", None, &unknown, None),
            (
                "https",
                Some(acceptor(&ca, "10.0.0.1")),
                &known,
                Some("certificate"),
            ),
            (
                "https",
                Some(acceptor(&other, "127.0.0.1")),
                &known,
                Some("certificate"),
            ),
            (
                "https",
                Some(acceptor(&ca, "127.0.0.1")),
                &unknown,
                Some("clientCAFile"),
            ),
            (
                "https",
                Some(acceptor(&ca, "127.0.0.1")),
                &missing,
                Some("none.crt"),
            ),
            ("ftp", None, &known, Some("cannot be used")),
        ] {
            let port = streaming_server(tls).await;
            let url = format!("{scheme}://127.0.0.1:{port}/exec/token");
            match (
                upstream::connect(&url, authority, "v4.channel.k8s.io").await,
                error,
            ) {
                (Ok(mut stream), None) => {
                    stream.write_all(b"hello").await.unwrap();
                    stream.flush().await.unwrap();
                    let mut echo = [0; 5];
                    stream.read_exact(&mut echo).await.unwrap();
                    assert_eq!(&echo, b"hello");
                }
                (Err(found), Some(wanted)) => {
                    let found = found.to_string();
                    assert!(found.contains(wanted), "{url}: {found}");
                }
                (result, _) => panic!("{scheme} {error:?}: {:?}", result.map(|_| ())),
            }
        }
    }
}
