//! What the identifier of a signature's algorithm says, as Go takes it.

use crate::error::Insecure;
use rustls::pki_types::AlgorithmIdentifier;
use x509_parser::der_parser::asn1_rs::{FromDer as _, Oid};

/// sha1WithRSAEncryption (1.2.840.113549.1.1.5), with its null parameter.
pub(crate) const RSA_SHA1: AlgorithmIdentifier = AlgorithmIdentifier::from_slice(&[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05, 0x05, 0x00,
]);

/// Families of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Rsa,
    Ecdsa,
    Ed25519,
    /// No signature of such a key is taken; what asks for one is told of another key all the same.
    Dsa,
}

impl Family {
    /// Of a key, by the inside of its AlgorithmIdentifier; nothing for those that Go doesn't check with.
    pub fn of_key(identifier: &[u8]) -> Option<Self> {
        match object(identifier)?.as_str() {
            "1.2.840.113549.1.1.1" => Some(Self::Rsa),
            "1.2.840.10045.2.1" => Some(Self::Ecdsa),
            "1.3.101.112" => Some(Self::Ed25519),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
            Self::Dsa => "DSA",
        }
    }

    /// The Go type of its public keys, which errors name.
    pub fn type_of_go(self) -> &'static str {
        match self {
            Self::Rsa => "*rsa.PublicKey",
            Self::Ecdsa => "*ecdsa.PublicKey",
            Self::Ed25519 => "ed25519.PublicKey",
            Self::Dsa => "*dsa.PublicKey",
        }
    }
}

/// The algorithm of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scheme {
    /// Nothing where Go doesn't know the algorithm.
    pub family: Option<Family>,
    pub insecure: Option<Insecure>,
    /// Whether its parameters say more of it. Those of others aren't looked at: some programs leave out the null.
    parameters_count: bool,
}

impl Scheme {
    pub fn of(identifier: &[u8]) -> Self {
        let known = |family| Self {
            family: Some(family),
            insecure: None,
            parameters_count: false,
        };
        let insecure = |family, digest| Self {
            insecure: Some(digest),
            ..known(family)
        };
        match object(identifier).unwrap_or_default().as_str() {
            "1.2.840.113549.1.1.4" => insecure(Family::Rsa, Insecure::Md5Rsa),
            "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => insecure(Family::Rsa, Insecure::Sha1Rsa),
            "1.2.840.10045.4.1" => insecure(Family::Ecdsa, Insecure::EcdsaSha1),
            "1.2.840.113549.1.1.11" | "1.2.840.113549.1.1.12" | "1.2.840.113549.1.1.13" => known(Family::Rsa),
            "1.2.840.10045.4.3.2" | "1.2.840.10045.4.3.3" | "1.2.840.10045.4.3.4" => known(Family::Ecdsa),
            "1.2.840.10040.4.3" | "2.16.840.1.101.3.4.3.2" => known(Family::Dsa),
            "1.2.840.113549.1.1.10" => Self {
                parameters_count: true,
                ..known(Family::Rsa)
            },
            "1.3.101.112" => Self {
                parameters_count: true,
                ..known(Family::Ed25519)
            },
            _ => Self {
                family: None,
                insecure: None,
                parameters_count: true,
            },
        }
    }

    /// Whether `identifier`, which this is of, means the same as `known`.
    pub fn is(self, known: &AlgorithmIdentifier, identifier: &[u8]) -> bool {
        let known = known.as_ref();
        known == identifier || !self.parameters_count && element(known) == element(identifier)
    }
}

/// The bytes of the object identifier at the start, which is short.
fn element(identifier: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*identifier.get(1)?);
    identifier.get(..2 + length)
}

fn object(identifier: &[u8]) -> Option<String> {
    let (_, object) = Oid::from_der(identifier).ok()?;
    Some(object.to_id_string())
}
