//! Whom a webhook's client believes: its configuration's bundle, or the system's authorities without one.

use super::credentials::Credentials;
use crate::serving::certificates::provider;
use rustls::{CertificateError, ClientConfig, Error, InvalidMessage};
use std::sync::{Arc, OnceLock};
use x509::{Roots, ServerVerifier, VerifyError};

/// Why TLS can't be set up for a webhook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("unable to load root certificates: unable to parse bytes as PEM block")]
    Bundle,
    #[error("there are no system authorities, and the configuration names none")]
    NoSystemRoots,
    #[error("client certificate: {0}")]
    Credentials(String),
    #[error("proxy-url: {0}")]
    Proxy(String),
    #[error(
        "proxy-url: the egress selector has a proxy for the control plane already; leave one of them out"
    )]
    TwoProxies,
}

/// TLS settings for a bundle (PEM, empty for the system's) and credentials.
pub fn client_config(bundle: &[u8], credentials: &Credentials) -> Result<ClientConfig, TrustError> {
    let refuse = |error: &dyn std::fmt::Display| TrustError::Credentials(error.to_string());
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier(bundle)?));
    let mut config = match credentials.chain_and_key().map_err(|error| refuse(&error))? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let own = x509::client_key(chain, key).map_err(|error| refuse(&error))?;
            builder.with_client_cert_resolver(own)
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Believes the authorities of a bundle (PEM), or the system's if it is empty.
fn verifier(bundle: &[u8]) -> Result<ServerVerifier, TrustError> {
    if bundle.is_empty() {
        return Ok(ServerVerifier::new(system_roots()?));
    }
    let roots = Roots::from_pem(bundle);
    if roots.is_empty() {
        return Err(TrustError::Bundle);
    }
    Ok(ServerVerifier::new(Arc::new(roots)))
}

fn system_roots() -> Result<Arc<Roots>, TrustError> {
    static ROOTS: OnceLock<Arc<Roots>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| Arc::new(Roots::new(rustls_native_certs::load_native_certs().certs)));
    if roots.is_empty() {
        return Err(TrustError::NoSystemRoots);
    }
    Ok(Arc::clone(roots))
}

/// A failed handshake in upstream's words, which users search for.
pub fn explain(error: &Error) -> String {
    let why = match (VerifyError::of_tls(error), error) {
        (Some(error), _) => error.to_string(),
        (None, Error::InvalidCertificate(CertificateError::BadSignature)) => {
            "x509: the server has not the key of its certificate".to_owned()
        }
        (None, Error::InvalidCertificate(other)) => format!("x509: {other}"),
        (None, Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            return "tls: first record does not look like a TLS handshake".to_owned();
        }
        (None, other) => return format!("tls: {other}"),
    };
    format!("tls: failed to verify certificate: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let refused = client_config(b"nothing", &Credentials::default());
        assert_eq!(refused.unwrap_err(), TrustError::Bundle);
    }

    #[test]
    fn explanations() {
        let unknown = VerifyError::UnknownAuthority { hint: None }.into_tls();
        assert_eq!(
            explain(&unknown),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        );
    }
}
