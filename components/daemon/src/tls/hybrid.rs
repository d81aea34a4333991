//! X25519MLKEM768: keys that neither today's computers nor quantum computers take apart, since both of two exchanges would
//! have to be broken (draft-ietf-tls-ecdhe-mlkem).

use super::invalid_share;
use ml_kem::kem::{Decapsulate, Encapsulate, Kem};
use ml_kem::{Ciphertext, DecapsulationKey, EncapsulationKey, KeyExport, MlKem768};
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, ProtocolVersion};

/// Bytes of an encapsulation key, and of a ciphertext of ML-KEM-768 (FIPS 203, table 3).
const ENCAPSULATION_KEY: usize = 1184;
const CIPHERTEXT: usize = 1088;

/// The group for TLS 1.3; shares and secrets have ML-KEM's part first.
#[derive(Debug)]
pub struct X25519MlKem768;

impl SupportedKxGroup for X25519MlKem768 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = X25519.start()?;
        let (key, encapsulation) = MlKem768::generate_keypair();
        let share = [encapsulation.to_bytes().as_slice(), classical.pub_key()].concat();
        Ok(Box::new(Started {
            classical,
            key,
            share,
        }))
    }

    /// The server's side, which needs the client's share to make its own.
    fn start_and_complete(&self, share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (encapsulation, classical) = share.split_at_checked(ENCAPSULATION_KEY).ok_or(invalid_share())?;
        let encapsulation = encapsulation.try_into().map_err(|_| invalid_share())?;
        let key = EncapsulationKey::<MlKem768>::new(encapsulation).map_err(|_| invalid_share())?;
        let classical = X25519.start_and_complete(classical)?;
        let (ciphertext, secret) = key.encapsulate();
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [ciphertext.as_slice(), &classical.pub_key].concat(),
            secret: joined(secret.as_slice(), &classical.secret),
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

fn joined(post_quantum: &[u8], classical: &SharedSecret) -> SharedSecret {
    SharedSecret::from([post_quantum, classical.secret_bytes()].concat())
}

/// A client's exchange that waits for the server's share.
struct Started {
    classical: Box<dyn ActiveKeyExchange>,
    key: DecapsulationKey<MlKem768>,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, classical) = share.split_at_checked(CIPHERTEXT).ok_or(invalid_share())?;
        let ciphertext = Ciphertext::<MlKem768>::try_from(ciphertext).map_err(|_| invalid_share())?;
        let classical = self.classical.complete(classical)?;
        Ok(joined(self.key.decapsulate(&ciphertext).as_slice(), &classical))
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        self.classical.complete(share)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}
