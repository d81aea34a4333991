//! Encryption with a data key, or with a seed that gives each value a key of its own.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};
use ring::rand::{SecureRandom, SystemRandom};

/// Random bytes in front of a value that its key is made of.
const INFO: usize = 32;
pub const SEED: usize = 32;
const TOO_SHORT: &str = "the stored data was shorter than the required size";

/// Key or seed, as the service has opened it.
pub enum Source {
    Key(Box<LessSafeKey>),
    Seed(Box<Prk>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Source {
    /// `kind` as in [`super::message::EncryptedObject`].
    pub fn new(kind: i32, plain: &[u8]) -> Result<Self, String> {
        match kind {
            0 => UnboundKey::new(&AES_256_GCM, plain)
                .map(|key| Self::Key(Box::new(LessSafeKey::new(key))))
                .map_err(|_| format!("a data key of {} bytes can't be used", plain.len())),
            1 if plain.len() >= SEED => Ok(Self::Seed(Box::new(Prk::new_less_safe(HKDF_SHA256, plain)))),
            1 => Err(format!(
                "invalid seed length {} used for key generation",
                plain.len()
            )),
            other => Err(format!("unknown type {other} of a data key's source")),
        }
    }

    /// A new seed and its bytes.
    pub fn fresh() -> Result<(Self, Vec<u8>), String> {
        let seed: [u8; SEED] = random()?;
        Ok((Self::new(1, &seed)?, seed.to_vec()))
    }

    /// Encrypts with a key that is used for this value only.
    pub fn seal(&self, etcd_key: &str, plain: &[u8]) -> Result<Vec<u8>, String> {
        let info: [u8; INFO] = random()?;
        let key = match self {
            Self::Seed(seed) => derive(seed, &info)?,
            Self::Key(_) => return Err("a plain data key is for reading only".to_owned()),
        };
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut out = Vec::with_capacity(INFO + NONCE_LEN + plain.len() + 16);
        out.extend_from_slice(&info);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let aad = Aad::from(etcd_key.as_bytes());
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut out[start..])
            .map_err(|_| "encryption failed".to_owned())?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    pub fn open(&self, etcd_key: &str, sealed: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::Key(key) => open(key, etcd_key, sealed),
            Self::Seed(seed) => {
                let (info, sealed) = sealed.split_first_chunk::<INFO>().ok_or(TOO_SHORT)?;
                open(&derive(seed, info)?, etcd_key, sealed)
            }
        }
    }
}

fn derive(seed: &Prk, info: &[u8]) -> Result<LessSafeKey, String> {
    let mut key = [0; 32];
    let failed = |_| "a key can't be derived".to_owned();
    seed.expand(&[info], Length(key.len()))
        .and_then(|expanded| expanded.fill(&mut key))
        .map_err(failed)?;
    UnboundKey::new(&AES_256_GCM, &key)
        .map(LessSafeKey::new)
        .map_err(failed)
}

fn open(key: &LessSafeKey, etcd_key: &str, sealed: &[u8]) -> Result<Vec<u8>, String> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(TOO_SHORT)?;
    let mut buffer = sealed.to_vec();
    let aad = Aad::from(etcd_key.as_bytes());
    let length = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut buffer)
        .map_err(|_| "message authentication failed".to_owned())?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "no randomness from the system".to_owned())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_open_under_their_own_key_and_seed_only() {
        let (source, seed) = Source::fresh().unwrap();
        let sealed = source.seal("/registry/secrets/a/b", b"text").unwrap();
        let again = Source::new(1, &seed).unwrap();
        assert_eq!(again.open("/registry/secrets/a/b", &sealed).unwrap(), b"text");
        assert!(again.open("/registry/secrets/a/c", &sealed).is_err());
        assert!(
            Source::fresh()
                .unwrap()
                .0
                .open("/registry/secrets/a/b", &sealed)
                .is_err()
        );
        assert!(again.open("/registry/secrets/a/b", &sealed[..20]).is_err());
        assert_ne!(
            source.seal("k", b"text").unwrap(),
            source.seal("k", b"text").unwrap()
        );
        assert!(Source::new(1, b"short").is_err() && Source::new(7, &seed).is_err());
    }
}
