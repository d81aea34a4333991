//! What a server shows in a TLS handshake. Nothing is sent over the connection, and nobody is believed.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

/// The chain that the other end of `stream` shows, leaf first; None when it is no TLS server.
pub fn certificates(stream: &mut (impl Read + Write)) -> Option<Vec<CertificateDer<'static>>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let witness = Arc::new(Witness {
        provider: provider.clone(),
        seen: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    let name = ServerName::try_from("kubernetes").ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    // A server that demands a client certificate ends the handshake after having shown its own.
    while connection.is_handshaking() {
        if connection.complete_io(stream).is_err() {
            break;
        }
    }
    witness.seen.lock().ok().and_then(|mut seen| seen.take())
}

/// Notes the chain and lets everything pass: what is looked at may be expired or from anybody.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Vec<CertificateDer<'static>>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(leaf).chain(intermediates);
        if let Ok(mut seen) = self.seen.lock() {
            *seen = Some(
                chain
                    .map(|certificate| certificate.clone().into_owned())
                    .collect(),
            );
        }
        Ok(ServerCertVerified::assertion())
    }

    // The chain has been seen by then; whether its key is at the other end is not asked.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
