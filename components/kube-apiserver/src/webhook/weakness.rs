//! Certificates of servers that clients of upstream's kind have ceased to believe: without names beside the subject, or
//! signed over SHA-1. Counted under upstream's names, so that whoever has one finds it: connections that fail because of
//! it, and requests over connections that came about since nobody looked.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};
use std::sync::LazyLock;
use x509_parser::oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_X509_EXT_SUBJECT_ALT_NAME, Oid};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Counts of one kind of servers; one set for the process, as clients come and go with configurations.
#[derive(Debug, Default)]
pub struct Weaknesses {
    nameless: Counter,
    sha1: Counter,
}

static OF_WEBHOOKS: LazyLock<Weaknesses> = LazyLock::new(Weaknesses::default);
static OF_API_SERVERS: LazyLock<Weaknesses> = LazyLock::new(Weaknesses::default);

/// What servers are called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    Webhook,
    ApiServer,
    /// Counted by nobody: an issuer of tokens, say.
    Other,
}

impl Callee {
    fn counts(self) -> Option<&'static Weaknesses> {
        match self {
            Self::Webhook => Some(&OF_WEBHOOKS),
            Self::ApiServer => Some(&OF_API_SERVERS),
            Self::Other => None,
        }
    }
}

/// Shows the counts in `registry`.
pub fn register(registry: &mut Registry) {
    for (prefix, counts) in [
        ("apiserver_webhooks", &*OF_WEBHOOKS),
        ("apiserver_kube_aggregator", &*OF_API_SERVERS),
    ] {
        let registry = registry.sub_registry_with_prefix(prefix);
        registry.register(
            "x509_missing_san",
            "Failed connections and requests to servers whose certificates name them in the subject only",
            counts.nameless.clone(),
        );
        registry.register(
            "x509_insecure_sha1",
            "Failed connections and requests to servers whose certificates are signed over SHA-1",
            counts.sha1.clone(),
        );
    }
}

/// What is wrong with the certificates of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Weakness {
    counts: &'static Weaknesses,
    nameless: bool,
    sha1: bool,
}

impl Weakness {
    /// Of a connection that came about; the first of `chain` is the server's own.
    pub fn of_chain(callee: Callee, chain: &[CertificateDer<'_>]) -> Option<Self> {
        let counts = callee.counts()?;
        let mut found = Self {
            counts,
            nameless: false,
            sha1: false,
        };
        for (position, certificate) in chain.iter().enumerate() {
            let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
                continue;
            };
            let mut extensions = certificate.extensions().iter();
            found.nameless |=
                position == 0 && !extensions.any(|extension| extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME);
            // What signs itself is believed for other reasons.
            found.sha1 |= is_sha1(&certificate.signature_algorithm.algorithm)
                && certificate.issuer() != certificate.subject();
        }
        (found.nameless || found.sha1).then_some(found)
    }

    /// Of a connection that failed.
    pub fn of_failure(callee: Callee, error: &Error) -> Option<Self> {
        let counts = callee.counts()?;
        let (nameless, sha1) = match error {
            Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
                (presented.is_empty(), false)
            }
            Error::InvalidCertificate(CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id,
                ..
            }) => (false, names_sha1(signature_algorithm_id)),
            _ => (false, false),
        };
        (nameless || sha1).then_some(Self {
            counts,
            nameless,
            sha1,
        })
    }

    /// Counts one request or failure.
    pub fn count(self) {
        if self.nameless {
            self.counts.nameless.inc();
        }
        if self.sha1 {
            self.counts.sha1.inc();
        }
    }
}

fn is_sha1(algorithm: &Oid<'_>) -> bool {
    *algorithm == OID_PKCS1_SHA1WITHRSA || algorithm.as_bytes() == ECDSA_WITH_SHA1
}

/// 1.2.840.10045.4.1, as it is encoded.
const ECDSA_WITH_SHA1: [u8; 7] = [42, 134, 72, 206, 61, 4, 1];

/// `identifier` is the inside of an AlgorithmIdentifier in DER: an object identifier, perhaps with parameters.
fn names_sha1(identifier: &[u8]) -> bool {
    Oid::from_der(identifier).is_ok_and(|(_, algorithm)| is_sha1(&algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{ServerName, UnixTime};

    fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn names_and_signatures_of_chains() {
        // Made by openssl: a leaf without names, signed over SHA-1 by an authority that signed itself so.
        let weak = chain(include_str!("../../tests/data/sha1-chain.pem"));
        let found = Weakness::of_chain(Callee::Webhook, &weak).unwrap();
        assert!(found.nameless && found.sha1);
        assert!(Weakness::of_chain(Callee::Other, &weak).is_none());
        let authority = Weakness::of_chain(Callee::ApiServer, &weak[1..]).unwrap();
        assert!(authority.nameless && !authority.sha1);
    }

    #[test]
    fn who_is_not_believed_because_of_sha1_is_counted() {
        let pem = include_str!("../../tests/data/sha1-chain.pem");
        let weak = chain(pem);
        let authority = &pem[pem.rfind("-----BEGIN").unwrap()..];
        let config = crate::webhook::trust::BundleVerifier::new(authority.as_bytes()).unwrap();
        let name = ServerName::try_from("weak.example").unwrap();
        let refused = config.verify_server_cert(&weak[0], &[], &name, &[], UnixTime::now());
        let found = Weakness::of_failure(Callee::ApiServer, &refused.unwrap_err()).unwrap();
        assert!(found.sha1 && !found.nameless);
        let other = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert!(Weakness::of_failure(Callee::ApiServer, &other).is_none());
    }
}
