//! Certificates of servers that clients of upstream's kind have ceased to believe: without names beside the subject, or
//! signed over SHA-1. Counted under upstream's names, so that whoever has one finds it: connections that fail because of
//! it, and requests over connections that came about since nobody looked.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use rustls::Error;
use rustls::pki_types::CertificateDer;
use std::sync::LazyLock;
use x509::{HostError, VerifyError};
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
        let error = VerifyError::of_tls(error)?;
        let nameless = matches!(error, VerifyError::Host(HostError::CommonName));
        let sha1 = error.is_sha1();
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;

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
        let roots = std::sync::Arc::new(x509::Roots::from_pem(authority.as_bytes()));
        let verifier = x509::Verifier::new(roots, x509::Usage::Server);
        // Signed over SHA-1: a name would be looked at first.
        let refused = verifier.verify(&weak[..1], None, 1_900_000_000).unwrap_err();
        let found = Weakness::of_failure(Callee::ApiServer, &refused.into_tls()).unwrap();
        assert!(found.sha1 && !found.nameless);
        let other = VerifyError::UnknownAuthority { hint: None }.into_tls();
        assert!(Weakness::of_failure(Callee::ApiServer, &other).is_none());
    }
}
