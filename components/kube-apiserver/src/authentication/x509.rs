//! Client certificates: the common name is the user, organizations are groups, an attribute of upstream's is the uid.

use super::Rejected;
use crate::identity::{CREDENTIAL_ID, User};
use crate::serving::certificates::ClientAuthority;
use crate::serving::peer::Peer;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use x509::Name;
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::der_parser::oid;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The attribute of a subject that has the user's uid, in Kubernetes' own arc (AllowParsingUserUIDFromCertAuth).
static UID: Oid<'_> = oid!(1.3.6.1.4.1.57683.2);

/// What a certificate says about its owner.
#[derive(Debug)]
pub struct CertificateIdentity {
    pub common_name: String,
    /// Without the uid that the certificate has.
    pub user: Arc<User>,
    /// The same with it, or why it can't be taken; nothing if there is none.
    with_uid: Option<Result<Arc<User>, &'static str>>,
    /// Seconds since 1970.
    pub expires: i64,
}

impl CertificateIdentity {
    /// Reads a DER certificate; `None` if it can't be read.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = Name::read(certificate.subject().as_raw())?;
        let common_name = subject.common_name().to_owned();
        let groups = subject.organizations().map(str::to_owned).collect();
        let fingerprint = format!("X509SHA256={}", hex::encode(Sha256::digest(der)));
        let user = User {
            name: common_name.clone(),
            groups,
            extra: [(CREDENTIAL_ID.to_owned(), vec![fingerprint])].into(),
            uid: String::new(),
        };
        let user = user.authenticated();
        let with_uid = uid(&subject).map(|uid| {
            uid.map(|uid| {
                Arc::new(User {
                    uid: uid.to_owned(),
                    ..user.clone()
                })
            })
        });
        Some(Self {
            common_name,
            user: Arc::new(user),
            with_uid,
            expires: certificate.validity().not_after.timestamp(),
        })
    }
}

fn uid<'n>(subject: &'n Name<'_>) -> Option<Result<&'n str, &'static str>> {
    let mut found = subject.values(&UID);
    let first = found.next()?;
    if found.next().is_some() {
        return Some(Err("expected 1 UID, but found multiple"));
    }
    Some(match first {
        None => Err("unable to parse UID into a string"),
        Some("") => Err("UID cannot be an empty string"),
        Some(uid) => Ok(uid),
    })
}

/// The user of the connection's certificate, if it presented one; with the uid that it has, if `takes_uid`.
pub fn authenticate(
    authority: &ClientAuthority,
    peer: &Peer,
    takes_uid: bool,
) -> Result<Option<Arc<User>>, Rejected> {
    if peer.chain.is_empty() {
        return Ok(None);
    }
    authority
        .verify(peer)
        .map_err(|error| Rejected(format!("verifying certificate failed: {error}")))?;
    let identity = peer
        .certificate()
        .ok_or_else(|| Rejected("the client certificate can't be read".to_owned()))?;
    if identity.common_name.is_empty() {
        return Ok(None);
    }
    match &identity.with_uid {
        Some(Ok(user)) if takes_uid => Ok(Some(Arc::clone(user))),
        Some(Err(error)) if takes_uid => Err(Rejected((*error).to_owned())),
        _ => Ok(Some(Arc::clone(&identity.user))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    fn certificate(uids: &[DnValue]) -> CertificateIdentity {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "jane");
        params.distinguished_name.push(DnType::OrganizationName, "staff");
        for uid in uids {
            let kind = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]);
            params.distinguished_name.push(kind, uid.clone());
        }
        let key = KeyPair::generate().unwrap();
        CertificateIdentity::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn texts_of_a_subject_may_be_of_any_kind() {
        let text = |kind: &str, text: &str| match kind {
            "BMPString" => DnValue::BmpString(text.try_into().unwrap()),
            "T61String" => DnValue::TeletexString(text.try_into().unwrap()),
            "PrintableString" => DnValue::PrintableString(text.try_into().unwrap()),
            "UniversalString" => DnValue::UniversalString(text.try_into().unwrap()),
            _ => DnValue::Utf8String(text.to_owned()),
        };
        for (kind, user, groups) in [
            ("UTF8String", "joe", vec!["staff", "system:authenticated"]),
            ("PrintableString", "joe", vec!["staff", "system:authenticated"]),
            ("T61String", "joe", vec!["staff", "system:authenticated"]),
            ("BMPString", "joe", vec!["staff", "system:authenticated"]),
            ("UniversalString", "", vec!["system:authenticated"]),
        ] {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params
                .distinguished_name
                .push(DnType::CommonName, text(kind, "joe"));
            params
                .distinguished_name
                .push(DnType::OrganizationName, text(kind, "staff"));
            let key = KeyPair::generate().unwrap();
            let identity = CertificateIdentity::read(params.self_signed(&key).unwrap().der()).unwrap();
            assert_eq!(identity.user.name, user, "{kind}");
            assert_eq!(identity.user.groups, groups, "{kind}");
        }
    }

    #[test]
    fn a_subject_may_have_the_users_uid() {
        let text = |text: &str| DnValue::Utf8String(text.to_owned());
        for (uids, want) in [
            (vec![], None),
            (vec![text("1234")], Some(Ok("1234"))),
            (vec![text("")], Some(Err("UID cannot be an empty string"))),
        ] {
            let identity = certificate(&uids);
            assert_eq!(
                (identity.user.name.as_str(), identity.user.uid.as_str()),
                ("jane", "")
            );
            let found = identity.with_uid.as_ref();
            let found = found.map(|found| {
                found
                    .as_ref()
                    .map(|user| user.uid.as_str())
                    .map_err(|error| *error)
            });
            assert_eq!(found, want, "{uids:?}");
        }
    }
}
