//! Certificates that were issued for so long as was asked for, or not, under upstream's names.

use api::Resource;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use std::borrow::Cow;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Signers may put the beginning of a short-lived certificate back by so much, seconds.
const BACKDATING: i64 = 5 * 60;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(non_snake_case)] // upstream's label
struct SignerLabels {
    signerName: Cow<'static, str>,
}

#[derive(Debug, Default)]
pub struct CertificateMetrics {
    requested: Family<SignerLabels, Counter>,
    honored: Family<SignerLabels, Counter>,
}

/// A certificate that an update of a request brings, with the duration that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    signer: String,
    /// Seconds.
    wanted: i64,
    /// PEM, in base64.
    certificate: String,
}

impl Issued {
    /// `None` of other objects and updates.
    pub fn between(row: &Resource, subresource: &str, old: &Value, new: &Value) -> Option<Self> {
        if subresource != "status"
            || row.plural != "certificatesigningrequests"
            || row.gvk.group != "certificates.k8s.io"
        {
            return None;
        }
        let certificate = |object: &Value| {
            let text = object["status"]["certificate"].as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        if certificate(old).is_some() {
            return None;
        }
        Some(Self {
            signer: old["spec"]["signerName"].as_str().unwrap_or("").to_owned(),
            wanted: old["spec"]["expirationSeconds"].as_i64()?,
            certificate: certificate(new)?,
        })
    }

    /// Seconds that the certificate is good for; `None` if it can't be read.
    fn given(&self) -> Option<i64> {
        let pem = STANDARD.decode(&self.certificate).ok()?;
        let first = CertificateDer::pem_slice_iter(&pem).next()?.ok()?;
        let (_, certificate) = X509Certificate::from_der(&first).ok()?;
        let validity = certificate.validity();
        Some(validity.not_after.timestamp() - validity.not_before.timestamp())
    }
}

/// Whether what was given is near enough to what was wanted, seconds.
fn is_honored(wanted: i64, given: i64) -> bool {
    (wanted - given).abs() < BACKDATING + wanted / 20
}

impl CertificateMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("apiserver_certificates_registry");
        registry.register(
            "csr_requested_duration",
            "Certificates that were issued for requests with a duration",
            metrics.requested.clone(),
        );
        registry.register(
            "csr_honored_duration",
            "Those of them that are good for about as long",
            metrics.honored.clone(),
        );
        metrics
    }

    /// The update is stored.
    pub fn issued(&self, issued: &Issued) {
        let labels = SignerLabels {
            signerName: if issued.signer.starts_with("kubernetes.io/") {
                issued.signer.clone().into()
            } else {
                "other".into()
            },
        };
        self.requested.get_or_create(&labels).inc();
        let given = issued.given();
        if given.is_some_and(|given| is_honored(issued.wanted, given)) {
            self.honored.get_or_create(&labels).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_and_five_minutes_are_near_enough() {
        for (wanted, given, expected) in [
            (600, 600, true),
            (600, 900, true),
            (600, 930, false),
            (100_000, 94_701, true),
            (100_000, 94_700, false),
        ] {
            assert_eq!(is_honored(wanted, given), expected, "{wanted} {given}");
        }
    }
}
