use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::PkiError;

/// What a certificate says, in plain values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub issuer: String,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub client: bool,
    pub server: bool,
    pub authority: bool,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    /// DER SubjectPublicKeyInfo, to compare with a key.
    pub public_key: Vec<u8>,
    /// Hexadecimal.
    pub serial: String,
    /// SHA-256 of the DER, hexadecimal.
    pub fingerprint: String,
    /// The subject's own key identifier, hexadecimal: tells authorities of one name apart.
    pub key_id: Option<String>,
    /// The key identifier of the authority that signed it.
    pub authority_key_id: Option<String>,
}

impl Inspected {
    /// Time until expiry; zero when it has passed.
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }
}

/// Reads the first certificate of a PEM text.
pub fn inspect(pem: &str) -> Result<Inspected, PkiError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| invalid(&error))?;
    inspect_der(&der)
}

/// Reads every certificate of a PEM text, in its order; an unreadable one is an error.
pub fn inspect_all(pem: &str) -> Result<Vec<Inspected>, PkiError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|der| inspect_der(&der.map_err(|error| invalid(&error))?))
        .collect()
}

fn invalid(reason: &dyn std::fmt::Display) -> PkiError {
    PkiError::NotACertificate {
        what: "the text".to_owned(),
        reason: reason.to_string(),
    }
}

/// Reads a DER certificate.
pub fn inspect_der(der: &[u8]) -> Result<Inspected, PkiError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| invalid(&error))?;
    let (mut dns_names, mut addresses) = (Vec::new(), Vec::new());
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        for name in &names.value.general_names {
            match name {
                GeneralName::DNSName(dns) => dns_names.push((*dns).to_owned()),
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
    }
    let usage = certificate
        .extended_key_usage()
        .ok()
        .flatten()
        .map(|extension| extension.value);
    let names = |list: &mut dyn Iterator<Item = &x509_parser::prelude::AttributeTypeAndValue<'_>>| {
        list.filter_map(|value| value.as_str().ok())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    Ok(Inspected {
        common_name: names(&mut certificate.subject().iter_common_name())
            .into_iter()
            .next()
            .unwrap_or_default(),
        organizations: names(&mut certificate.subject().iter_organization()),
        issuer: names(&mut certificate.issuer().iter_common_name())
            .into_iter()
            .next()
            .unwrap_or_default(),
        dns_names,
        addresses,
        client: usage.is_some_and(|usage| usage.client_auth),
        server: usage.is_some_and(|usage| usage.server_auth),
        authority: certificate.is_ca(),
        not_before: time(certificate.validity().not_before.timestamp()),
        not_after: time(certificate.validity().not_after.timestamp()),
        public_key: certificate.public_key().raw.to_vec(),
        serial: hex(certificate.raw_serial()),
        fingerprint: hex(ring::digest::digest(&ring::digest::SHA256, der).as_ref()),
        key_id: key_ids(&certificate).0,
        authority_key_id: key_ids(&certificate).1,
    })
}

fn key_ids(certificate: &X509Certificate<'_>) -> (Option<String>, Option<String>) {
    let (mut own, mut authority) = (None, None);
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => own = Some(hex(id.0)),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                authority = id.key_identifier.as_ref().map(|id| hex(id.0));
            }
            _ => {}
        }
    }
    (own, authority)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
