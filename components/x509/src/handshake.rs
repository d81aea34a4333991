//! Signatures of handshakes: the other end proves that it has its certificate's key, whatever the certificate is worth.

use crate::algorithms::Key;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme,
};
use std::sync::Arc;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What verifiers have in common, whatever they think of certificates: handshakes are checked with the given algorithms.
macro_rules! handshake_signatures {
    ($own:ident, $algorithms:expr) => {
        fn verify_tls12_signature(
            &$own,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            $crate::handshake::HandshakeSignatures::tls12($algorithms, message, certificate, signature)
        }

        fn verify_tls13_signature(
            &$own,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            $crate::handshake::HandshakeSignatures::tls13($algorithms, message, certificate, signature)
        }

        fn supported_verify_schemes(&$own) -> Vec<SignatureScheme> {
            rustls::crypto::WebPkiSupportedAlgorithms::supported_schemes($algorithms)
        }
    };
}
pub(crate) use handshake_signatures;

/// Takes any client certificate whose key the client has.
///
/// Which authority it comes from is decided later, because a certificate that nobody knows must lead to a 401 answer and
/// not to a failed handshake, as upstream does.
#[derive(Debug)]
pub struct AnyOwnedCertificate {
    provider: Arc<CryptoProvider>,
}

impl AnyOwnedCertificate {
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }

    pub(crate) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }
}

impl ClientCertVerifier for AnyOwnedCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    handshake_signatures!(self, self.algorithms());
}

/// Takes any server that owns its certificate's key: for clients that cannot know the authority of whom they call.
#[derive(Debug)]
pub struct AnyServer(pub Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!(self, &self.0.signature_verification_algorithms);
}

/// As rustls checks them, of certificates of any version.
pub(crate) trait HandshakeSignatures {
    /// TLS 1.2: a scheme leaves the curve open.
    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error>;

    /// TLS 1.3: a scheme stands for one algorithm, and those of PKCS#1 are for certificates only (RFC 8446, 4.2.3).
    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error>;
}

impl HandshakeSignatures for WebPkiSupportedAlgorithms {
    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check(self, usize::MAX, message, certificate, signature)
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let of_pkcs1 = matches!(
            signature.scheme,
            SignatureScheme::RSA_PKCS1_SHA256
                | SignatureScheme::RSA_PKCS1_SHA384
                | SignatureScheme::RSA_PKCS1_SHA512
        );
        if of_pkcs1 {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        check(self, 1, message, certificate, signature)
    }
}

/// Checks with the first `most` algorithms of the scheme.
fn check(
    algorithms: &WebPkiSupportedAlgorithms,
    most: usize,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let scheme = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signature.scheme);
    let (_, of_scheme) = scheme.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let key = Key::read(certificate.public_key().raw).ok_or(CertificateError::BadEncoding)?;
    let fitting = of_scheme
        .iter()
        .take(most)
        .find(|algorithm| key.is_for(**algorithm));
    let holds = fitting.is_some_and(|algorithm| {
        algorithm
            .verify_signature(key.bits, message, signature.signature())
            .is_ok()
    });
    if holds {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}
