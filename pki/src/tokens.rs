//! Service-account tokens: the keys that sign and verify them, read from PEM, and signing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use p521::ecdsa::signature::{RandomizedSigner as _, Verifier as _};
use p521::elliptic_curve::rand_core::OsRng;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair, RsaKeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Why a key could not be used; never carries key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("no key found in PEM data")]
    Empty,
    #[error("unsupported or malformed {0}")]
    Malformed(&'static str),
    #[error("signing failed")]
    Signing,
}

/// Signature algorithm of a JSON web token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Es256,
    Es384,
    Es512,
    Rs256,
}

impl Algorithm {
    /// The curve's name in a JSON web key.
    fn curve(self) -> Option<&'static str> {
        match self {
            Self::Es256 => Some("P-256"),
            Self::Es384 => Some("P-384"),
            Self::Es512 => Some("P-521"),
            Self::Rs256 => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
        }
    }
}

/// A public key with its identifier, upstream's: the hash of its SubjectPublicKeyInfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    pub id: String,
    pub algorithm: Algorithm,
    /// What `ring` takes: an uncompressed point, or a PKCS#1 RSAPublicKey.
    raw: Vec<u8>,
}

impl VerifyingKey {
    /// Reads a DER SubjectPublicKeyInfo.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyError::Malformed("public key"))?;
        let raw = info.subject_public_key.data.to_vec();
        let algorithm = match info.algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.1" => Algorithm::Rs256,
            "1.2.840.10045.2.1" => match raw.len() {
                65 => Algorithm::Es256,
                97 => Algorithm::Es384,
                133 => Algorithm::Es512,
                _ => return Err(KeyError::Malformed("elliptic curve; use P-256, P-384 or P-521")),
            },
            _ => return Err(KeyError::Malformed("key type; use RSA or ECDSA")),
        };
        Ok(Self {
            id: URL_SAFE_NO_PAD.encode(Sha256::digest(der)),
            algorithm,
            raw,
        })
    }

    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn signature::VerificationAlgorithm = match self.algorithm {
            Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Algorithm::Es512 => return verify_es512(&self.raw, message, signature),
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.raw)
            .verify(message, signature)
            .is_ok()
    }

    /// The key as a JSON web key.
    pub fn to_jwk(&self) -> Option<Value> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let Some(curve) = self.algorithm.curve() else {
            let (modulus, exponent) = rsa_parts(&self.raw)?;
            return Some(
                json!({"use": "sig", "kty": "RSA", "kid": self.id, "alg": "RS256", "n": encode(modulus), "e": encode(exponent)}),
            );
        };
        let (x, y) = self.raw[1..].split_at((self.raw.len() - 1) / 2);
        Some(
            json!({"use": "sig", "kty": "EC", "kid": self.id, "crv": curve, "alg": self.algorithm.name(), "x": encode(x), "y": encode(y)}),
        )
    }
}

/// Whether the owner of `point`, of P-521, made the signature: two numbers of 66 bytes (RFC 7518, 3.4).
pub fn verify_es512(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point);
    let signature = p521::ecdsa::Signature::from_slice(signature);
    matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(message, &signature).is_ok())
}

