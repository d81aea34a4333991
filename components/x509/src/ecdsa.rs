//! ECDSA of the pairs of curve and digest that `ring` does not have.

use p521::elliptic_curve::bigint::U576;
use p521::elliptic_curve::ff::PrimeField;
use p521::elliptic_curve::ops::Reduce;
use p521::elliptic_curve::point::AffineCoordinates;
use p521::{FieldBytes, ProjectivePoint, PublicKey, Scalar};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_parser::der_parser::parse_der;

/// One pair.
#[derive(Debug)]
pub(crate) struct Ecdsa {
    curve: Curve,
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    digest: fn(&[u8]) -> Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Curve {
    P256,
    P384,
    P521,
}

const fn of_p521(signature: AlgorithmIdentifier, digest: fn(&[u8]) -> Vec<u8>) -> Ecdsa {
    Ecdsa {
        curve: Curve::P521,
        key: alg_id::ECDSA_P521,
        signature,
        digest,
    }
}

pub(crate) static P521_SHA256: Ecdsa =
    of_p521(alg_id::ECDSA_SHA256, |message| Sha256::digest(message).to_vec());
pub(crate) static P521_SHA384: Ecdsa =
    of_p521(alg_id::ECDSA_SHA384, |message| Sha384::digest(message).to_vec());
pub(crate) static P521_SHA512: Ecdsa = of_p521(alg_id::ECDSA_SHA512, sha512);
pub(crate) static P384_SHA512: Ecdsa = Ecdsa {
    curve: Curve::P384,
    key: alg_id::ECDSA_P384,
    signature: alg_id::ECDSA_SHA512,
    digest: sha512,
};
pub(crate) static P256_SHA512: Ecdsa = Ecdsa {
    curve: Curve::P256,
    key: alg_id::ECDSA_P256,
    signature: alg_id::ECDSA_SHA512,
    digest: sha512,
};

/// What Go still takes of requests for certificates, not of certificates.
pub(crate) const OVER_SHA1: &[&dyn SignatureVerificationAlgorithm] = &[
    &over_sha1(Curve::P256, alg_id::ECDSA_P256),
    &over_sha1(Curve::P384, alg_id::ECDSA_P384),
    &over_sha1(Curve::P521, alg_id::ECDSA_P521),
];

/// ecdsa-with-SHA1 (1.2.840.10045.4.1).
const ECDSA_SHA1: AlgorithmIdentifier =
    AlgorithmIdentifier::from_slice(&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]);

const fn over_sha1(curve: Curve, key: AlgorithmIdentifier) -> Ecdsa {
    Ecdsa {
        curve,
        key,
        signature: ECDSA_SHA1,
        digest: sha1,
    }
}

fn sha1(message: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, message).as_ref().to_vec()
}

fn sha512(message: &[u8]) -> Vec<u8> {
    Sha512::digest(message).to_vec()
}

impl SignatureVerificationAlgorithm for Ecdsa {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let digest = (self.digest)(message);
        let holds = match self.curve {
            Curve::P256 => by_p256(key, &digest, signature),
            Curve::P384 => by_p384(key, &digest, signature),
            Curve::P521 => by_p521(key, &digest, signature),
        };
        holds.filter(|holds| *holds).map(drop).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

fn by_p256(point: &[u8], digest: &[u8], signature: &[u8]) -> Option<bool> {
    use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
    let signature = p256::ecdsa::Signature::from_der(signature).ok()?;
    Some(key.verify_prehash(digest, &signature).is_ok())
}

fn by_p384(point: &[u8], digest: &[u8], signature: &[u8]) -> Option<bool> {
    use p384::ecdsa::signature::hazmat::PrehashVerifier as _;
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
    let signature = p384::ecdsa::Signature::from_der(signature).ok()?;
    // Zeros in front mean nothing, and the library refuses digests of less than half the curve's length.
    let mut padded = [0; 48];
    let place = padded.len().saturating_sub(digest.len());
    let digest = if place == 0 {
        digest
    } else {
        padded[place..].copy_from_slice(digest);
        &padded
    };
    Some(key.verify_prehash(digest, &signature).is_ok())
}

/// The equation of ECDSA, all of whose numbers are public: the library refuses digests of less than half the curve's
/// length. `None` where something isn't a number or point of the curve.
fn by_p521(point: &[u8], digest: &[u8], signature: &[u8]) -> Option<bool> {
    let key = PublicKey::from_sec1_bytes(point).ok()?;
    let (rest, pair) = parse_der(signature).ok()?;
    let [r, s] = pair.as_sequence().ok()?.as_slice() else {
        return None;
    };
    let (r, s) = (scalar(r.as_slice().ok()?)?, scalar(s.as_slice().ok()?)?);
    let zero = |number: &Scalar| bool::from(number.is_zero());
    if !rest.is_empty() || zero(&r) || zero(&s) {
        return None;
    }
    let inverse = Option::<Scalar>::from(s.invert())?;
    let (for_generator, for_key) = (scalar(digest)? * inverse, r * inverse);
    let sum = ProjectivePoint::GENERATOR * for_generator + key.to_projective() * for_key;
    let x = sum.to_affine().x();
    Some(<Scalar as Reduce<U576>>::reduce_bytes(&x) == r)
}

/// A number below the order of the curve's group.
fn scalar(bytes: &[u8]) -> Option<Scalar> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let significant = &bytes[start..];
    let mut padded = FieldBytes::default();
    let place = padded.len().checked_sub(significant.len())?;
    padded[place..].copy_from_slice(significant);
    Option::from(Scalar::from_repr(padded))
}
