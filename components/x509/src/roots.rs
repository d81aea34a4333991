//! Authorities by name.

use crate::certificate::Certificate;
use crate::pem;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::sync::Arc;

/// Authorities that are believed.
#[derive(Debug, Default)]
pub struct Roots {
    by_subject: HashMap<Vec<u8>, Vec<Arc<Certificate>>>,
}

impl Roots {
    /// The certificates that can be read; what can't is left out, as Go does with bundles.
    pub fn new<'c>(certificates: impl IntoIterator<Item = CertificateDer<'c>>) -> Self {
        let mut roots = Self::default();
        let read = certificates
            .into_iter()
            .filter_map(|der| Certificate::read(&der).ok());
        for certificate in read {
            roots.add(certificate);
        }
        roots
    }

    /// Those of PEM text, in blocks without headers.
    pub fn from_pem(text: &[u8]) -> Self {
        let blocks = pem::blocks(text).filter(|block| block.label == "CERTIFICATE" && !block.has_headers);
        Self::new(blocks.map(|block| CertificateDer::from(block.contents)))
    }

    pub(crate) fn add(&mut self, certificate: Certificate) {
        let named = self.by_subject.entry(certificate.subject.clone()).or_default();
        if named.iter().all(|known| known.der != certificate.der) {
            named.push(Arc::new(certificate));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.by_subject.is_empty()
    }

    pub(crate) fn contains(&self, certificate: &Certificate) -> bool {
        let named = self.by_subject.get(&certificate.subject);
        named.is_some_and(|named| named.iter().any(|known| known.der == certificate.der))
    }

    /// Who may have signed it, those first whose key it names, then those that don't tell.
    pub(crate) fn parents(&self, child: &Certificate) -> Vec<Arc<Certificate>> {
        let mut parents = self.by_subject.get(&child.issuer).cloned().unwrap_or_default();
        parents.sort_by_key(|parent| match (&parent.subject_key_id, &child.authority_key_id) {
            (own, wanted) if own == wanted => 0,
            (Some(_), Some(_)) => 2,
            _ => 1,
        });
        parents
    }
}
