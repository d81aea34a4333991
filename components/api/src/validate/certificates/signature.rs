//! Signatures that the parser of certificates can't check: of RSA keys of less than 2048 bits, and of P-521.

use p521::elliptic_curve::bigint::U576;
use p521::elliptic_curve::ff::PrimeField;
use p521::elliptic_curve::ops::Reduce;
use p521::elliptic_curve::point::AffineCoordinates;
use p521::{FieldBytes, ProjectivePoint, PublicKey, Scalar};
use ring::signature::{
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    UnparsedPublicKey,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_parser::der_parser::parse_der;
use x509_parser::oid_registry::{
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
    OID_SIG_ECDSA_WITH_SHA512, Oid,
};

/// A message and what is said to be its signature.
pub(super) struct Signed<'s> {
    pub algorithm: &'s Oid<'s>,
    pub message: &'s [u8],
    pub signature: &'s [u8],
}

impl Signed<'_> {
    /// Whether it is that of an RSA key of 1024 bits or more; `None` if that can't be told.
    pub fn by_short_rsa(&self, key: &[u8]) -> Option<bool> {
        let parameters = if *self.algorithm == OID_PKCS1_SHA256WITHRSA {
            &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
        } else if *self.algorithm == OID_PKCS1_SHA512WITHRSA {
            &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
        } else {
            return None;
        };
        let key = UnparsedPublicKey::new(parameters, key);
        Some(key.verify(self.message, self.signature).is_ok())
    }

    /// Whether it is that of a key of P-521, given as a point in SEC 1's form; `None` if that can't be told.
    pub fn by_p521(&self, point: &[u8]) -> Option<bool> {
        let digest = if *self.algorithm == OID_SIG_ECDSA_WITH_SHA256 {
            Sha256::digest(self.message).to_vec()
        } else if *self.algorithm == OID_SIG_ECDSA_WITH_SHA384 {
            Sha384::digest(self.message).to_vec()
        } else if *self.algorithm == OID_SIG_ECDSA_WITH_SHA512 {
            Sha512::digest(self.message).to_vec()
        } else {
            return None;
        };
        Some(self.holds(point, &digest).unwrap_or(false))
    }

    /// The equation of ECDSA, all of whose numbers are public. `None` where something isn't a number or point of the curve.
    fn holds(&self, point: &[u8], digest: &[u8]) -> Option<bool> {
        let key = PublicKey::from_sec1_bytes(point).ok()?;
        let (rest, pair) = parse_der(self.signature).ok()?;
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
