//! Private keys of TLS: those of rustls, and of P-521.

use crate::algorithms::provider;
use crate::certificate::Certificate;
use p521::SecretKey;
use p521::ecdsa::signature::RandomizedSigner as _;
use p521::ecdsa::{Signature, SigningKey as P521};
use p521::elliptic_curve::rand_core::OsRng;
use p521::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use rustls::client::ResolvesClientCert;
use rustls::crypto::{KeyProvider, ring as base};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys, SignatureAlgorithm, SignatureScheme};
use std::fmt;
use std::sync::Arc;

/// A certificate's chain with its key.
///
/// # Errors
///
/// The key can't be used, or is another's.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, Error> {
    let key = provider().key_provider.load_private_key(key)?;
    let leaf = chain.first().ok_or(Error::NoCertificatesPresented)?;
    let leaf = Certificate::read(leaf).map_err(crate::VerifyError::into_tls)?;
    let own = key.public_key();
    if own.is_some_and(|own| own.as_ref() != leaf.key) {
        return Err(InconsistentKeys::KeyMismatch.into());
    }
    Ok(CertifiedKey::new(chain, key))
}

/// What a TLS client shows of itself.
///
/// # Errors
///
/// The key can't be used, or is another's.
pub fn client_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<dyn ResolvesClientCert>, Error> {
    Ok(Arc::new(SingleCertAndKey::from(certified_key(chain, key)?)))
}

/// Reads private keys.
#[derive(Debug)]
pub(crate) struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        let p521 = match &key {
            PrivateKeyDer::Sec1(der) => SecretKey::from_sec1_der(der.secret_sec1_der()).ok(),
            PrivateKeyDer::Pkcs8(der) => SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok(),
            _ => None,
        };
        match p521 {
            Some(secret) => Ok(Arc::new(Key { secret })),
            None => base::default_provider().key_provider.load_private_key(key),
        }
    }
}

#[derive(Clone)]
struct Key {
    secret: SecretKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("P-521 key")
    }
}

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let known = offered.contains(&SignatureScheme::ECDSA_NISTP521_SHA512);
        known.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        let info = self.secret.public_key().to_public_key_der().ok()?;
        Some(info.into_vec().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::General("signing failed".to_owned());
        let key = P521::from_bytes(&self.secret.to_bytes()).map_err(failed)?;
        let signature: Signature = key.try_sign_with_rng(&mut OsRng, message).map_err(failed)?;
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}
