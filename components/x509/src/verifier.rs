//! The checks as one, and as what TLS asks for.

use crate::algorithms::provider;
use crate::certificate::Certificate;
use crate::error::VerifyError;
use crate::handshake::{AnyOwnedCertificate, handshake_signatures};
use crate::roots::Roots;
use crate::search::Search;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// What a certificate is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Server,
    Client,
}

/// A chain that was found to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The first expiry of its certificates, the authority's included; seconds since 1970.
    pub until: i64,
}

/// Checks certificates against authorities.
#[derive(Clone, Debug)]
pub struct Verifier {
    roots: Arc<Roots>,
    usage: Usage,
}

impl Verifier {
    pub fn new(roots: Arc<Roots>, usage: Usage) -> Self {
        Self { roots, usage }
    }

    /// Checks a chain, the certificate itself first, at `now` (seconds since 1970), and that it is `host`'s if there is
    /// one: a DNS name or an address.
    ///
    /// # Errors
    ///
    /// Go's, in Go's words.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        host: Option<&str>,
        now: i64,
    ) -> Result<Verified, VerifyError> {
        let (leaf, others) = chain.split_first().ok_or(VerifyError::Malformed)?;
        let leaf = Certificate::read(leaf)?;
        let mut intermediates = Roots::default();
        for other in others {
            // Go's servers and clients end the handshake when one of the others can't be read.
            intermediates.add(Certificate::read(other)?);
        }
        let search = Search::new(&self.roots, intermediates, self.usage, now);
        search.check_leaf(&leaf)?;
        if let Some(host) = host {
            leaf.check_host(host)?;
        }
        let until = search.run(leaf)?;
        Ok(Verified { until })
    }
}

/// What a TLS client checks servers with.
#[derive(Debug)]
pub struct ServerVerifier {
    verifier: Verifier,
    signatures: AnyOwnedCertificate,
}

impl ServerVerifier {
    pub fn new(roots: Arc<Roots>) -> Self {
        Self {
            verifier: Verifier::new(roots, Usage::Server),
            signatures: AnyOwnedCertificate::new(Arc::new(provider())),
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(leaf).chain(intermediates).cloned().collect();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.verifier
            .verify(&chain, Some(&name.to_str()), now)
            .map_err(VerifyError::into_tls)?;
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!(self, self.signatures.algorithms());
}
