//! Compact JSON web tokens.

use super::jwk::PublicKey;
use super::keys::VerifyingKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use pki::tokens::sign;

/// Why a token is not one of ours. Never repeats the token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    #[error("malformed token")]
    Malformed,
    // The words of upstream's library, which clients see.
    #[error("go-jose/go-jose: error in cryptographic primitive")]
    Signature,
    #[error("invalid signature, no keys found")]
    NoKey,
    #[error("the token is signed with an algorithm that is not taken")]
    Algorithm,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

/// Reads the claims without looking at the signature, to find out whether a token is meant for us.
pub fn unverified<T: DeserializeOwned>(token: &str) -> Result<T, TokenError> {
    let (_, claims, _) = split(token)?;
    decode(claims)
}

/// The identifier of the key that a token is said to be signed with; empty if it names none.
pub fn key_id(token: &str) -> Result<String, TokenError> {
    let (header, _, _) = split(token)?;
    decode::<Header>(header).map(|header| header.kid)
}

/// Reads the claims of a token that one of `keys` signed.
pub fn verify<T: DeserializeOwned>(token: &str, keys: &[VerifyingKey]) -> Result<T, TokenError> {
    let (header, claims, signature) = split(token)?;
    let parsed: Header = decode(header)?;
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| TokenError::Malformed)?;
    let message = &token.as_bytes()[..header.len() + 1 + claims.len()];
    // A key that is named is tried alone; legacy tokens name none and are tried with every key.
    let named = |key: &&VerifyingKey| parsed.kid.is_empty() || key.id == parsed.kid;
    let mut candidates = keys.iter().filter(named).peekable();
    if candidates.peek().is_none() {
        return Err(TokenError::NoKey);
    }
    if candidates.any(|key| key.algorithm.name() == parsed.alg && key.verify(message, &signature)) {
        return decode(claims);
    }
    Err(TokenError::Signature)
}

/// Reads the claims of a token that one of another issuer's keys signed, with one of `algorithms`.
pub fn verify_with<T: DeserializeOwned>(
    token: &str,
    keys: &[PublicKey],
    algorithms: &[String],
) -> Result<T, TokenError> {
    let (header, claims, signature) = split(token)?;
    let parsed: Header = decode(header)?;
    if !algorithms.contains(&parsed.alg) {
        return Err(TokenError::Algorithm);
    }
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| TokenError::Malformed)?;
    let message = &token.as_bytes()[..header.len() + 1 + claims.len()];
    let fits = |key: &&PublicKey| parsed.kid.is_empty() || key.id == parsed.kid;
    let mut candidates = keys.iter().filter(fits);
    if candidates.any(|key| key.verify(&parsed.alg, message, &signature)) {
        return decode(claims);
    }
    Err(TokenError::Signature)
}

fn split(token: &str) -> Result<(&str, &str, &str), TokenError> {
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(claims), Some(signature), None) => Ok((header, claims, signature)),
        _ => Err(TokenError::Malformed),
    }
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::super::keys::{SigningKey, verifying_keys};
    use super::*;
    use p256::elliptic_curve::rand_core::OsRng;
    use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
    use proptest::prelude::*;

    fn fresh() -> (SigningKey, VerifyingKey) {
        let secret = p256::SecretKey::random(&mut OsRng);
        let private = secret.to_pkcs8_pem(LineEnding::LF).unwrap();
        let public = secret.public_key().to_public_key_pem(LineEnding::LF).unwrap();
        (
            SigningKey::from_pem(private.as_bytes()).unwrap(),
            verifying_keys(public.as_bytes()).unwrap().remove(0),
        )
    }

    #[test]
    fn a_token_verifies_with_its_key_only_and_not_when_changed() {
        let (key, public) = fresh();
        let (_, other) = fresh();
        assert_eq!(key.public, public);
        let token = sign(&key, &serde_json::json!({"sub": "x"})).unwrap();
        let claims: serde_json::Value = verify(&token, &[other.clone(), public.clone()]).unwrap();
        assert_eq!(claims["sub"], "x");
        assert_eq!(
            verify::<serde_json::Value>(&token, &[other]),
            Err(TokenError::NoKey)
        );
        let forged = token.replacen(&token[token.find('.').unwrap() + 1..][..4], "AAAA", 1);
        assert!(verify::<serde_json::Value>(&forged, &[public]).is_err());
    }

    #[test]
    fn unsigned_tokens_are_refused() {
        let (_, public) = fresh();
        let none = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
            URL_SAFE_NO_PAD.encode("{}")
        );
        assert_eq!(
            verify::<serde_json::Value>(&none, &[public]),
            Err(TokenError::Signature)
        );
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "\\PC*") {
            let (_, public) = fresh();
            let _ = verify::<serde_json::Value>(&text, &[public]);
        }
    }
}
