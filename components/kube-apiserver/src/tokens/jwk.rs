//! JSON web keys of other issuers.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pki::tokens::verify_es512;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// A set of keys, as issuers publish it.
#[derive(Debug, Default, Deserialize)]
pub struct JwkSet {
    #[serde(default)]
    keys: Vec<Jwk>,
}

#[derive(Debug, Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: String,
    #[serde(default, rename = "use")]
    usage: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

/// A public key that can verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub id: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
}

/// Algorithms that tokens may be signed with; `none` and shared secrets are not among them.
pub const ALGORITHMS: [&str; 9] = [
    "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512",
];

impl JwkSet {
    /// The keys that can be used; others are left out, for issuers publish what they like.
    pub fn public_keys(self) -> Vec<PublicKey> {
        self.keys.into_iter().filter_map(Jwk::public_key).collect()
    }
}

impl Jwk {
    fn public_key(self) -> Option<PublicKey> {
        if !matches!(self.usage.as_str(), "" | "sig") {
            return None;
        }
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        let point = |length: usize| {
            let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
            (x.len() == length && y.len() == length).then(|| [&[4][..], &x, &y].concat())
        };
        let stripped = |text: &str| {
            let raw = bytes(text)?;
            let zeros = raw.iter().take_while(|byte| **byte == 0).count();
            Some(raw[zeros..].to_vec()).filter(|raw| !raw.is_empty())
        };
        let kind = match (self.kty.as_str(), self.crv.as_str()) {
            ("RSA", _) => Kind::Rsa {
                modulus: stripped(&self.n)?,
                exponent: stripped(&self.e)?,
            },
            ("EC", "P-256") => Kind::P256(point(32)?),
            ("EC", "P-384") => Kind::P384(point(48)?),
            ("EC", "P-521") => Kind::P521(point(66)?),
            _ => return None,
        };
        Some(PublicKey { id: self.kid, kind })
    }
}

impl PublicKey {
    /// Whether the key made the signature, with the algorithm that the token names.
    pub fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let with = |how: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(how, key)
                .verify(message, signature)
                .is_ok()
        };
        match &self.kind {
            Kind::P256(point) if algorithm == "ES256" => with(&signature::ECDSA_P256_SHA256_FIXED, point),
            Kind::P384(point) if algorithm == "ES384" => with(&signature::ECDSA_P384_SHA384_FIXED, point),
            Kind::P521(point) if algorithm == "ES512" => verify_es512(point, message, signature),
            Kind::Rsa { modulus, exponent } => {
                let parameters = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                }
                .verify(parameters, message, signature)
                .is_ok()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::jwt;
    use super::super::keys::SigningKey;
    use super::*;
    use p256::elliptic_curve::rand_core::OsRng;
    use p256::pkcs8::{EncodePrivateKey, LineEnding};
    use serde_json::{Value, json};

    fn key() -> SigningKey {
        let secret = p256::SecretKey::random(&mut OsRng);
        SigningKey::from_pem(secret.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap()
    }

    #[test]
    fn keys_of_a_set_verify_what_they_signed() {
        let (own, other) = (key(), key());
        let set = |keys: &[Value]| -> Vec<PublicKey> {
            let set: JwkSet = serde_json::from_value(json!({ "keys": keys })).unwrap();
            set.public_keys()
        };
        let jwk = own.public.to_jwk().unwrap();
        let token = jwt::sign(&own, &json!({"iss": "x"})).unwrap();
        assert!(jwt::verify_with::<Value>(&token, &set(&[jwk.clone()]), &["ES256".to_owned()]).is_ok());
        assert!(jwt::verify_with::<Value>(&token, &set(&[jwk.clone()]), &["RS256".to_owned()]).is_err());
        let strangers = set(&[other.public.to_jwk().unwrap()]);
        assert!(jwt::verify_with::<Value>(&token, &strangers, &["ES256".to_owned()]).is_err());
        for (field, value) in [("kty", "oct"), ("crv", "P-521"), ("x", "AA"), ("use", "enc")] {
            let mut odd = jwk.clone();
            odd[field] = json!(value);
            assert!(set(&[odd]).is_empty(), "{field} {value}");
        }
    }
}
