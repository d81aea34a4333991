//! Algorithms of signatures: those of rustls, and what Go knows beside them.

use crate::der;
use crate::ecdsa;
use crate::error::{Insecure, VerifyError};
use crate::keys::Keys;
use crate::scheme::{self, Family, Scheme};
use ring::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RsaParameters, UnparsedPublicKey,
};
use rustls::SignatureScheme;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring as base};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use std::sync::LazyLock;
use x509_parser::der_parser::asn1_rs::FromDer as _;
use x509_parser::public_key::RSAPublicKey;

type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

/// Bits of the shortest RSA keys that Go checks signatures of.
const SHORTEST_RSA: usize = 1024;

/// What signatures of certificates and handshakes are checked with. Made once and never given back.
static SUPPORTED: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(|| {
    let known = base::default_provider().signature_verification_algorithms;
    let all: Vec<_> = known.all.iter().chain(MORE).copied().collect();
    let schemes = known.mapping.iter().map(|(scheme, algorithms)| {
        let more: Option<&'static dyn SignatureVerificationAlgorithm> = match *scheme {
            SignatureScheme::ECDSA_NISTP256_SHA256 => Some(&ecdsa::P521_SHA256),
            SignatureScheme::ECDSA_NISTP384_SHA384 => Some(&ecdsa::P521_SHA384),
            _ => None,
        };
        let algorithms: Vec<_> = algorithms.iter().copied().chain(more).collect();
        (*scheme, Algorithms::from(algorithms.leak()))
    });
    let p521 = (SignatureScheme::ECDSA_NISTP521_SHA512, SHA512);
    let mapping: Vec<_> = schemes.chain([p521]).collect();
    WebPkiSupportedAlgorithms {
        all: all.leak(),
        mapping: mapping.leak(),
    }
});

const MORE: Algorithms = &[
    &ecdsa::P521_SHA512,
    &ecdsa::P521_SHA384,
    &ecdsa::P521_SHA256,
    &ecdsa::P384_SHA512,
    &ecdsa::P256_SHA512,
    &SHORT_SHA256,
    &SHORT_SHA512,
];
/// The first is that of TLS 1.3; TLS 1.2 leaves the curve open.
const SHA512: Algorithms = &[&ecdsa::P521_SHA512, &ecdsa::P384_SHA512, &ecdsa::P256_SHA512];

/// What TLS shall be set up with: rustls over `ring`, with keys of P-521 in certificates.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        signature_verification_algorithms: *SUPPORTED,
        key_provider: &Keys,
        ..base::default_provider()
    }
}

/// RSA keys from 1024 bits, as some still have in certificates.
#[derive(Debug)]
struct ShortRsa {
    signature: AlgorithmIdentifier,
    parameters: &'static RsaParameters,
}

static SHORT_SHA256: ShortRsa = ShortRsa {
    signature: alg_id::RSA_PKCS1_SHA256,
    parameters: &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
};
/// Only for requests.
static SHORT_SHA1: ShortRsa = ShortRsa {
    signature: scheme::RSA_SHA1,
    parameters: &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
};
static SHORT_SHA512: ShortRsa = ShortRsa {
    signature: alg_id::RSA_PKCS1_SHA512,
    parameters: &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
};

impl SignatureVerificationAlgorithm for ShortRsa {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(self.parameters, key)
            .verify(message, signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// A message and what is said to be its signature.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'s> {
    /// The inside of an AlgorithmIdentifier in DER: an object identifier, perhaps with parameters.
    pub algorithm: &'s [u8],
    pub message: &'s [u8],
    pub signature: &'s [u8],
}

impl Signed<'_> {
    /// Checks that the owner of `key`, a SubjectPublicKeyInfo, made it.
    ///
    /// # Errors
    ///
    /// Go's, in Go's words.
    pub fn check(&self, key: &[u8]) -> Result<(), VerifyError> {
        let scheme = Scheme::of(self.algorithm);
        match scheme.insecure {
            Some(digest) => Err(VerifyError::Insecure(digest)),
            None => self.check_by(scheme, SUPPORTED.all, key),
        }
    }

    /// The same for a request for a certificate, which may be signed over SHA-1.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn check_of_request(&self, key: &[u8]) -> Result<(), VerifyError> {
        let scheme = Scheme::of(self.algorithm);
        match scheme.insecure {
            Some(Insecure::Md5Rsa) => Err(VerifyError::Insecure(Insecure::Md5Rsa)),
            Some(Insecure::Sha1Rsa) => self.check_by(scheme, &[&SHORT_SHA1], key),
            Some(Insecure::EcdsaSha1) => self.check_by(scheme, ecdsa::OVER_SHA1, key),
            None => self.check_by(scheme, SUPPORTED.all, key),
        }
    }

    /// `algorithms` for an insecure scheme are only of that.
    fn check_by(
        &self,
        scheme: Scheme,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        key: &[u8],
    ) -> Result<(), VerifyError> {
        let key = Key::read(key).ok_or(VerifyError::UnknownAlgorithm)?;
        if let (Some(wanted), Some(family)) = (scheme.family, key.family())
            && wanted != family
        {
            return Err(VerifyError::OtherKey {
                signature: wanted.name(),
                key: family.type_of_go(),
            });
        }
        if let Some(bits) = key.rsa_bits().filter(|bits| *bits < SHORTEST_RSA) {
            return Err(VerifyError::ShortRsa(bits));
        }
        let mut known = false;
        for algorithm in algorithms {
            let is_meant =
                scheme.insecure.is_some() || scheme.is(&algorithm.signature_alg_id(), self.algorithm);
            if is_meant && key.is_for(*algorithm) {
                known = true;
                if algorithm
                    .verify_signature(key.bits, self.message, self.signature)
                    .is_ok()
                {
                    return Ok(());
                }
            }
        }
        Err(if known {
            key.failure()
        } else {
            VerifyError::UnknownAlgorithm
        })
    }
}

/// A public key, taken apart.
pub(crate) struct Key<'k> {
    /// The inside of its AlgorithmIdentifier.
    algorithm: &'k [u8],
    pub bits: &'k [u8],
}

impl<'k> Key<'k> {
    pub fn read(info: &'k [u8]) -> Option<Self> {
        let (inside, _) = der::sequence(info)?;
        let (algorithm, rest) = der::sequence(inside)?;
        let (bits, _) = der::whole_bits(rest)?;
        Some(Self { algorithm, bits })
    }

    pub fn is_for(&self, algorithm: &dyn SignatureVerificationAlgorithm) -> bool {
        algorithm.public_key_alg_id().as_ref() == self.algorithm
    }

    /// Nothing for keys that no signature is checked with.
    fn family(&self) -> Option<Family> {
        Family::of_key(self.algorithm)
    }

    fn rsa_bits(&self) -> Option<usize> {
        let is_rsa = self.family() == Some(Family::Rsa);
        let (_, key) = is_rsa.then(|| RSAPublicKey::from_der(self.bits).ok())??;
        let first = key.modulus.iter().position(|byte| *byte != 0)?;
        let leading = key.modulus[first].leading_zeros();
        Some((key.modulus.len() - first) * 8 - usize::try_from(leading).ok()?)
    }

    fn failure(&self) -> VerifyError {
        VerifyError::Signature(match self.family() {
            Some(Family::Rsa) => "crypto/rsa: verification error",
            Some(Family::Ed25519) => "x509: Ed25519 verification failure",
            _ => "x509: ECDSA verification failure",
        })
    }
}
