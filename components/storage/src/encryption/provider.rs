//! The ciphers, in the form upstream stores: `k8s:enc:CIPHER:v1:KEYNAME:` and the cipher's own bytes.

use super::failure::Failure;
use super::kms::Kms;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit, block_padding::Pkcs7};
use aes::{Aes128, Aes192, Aes256};
use crypto_secretbox::aead::Aead;
use crypto_secretbox::{KeyInit, XSalsa20Poly1305};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    AesGcm,
    AesCbc,
    Secretbox,
}

impl Cipher {
    fn prefix(self) -> &'static str {
        match self {
            Cipher::AesGcm => "k8s:enc:aesgcm:v1:",
            Cipher::AesCbc => "k8s:enc:aescbc:v1:",
            Cipher::Secretbox => "k8s:enc:secretbox:v1:",
        }
    }
}

pub(super) enum Provider {
    Identity,
    /// Keys in order: the first encrypts.
    Cipher(Cipher, Vec<NamedKey>),
    Kms(Kms),
}

pub(super) struct NamedKey {
    /// With the cipher's prefix and the colon.
    prefix: String,
    key: Key,
}

enum Key {
    AesGcm(Box<LessSafeKey>),
    AesCbc(CbcKey),
    Secretbox(Box<XSalsa20Poly1305>),
}

enum CbcKey {
    Aes128([u8; 16]),
    Aes192([u8; 24]),
    Aes256([u8; 32]),
}

const CBC_BLOCK: usize = 16;
const SECRETBOX_NONCE: usize = 24;
const TOO_SHORT: &str = "the stored data was shorter than the required size";

impl NamedKey {
    pub(super) fn new(cipher: Cipher, name: &str, secret: &[u8]) -> Result<Self, String> {
        let key = match (cipher, secret.len()) {
            (Cipher::AesGcm, 16) => gcm(UnboundKey::new(&AES_128_GCM, secret))?,
            (Cipher::AesGcm, 32) => gcm(UnboundKey::new(&AES_256_GCM, secret))?,
            (Cipher::AesGcm, 24) => {
                return Err("192-bit keys are not supported for aesgcm; use 16 or 32 bytes".to_owned());
            }
            (Cipher::AesCbc, _) => match (secret.try_into(), secret.try_into(), secret.try_into()) {
                (Ok(key), _, _) => Key::AesCbc(CbcKey::Aes128(key)),
                (_, Ok(key), _) => Key::AesCbc(CbcKey::Aes192(key)),
                (_, _, Ok(key)) => Key::AesCbc(CbcKey::Aes256(key)),
                _ => return Err(wrong_length(secret.len(), "[16 24 32]")),
            },
            (Cipher::Secretbox, 32) => match XSalsa20Poly1305::new_from_slice(secret) {
                Ok(key) => Key::Secretbox(Box::new(key)),
                Err(_) => return Err(wrong_length(secret.len(), "[32]")),
            },
            (Cipher::AesGcm, length) => return Err(wrong_length(length, "[16 32]")),
            (Cipher::Secretbox, length) => return Err(wrong_length(length, "[32]")),
        };
        Ok(NamedKey {
            prefix: format!("{}{name}:", cipher.prefix()),
            key,
        })
    }
}

fn gcm(key: Result<UnboundKey, ring::error::Unspecified>) -> Result<Key, String> {
    match key {
        Ok(key) => Ok(Key::AesGcm(Box::new(LessSafeKey::new(key)))),
        Err(_) => Err("the key was refused".to_owned()),
    }
}

fn wrong_length(got: usize, expected: &str) -> String {
    format!("secret is not of the expected length, got {got}, expected one of {expected}")
}

impl Provider {
    /// None when the value isn't of this provider; else the plain text and whether its key is not the first.
    pub(super) fn decrypt(&self, etcd_key: &str, stored: &[u8]) -> Option<Result<(Vec<u8>, bool), Failure>> {
        let (cipher, keys) = match self {
            Provider::Identity => return None,
            Provider::Kms(service) => return service.decrypt(etcd_key, stored),
            Provider::Cipher(cipher, keys) => (cipher, keys),
        };
        if !stored.starts_with(cipher.prefix().as_bytes()) {
            return None;
        }
        let mut failure: Option<Failure> = None;
        for (position, key) in keys.iter().enumerate() {
            let Some(sealed) = stored.strip_prefix(key.prefix.as_bytes()) else {
                continue;
            };
            match key.key.open(etcd_key, sealed) {
                Ok(plain) => return Some(Ok((plain, position != 0))),
                Err(message) => {
                    failure = Some(format!("{}: {message}", key.prefix.trim_end_matches(':')).into());
                }
            }
        }
        Some(Err(failure.unwrap_or_else(|| {
            format!("no {} key of this name is configured", cipher.prefix()).into()
        })))
    }

