//! Whom a webhook's client believes: its configuration's bundle, or the system's authorities without one.

use super::credentials::Credentials;
use crate::serving::certificates::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::{Arc, OnceLock};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why TLS can't be set up for a webhook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("unable to load root certificates: unable to parse bytes as PEM block")]
    Bundle,
    #[error("there are no system authorities, and the configuration names none")]
    NoSystemRoots,
    #[error("client certificate: {0}")]
    Credentials(String),
}

/// TLS settings for a bundle (PEM, empty for the system's) and credentials.
pub fn client_config(bundle: &[u8], credentials: &Credentials) -> Result<ClientConfig, TrustError> {
    let verifier = BundleVerifier::new(bundle)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::Credentials(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let refuse = |error: &dyn std::fmt::Display| TrustError::Credentials(error.to_string());
    let mut config = match credentials.chain_and_key().map_err(|error| refuse(&error))? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| refuse(&error))?,
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Verifies as Go does: a certificate that is itself in the bundle is believed, even if it is an authority's.
#[derive(Debug)]
pub(super) struct BundleVerifier {
    chain: Arc<WebPkiServerVerifier>,
    members: Vec<CertificateDer<'static>>,
}

impl BundleVerifier {
    pub(super) fn new(bundle: &[u8]) -> Result<Self, TrustError> {
        let (roots, members) = if bundle.is_empty() {
            (system_roots()?, Vec::new())
        } else {
            let members: Vec<_> = CertificateDer::pem_slice_iter(bundle)
                .filter_map(Result::ok)
                .collect();
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(members.iter().cloned());
            (Arc::new(roots), members)
        };
        let chain = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|_| TrustError::Bundle)?;
        Ok(Self { chain, members })
    }

    /// Dates and name of a member of the bundle.
    fn member(&self, leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now > parsed.validity().not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        if now < parsed.validity().not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)
    }
}

fn system_roots() -> Result<Arc<RootCertStore>, TrustError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() {
        return Err(TrustError::NoSystemRoots);
    }
    Ok(Arc::clone(roots))
}

impl ServerCertVerifier for BundleVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self
            .chain
            .verify_server_cert(leaf, intermediates, name, ocsp, now)
        {
            Err(_) if self.members.iter().any(|member| member == leaf) => {
                self.member(leaf, name, now)?;
                Ok(ServerCertVerified::assertion())
            }
            decided => decided,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// A failed handshake in upstream's words, which users search for.
pub fn explain(error: &Error, host: &str) -> String {
    let why = match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "x509: certificate signed by unknown authority".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "x509: certificate has expired or is not yet valid".to_owned(),
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
            let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
            if names.is_empty() {
                format!("x509: certificate is not valid for any names, but wanted to match {host}")
            } else {
                format!("x509: certificate is valid for {}, not {host}", names.join(", "))
            }
        }
        Error::InvalidCertificate(other) => format!("x509: {other}"),
        other => return format!("tls: {other}"),
    };
    format!("tls: failed to verify certificate: {why}")
}

/// `DnsName("a")` without what's around it.
fn plain(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations() {
        let invalid = |error: CertificateError| explain(&Error::InvalidCertificate(error), "s.n.svc");
        assert_eq!(
            invalid(CertificateError::UnknownIssuer),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        );
        let wrong = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("s.n.svc").unwrap(),
            presented: vec!["DnsName(\"a.b\")".to_owned()],
        };
        assert_eq!(
            invalid(wrong),
            "tls: failed to verify certificate: x509: certificate is valid for a.b, not s.n.svc"
        );
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let refused = client_config(b"nothing", &Credentials::default());
        assert_eq!(refused.unwrap_err(), TrustError::Bundle);
    }
}
