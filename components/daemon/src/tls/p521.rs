//! secp521r1, for who asks for it.

use super::invalid_share;
use p521::elliptic_curve::ecdh::diffie_hellman;
use p521::elliptic_curve::sec1::ToEncodedPoint;
use p521::{PublicKey, SecretKey};
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup};

/// Bytes of a number below 2^521.
const SCALAR: usize = 66;
/// The first byte of a point that is not compressed, which is the only form that TLS 1.3 takes (RFC 8446, 4.2.8.2).
const UNCOMPRESSED: u8 = 4;

/// The group.
#[derive(Debug)]
pub struct Secp521R1;

impl SupportedKxGroup for Secp521R1 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let random = rustls::crypto::ring::default_provider().secure_random;
        loop {
            let mut bytes = [0; SCALAR];
            random.fill(&mut bytes)?;
            // 528 bits are too many by seven. What is no scalar even so is as good as never.
            bytes[0] &= 1;
            let Ok(secret) = SecretKey::from_slice(&bytes) else {
                continue;
            };
            let share = secret.public_key().to_encoded_point(false).as_bytes().to_vec();
            return Ok(Box::new(Started { secret, share }));
        }
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

struct Started {
    secret: SecretKey,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        if share.first() != Some(&UNCOMPRESSED) {
            return Err(invalid_share());
        }
        let other = PublicKey::from_sec1_bytes(share).map_err(|_| invalid_share())?;
        let secret = diffie_hellman(self.secret.to_nonzero_scalar(), other.as_affine());
        Ok(SharedSecret::from(&secret.raw_secret_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}
