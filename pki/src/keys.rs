use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::PkiError;

/// A PEM private key (PKCS #8). Not printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMaterial(String);

impl KeyMaterial {
    pub fn from_pem(pem: impl Into<String>) -> Self {
        Self(pem.into())
    }

    /// The PEM text; the caller decides who may read it.
    pub fn pem(&self) -> &str {
        &self.0
    }

    pub(crate) fn generate() -> Result<(Self, KeyPair), PkiError> {
        let pair =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::during("generate a key"))?;
        Ok((Self(pair.serialize_pem()), pair))
    }

    pub(crate) fn pair(&self) -> Result<KeyPair, PkiError> {
        KeyPair::from_pem(&self.0).map_err(PkiError::during("read a private key"))
    }
}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyMaterial(hidden)")
    }
}

/// The pair that signs service-account tokens and the one that verifies them.
#[derive(Clone, Debug)]
pub struct ServiceAccountKeys {
    pub private: KeyMaterial,
    /// PEM `PUBLIC KEY`.
    pub public: String,
}

impl ServiceAccountKeys {
    pub fn generate() -> Result<Self, PkiError> {
        let (private, pair) = KeyMaterial::generate()?;
        Ok(Self {
            private,
            public: pair.public_key_pem(),
        })
    }

    /// The pair that belongs to a private key already held.
    pub fn from_private(private: KeyMaterial) -> Result<Self, PkiError> {
        let public = private.pair()?.public_key_pem();
        Ok(Self { private, public })
    }
}