/// A private key.
pub struct SigningKey {
    pub public: VerifyingKey,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    P521(p521::SecretKey),
    Rsa(RsaKeyPair),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SigningKey")
            .field("id", &self.public.id)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads the first private key of PEM data: PKCS#8, SEC1 or PKCS#1.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        for (kind, der) in sections(pem)? {
            if let Some(key) = Self::from_section(kind, &der)? {
                return Ok(key);
            }
        }
        Err(KeyError::Empty)
    }

    fn from_section(kind: SectionKind, der: &[u8]) -> Result<Option<Self>, KeyError> {
        match kind {
            SectionKind::EcPrivateKey => {
                if let Ok(key) = p256::SecretKey::from_sec1_der(der) {
                    return Self::from_p256(&key).map(Some);
                }
                if let Ok(key) = p384::SecretKey::from_sec1_der(der) {
                    return Self::from_p384(&key).map(Some);
                }
                let key = p521::SecretKey::from_sec1_der(der)
                    .map_err(|_| KeyError::Malformed("EC private key; use P-256, P-384 or P-521"))?;
                Self::from_p521(key).map(Some)
            }
            SectionKind::RsaPrivateKey => Self::from_rsa(RsaKeyPair::from_der(der)).map(Some),
            SectionKind::PrivateKey => {
                if let Ok(key) = p256::SecretKey::from_pkcs8_der(der) {
                    return Self::from_p256(&key).map(Some);
                }
                if let Ok(key) = p384::SecretKey::from_pkcs8_der(der) {
                    return Self::from_p384(&key).map(Some);
                }
                if let Ok(key) = p521::SecretKey::from_pkcs8_der(der) {
                    return Self::from_p521(key).map(Some);
                }
                Self::from_rsa(RsaKeyPair::from_pkcs8(der)).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn from_p256(key: &p256::SecretKey) -> Result<Self, KeyError> {
        let private = key
            .to_pkcs8_der()
            .map_err(|_| KeyError::Malformed("EC private key"))?;
        let how = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        Self::from_ecdsa(how, private.as_bytes(), &key.public_key())
    }

    fn from_p384(key: &p384::SecretKey) -> Result<Self, KeyError> {
        let private = key
            .to_pkcs8_der()
            .map_err(|_| KeyError::Malformed("EC private key"))?;
        let how = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
        Self::from_ecdsa(how, private.as_bytes(), &key.public_key())
    }

    fn from_ecdsa(
        how: &'static signature::EcdsaSigningAlgorithm,
        private: &[u8],
        public: &impl EncodePublicKey,
    ) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed("EC private key");
        let pair = EcdsaKeyPair::from_pkcs8(how, private, &SystemRandom::new()).map_err(|_| malformed())?;
        let spki = public.to_public_key_der().map_err(|_| malformed())?;
        Ok(Self {
            public: VerifyingKey::from_spki(spki.as_bytes())?,
            pair: Pair::Ecdsa(pair),
        })
    }

    fn from_p521(key: p521::SecretKey) -> Result<Self, KeyError> {
        let spki = key.public_key().to_public_key_der();
        let spki = spki.map_err(|_| KeyError::Malformed("EC private key"))?;
        Ok(Self {
            public: VerifyingKey::from_spki(spki.as_bytes())?,
            pair: Pair::P521(key),
        })
    }

    fn from_rsa(pair: Result<RsaKeyPair, ring::error::KeyRejected>) -> Result<Self, KeyError> {
        let pair = pair.map_err(|_| KeyError::Malformed("RSA private key; at least 2048 bits are needed"))?;
        let public = VerifyingKey::from_spki(&rsa_spki(pair.public_key().as_ref()))?;
        Ok(Self {
            public,
            pair: Pair::Rsa(pair),
        })
    }

    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => Ok(pair
                .sign(&random, message)
                .map_err(|_| KeyError::Signing)?
                .as_ref()
                .to_vec()),
            Pair::P521(key) => {
                let key = p521::ecdsa::SigningKey::from_bytes(&key.to_bytes());
                let signature: p521::ecdsa::Signature = key
                    .and_then(|key| key.try_sign_with_rng(&mut OsRng, message))
                    .map_err(|_| KeyError::Signing)?;
                Ok(signature.to_bytes().to_vec())
            }
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out)
                    .map_err(|_| KeyError::Signing)?;
                Ok(out)
            }
        }
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kid: &'a str,
}

/// A compact JSON web token with these claims.
pub fn sign<T: Serialize>(key: &SigningKey, claims: &T) -> Result<String, KeyError> {
    let header = Header {
        alg: key.public.algorithm.name(),
        kid: &key.public.id,
    };
    let encode = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
    let header = serde_json::to_vec(&header).map_err(|_| KeyError::Signing)?;
    let claims = serde_json::to_vec(claims).map_err(|_| KeyError::Signing)?;
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = encode(key.sign(message.as_bytes())?);
    Ok(format!("{message}.{signature}"))
}

/// All keys of PEM data that can verify: public keys, certificates, and the public halves of private keys.
pub fn verifying_keys(pem: &[u8]) -> Result<Vec<VerifyingKey>, KeyError> {
    let mut keys = Vec::new();
    for (kind, der) in sections(pem)? {
        match kind {
            SectionKind::PublicKey => keys.push(VerifyingKey::from_spki(&der)?),
            SectionKind::Certificate => {
                let (_, certificate) = x509_parser::parse_x509_certificate(&der)
                    .map_err(|_| KeyError::Malformed("certificate"))?;
                keys.push(VerifyingKey::from_spki(certificate.public_key().raw)?);
            }
            other => keys.extend(SigningKey::from_section(other, &der)?.map(|key| key.public)),
        }
    }
    if keys.is_empty() {
        Err(KeyError::Empty)
    } else {
        Ok(keys)
    }
}

fn sections(pem: &[u8]) -> Result<Vec<(SectionKind, Vec<u8>)>, KeyError> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| KeyError::Malformed("PEM data"))
}

fn der_length(length: usize) -> Vec<u8> {
    if length < 0x80 {
        return vec![length as u8];
    }
    let bytes: Vec<u8> = length
        .to_be_bytes()
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect();
    std::iter::once(0x80 | bytes.len() as u8).chain(bytes).collect()
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag][..], &der_length(content.len()), content].concat()
}

/// SubjectPublicKeyInfo around a bit string with the given algorithm identifier.
fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let bits = der(0x03, &[&[0][..], key].concat());
    der(0x30, &[&der(0x30, algorithm), &bits[..]].concat())
}

fn rsa_spki(pkcs1: &[u8]) -> Vec<u8> {
    // rsaEncryption with NULL parameters
    spki(
        &[
            0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
        ],
        pkcs1,
    )
}

/// Modulus and exponent of a PKCS#1 RSAPublicKey, without leading zeros.
fn rsa_parts(pkcs1: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, key) = x509_parser::public_key::RSAPublicKey::from_der(pkcs1).ok()?;
    let strip = |bytes: &'_ [u8]| bytes.iter().take_while(|byte| **byte == 0).count();
    Some((
        &key.modulus[strip(key.modulus)..],
        &key.exponent[strip(key.exponent)..],
    ))
}