    pub(super) fn encrypt(&self, etcd_key: &str, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        let keys = match self {
            Provider::Identity => return Ok(plain.to_vec()),
            Provider::Kms(service) => return service.encrypt(etcd_key, plain),
            Provider::Cipher(_, keys) => keys,
        };
        let key = keys.first().ok_or("no key is configured")?;
        let mut out = Vec::with_capacity(key.prefix.len() + plain.len() + 64);
        out.extend_from_slice(key.prefix.as_bytes());
        key.key.seal(etcd_key, plain, &mut out)?;
        Ok(out)
    }
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "no randomness from the system".to_owned())?;
    Ok(bytes)
}

impl Key {
    fn seal(&self, etcd_key: &str, plain: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Key::AesGcm(key) => {
                let nonce: [u8; NONCE_LEN] = random()?;
                out.extend_from_slice(&nonce);
                let start = out.len();
                out.extend_from_slice(plain);
                let aad = Aad::from(etcd_key.as_bytes());
                let tag = key
                    .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut out[start..])
                    .map_err(|_| "encryption failed".to_owned())?;
                out.extend_from_slice(tag.as_ref());
            }
            Key::AesCbc(key) => {
                let iv: [u8; CBC_BLOCK] = random()?;
                out.extend_from_slice(&iv);
                out.extend_from_slice(&key.encrypt(&iv, plain));
            }
            Key::Secretbox(key) => {
                let nonce: [u8; SECRETBOX_NONCE] = random()?;
                out.extend_from_slice(&nonce);
                out.extend_from_slice(
                    &key.encrypt(&nonce.into(), plain)
                        .map_err(|_| "encryption failed".to_owned())?,
                );
            }
        }
        Ok(())
    }

    fn open(&self, etcd_key: &str, sealed: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Key::AesGcm(key) => {
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
            Key::AesCbc(key) => {
                let (iv, sealed) = sealed.split_first_chunk::<CBC_BLOCK>().ok_or(TOO_SHORT)?;
                if sealed.is_empty() || sealed.len() % CBC_BLOCK != 0 {
                    return Err("the stored data is not a multiple of the block size".to_owned());
                }
                key.decrypt(iv, sealed)
                    .ok_or_else(|| "invalid padding on input".to_owned())
            }
            Key::Secretbox(key) => {
                let (nonce, sealed) = sealed.split_first_chunk::<SECRETBOX_NONCE>().ok_or(TOO_SHORT)?;
                key.decrypt(&(*nonce).into(), sealed)
                    .map_err(|_| "message authentication failed".to_owned())
            }
        }
    }
}

impl CbcKey {
    fn encrypt(&self, iv: &[u8; CBC_BLOCK], plain: &[u8]) -> Vec<u8> {
        let iv = iv.into();
        match self {
            CbcKey::Aes128(key) => {
                cbc::Encryptor::<Aes128>::new(key.into(), iv).encrypt_padded_vec_mut::<Pkcs7>(plain)
            }
            CbcKey::Aes192(key) => {
                cbc::Encryptor::<Aes192>::new(key.into(), iv).encrypt_padded_vec_mut::<Pkcs7>(plain)
            }
            CbcKey::Aes256(key) => {
                cbc::Encryptor::<Aes256>::new(key.into(), iv).encrypt_padded_vec_mut::<Pkcs7>(plain)
            }
        }
    }

    fn decrypt(&self, iv: &[u8; CBC_BLOCK], sealed: &[u8]) -> Option<Vec<u8>> {
        let iv = iv.into();
        match self {
            CbcKey::Aes128(key) => {
                cbc::Decryptor::<Aes128>::new(key.into(), iv).decrypt_padded_vec_mut::<Pkcs7>(sealed)
            }
            CbcKey::Aes192(key) => {
                cbc::Decryptor::<Aes192>::new(key.into(), iv).decrypt_padded_vec_mut::<Pkcs7>(sealed)
            }
            CbcKey::Aes256(key) => {
                cbc::Decryptor::<Aes256>::new(key.into(), iv).decrypt_padded_vec_mut::<Pkcs7>(sealed)
            }
        }
        .ok()
    }
}
