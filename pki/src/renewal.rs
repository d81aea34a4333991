use std::time::SystemTime;

use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{Issued, LeafRequest, inspect};

/// Why a certificate has to be issued anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    Unreadable(String),
    /// Less than a third of the lifetime is left.
    ExpiresSoon,
    /// The role's subject, names or usages are no longer these.
    Changed(&'static str),
    /// It does not verify against the authority.
    OtherAuthority,
    /// The key is not the certificate's.
    OtherKey,
}

/// Decides whether `issued` still is what `request` asks for, or has to be replaced.
pub fn renewal(issued: &Issued, request: &LeafRequest, authority: &str, now: SystemTime) -> Option<Renewal> {
    let found = match inspect(&issued.certificate) {
        Ok(found) => found,
        Err(error) => return Some(Renewal::Unreadable(error.to_string())),
    };
    match issued.key.pair() {
        Err(error) => return Some(Renewal::Unreadable(error.to_string())),
        Ok(pair) => {
            if rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(pair.public_key_pem().as_bytes())
                .map_or(true, |public| public.as_ref() != found.public_key.as_slice())
            {
                return Some(Renewal::OtherKey);
            }
        }
    }
    if !verifies(&issued.certificate, authority) {
        return Some(Renewal::OtherAuthority);
    }
    let same = |a: &mut Vec<String>, b: &mut Vec<String>| {
        a.sort();
        b.sort();
        a == b
    };
    if found.common_name != request.common_name
        || found.organizations != request.organization.iter().cloned().collect::<Vec<_>>()
    {
        return Some(Renewal::Changed("subject"));
    }
    let mut found_addresses: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
    let mut wanted_addresses: Vec<String> = request.addresses.iter().map(ToString::to_string).collect();
    if !same(&mut found.dns_names.clone(), &mut request.dns_names.clone())
        || !same(&mut found_addresses, &mut wanted_addresses)
    {
        return Some(Renewal::Changed("names"));
    }
    if found.client != request.usage.client() || found.server != request.usage.server() {
        return Some(Renewal::Changed("usages"));
    }
    let lifetime = found
        .not_after
        .duration_since(found.not_before)
        .unwrap_or_default();
    (found.remaining(now) < lifetime / 3).then_some(Renewal::ExpiresSoon)
}

fn verifies(certificate: &str, authority: &str) -> bool {
    let parse = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    let (Some(leaf), Some(authority)) = (parse(certificate), parse(authority)) else {
        return false;
    };
    let (Ok((_, leaf)), Ok((_, authority))) = (
        X509Certificate::from_der(&leaf),
        X509Certificate::from_der(&authority),
    ) else {
        return false;
    };
    leaf.issuer() == authority.subject() && signature_holds(&leaf, &authority)
}

fn signature_holds(leaf: &X509Certificate<'_>, authority: &X509Certificate<'_>) -> bool {
    let key = ring::signature::UnparsedPublicKey::new(
        &ring::signature::ECDSA_P256_SHA256_ASN1,
        authority.public_key().subject_public_key.data.as_ref(),
    );
    key.verify(leaf.tbs_certificate.as_ref(), leaf.signature_value.data.as_ref())
        .is_ok()
}
