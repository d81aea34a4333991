//! Client certificates: the common name is the user, organizations are groups.

use super::Rejected;
use crate::identity::{CREDENTIAL_ID, User};
use crate::serving::certificates::ClientAuthority;
use crate::serving::peer::Peer;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a certificate says about its owner.
#[derive(Debug)]
pub struct CertificateIdentity {
    pub common_name: String,
    pub user: Arc<User>,
    /// Seconds since 1970.
    pub expires: i64,
}

impl CertificateIdentity {
    /// Reads a DER certificate; `None` if it can't be read.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            attribute.as_str().ok().map(str::to_owned)
        };
        let common_name = subject
            .iter_common_name()
            .last()
            .and_then(text)
            .unwrap_or_default();
        let groups = subject.iter_organization().filter_map(text).collect();
        let fingerprint = format!("X509SHA256={}", hex::encode(Sha256::digest(der)));
        let user = User {
            name: common_name.clone(),
            groups,
            extra: [(CREDENTIAL_ID.to_owned(), vec![fingerprint])].into(),
            uid: String::new(),
        };
        Some(Self {
            common_name,
            user: Arc::new(user.authenticated()),
            expires: certificate.validity().not_after.timestamp(),
        })
    }
}

/// The user of the connection's certificate, if it presented one.
pub fn authenticate(authority: &ClientAuthority, peer: &Peer) -> Result<Option<Arc<User>>, Rejected> {
    if peer.chain.is_empty() {
        return Ok(None);
    }
    authority
        .verify(peer)
        .map_err(|error| Rejected(format!("verifying certificate failed: {error}")))?;
    let identity = peer
        .certificate()
        .ok_or_else(|| Rejected("the client certificate can't be read".to_owned()))?;
    Ok((!identity.common_name.is_empty()).then(|| Arc::clone(&identity.user)))
}
