//! What verification needs of a certificate.

use crate::algorithms::Signed;
use crate::constraints::Constraints;
use crate::der;
use crate::error::VerifyError;
use crate::name::Name;
use rustls::pki_types::CertificateDer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use x509_parser::der_parser::asn1_rs::FromDer as _;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{X509Certificate, X509Extension};

/// Which may be critical and are not looked at, as with Go.
const IRRELEVANT: [&str; 3] = ["2.5.29.14", "2.5.29.31", "2.5.29.32"];

/// A certificate that was read.
#[derive(Debug)]
pub struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    /// 1 to 3.
    pub(crate) version: u32,
    pub(crate) subject: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) common_name: String,
    /// What people call it.
    pub(crate) label: String,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) authority_key_id: Option<Vec<u8>>,
    /// Seconds since 1970.
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) basic: Option<Basic>,
    /// What its key may do, if it says that: sign certificates, or not.
    pub(crate) may_sign: Option<bool>,
    pub(crate) usages: Option<Usages>,
    pub(crate) names: Option<Names>,
    pub(crate) constraints: Option<Constraints>,
    pub(crate) unhandled: bool,
    /// SubjectPublicKeyInfo.
    pub(crate) key: Vec<u8>,
    signed: Vec<u8>,
    /// The inside of the AlgorithmIdentifier.
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

/// Basic constraints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Basic {
    pub authority: bool,
    pub longest_path: Option<u32>,
}

/// Extended key usages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usages {
    pub any: bool,
    pub server: bool,
    pub client: bool,
}

/// Subject alternative names, as far as Go looks at them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub dns: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub mailboxes: Vec<String>,
    pub uris: Vec<String>,
}

impl Certificate {
    /// Reads a DER certificate.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, VerifyError> {
        Self::parse(der).ok_or(VerifyError::Malformed)
    }

    /// Reads certificates, one behind the other.
    ///
    /// # Errors
    ///
    /// One of them is none.
    pub fn read_all(mut bytes: &[u8]) -> Result<Vec<Self>, VerifyError> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (_, rest) = der::sequence(bytes).ok_or(VerifyError::Malformed)?;
            let (one, rest) = bytes.split_at(bytes.len() - rest.len());
            all.push(Self::read(&CertificateDer::from(one))?);
            bytes = rest;
        }
        Ok(all)
    }

    /// When it expires, in seconds since 1970.
    pub fn until(&self) -> i64 {
        self.until
    }

    fn parse(bytes: &CertificateDer<'_>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(bytes).ok()?;
        let (outer, _) = der::sequence(bytes)?;
        let signed = parsed.tbs_certificate.as_ref();
        let (algorithm, rest_of_outer) = der::sequence(outer.get(signed.len()..)?)?;
        let (signature, end) = der::whole_bits(rest_of_outer)?;
        let negative = |serial: &[u8]| serial.first().is_some_and(|byte| byte & 0x80 != 0);
        if !rest.is_empty()
            || !end.is_empty()
            || parsed.version().0 > 2
            || negative(parsed.raw_serial())
            || parsed.signature_algorithm != parsed.tbs_certificate.signature
        {
            return None;
        }
        Name::read(parsed.issuer().as_raw())?;
        let subject = Name::read(parsed.subject().as_raw())?;
        let common_name = subject.common_name();
        let organization = subject.organizations().next().unwrap_or_default();
        let label = match (common_name, organization) {
            ("", "") => format!("serial:{}", parsed.tbs_certificate.serial),
            ("", organization) => organization.to_owned(),
            (name, _) => name.to_owned(),
        };
        let mut read = Self {
            der: bytes.clone().into_owned(),
            version: parsed.version().0 + 1,
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            common_name: common_name.to_owned(),
            label,
            subject_key_id: None,
            authority_key_id: None,
            from: parsed.validity().not_before.timestamp(),
            until: parsed.validity().not_after.timestamp(),
            basic: None,
            may_sign: None,
            usages: None,
            names: None,
            constraints: None,
            unhandled: false,
            key: parsed.public_key().raw.to_vec(),
            signed: signed.to_vec(),
            algorithm: algorithm.to_vec(),
            signature: signature.to_vec(),
        };
        let mut seen = Vec::new();
        for extension in parsed.extensions() {
            if seen.contains(&&extension.oid) {
                return None;
            }
            seen.push(&extension.oid);
            read.take(extension)?;
        }
        Some(read)
    }

    fn take(&mut self, extension: &X509Extension<'_>) -> Option<()> {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(basic) => {
                self.basic = Some(Basic {
                    authority: basic.ca,
                    longest_path: basic.path_len_constraint,
                });
            }
            ParsedExtension::KeyUsage(usage) => self.may_sign = Some(usage.key_cert_sign()),
            ParsedExtension::ExtendedKeyUsage(usages) => {
                self.usages = Some(Usages {
                    any: usages.any,
                    server: usages.server_auth,
                    client: usages.client_auth,
                });
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                let names = Names::read(&names.general_names)?;
                self.unhandled |= extension.critical && names == Names::default();
                self.names = Some(names);
            }
            ParsedExtension::NameConstraints(constraints) => {
                let (constraints, whole) = Constraints::read(constraints)?;
                self.unhandled |= extension.critical && !whole;
                self.constraints = Some(constraints);
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            ParsedExtension::ParseError { .. } => return None,
            _ => {
                self.unhandled |=
                    extension.critical && !IRRELEVANT.contains(&extension.oid.to_id_string().as_str());
            }
        }
        Some(())
    }

    /// Checks that `parent` signed this.
    pub(crate) fn check_signature_from(&self, parent: &Self) -> Result<(), VerifyError> {
        let no_authority = match parent.basic {
            None => parent.version == 3,
            Some(basic) => !basic.authority,
        };
        if no_authority || parent.may_sign == Some(false) {
            return Err(VerifyError::ParentCannotSign);
        }
        let signed = Signed {
            algorithm: &self.algorithm,
            message: &self.signed,
            signature: &self.signature,
        };
        signed.check(&parent.key)
    }
}

impl Names {
    pub(crate) fn read(names: &[GeneralName<'_>]) -> Option<Self> {
        let mut read = Self::default();
        for name in names {
            match name {
                GeneralName::DNSName(name) => read.dns.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => read.mailboxes.push((*name).to_owned()),
                GeneralName::URI(name) => read.uris.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => read.addresses.push(address(bytes)?),
                _ => {}
            }
        }
        Some(read)
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.dns.extend(more.dns);
        self.addresses.extend(more.addresses);
        self.mailboxes.extend(more.mailboxes);
        self.uris.extend(more.uris);
    }
}

/// An address of 4 or 16 bytes.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|all| Ipv6Addr::from(all).into())
}
