//! The issuer: signs tokens and publishes what verifies them.

use super::claims::Claims;
use super::jwt;
use super::keys::{KeyError, SigningKey, VerifyingKey};
use serde_json::{Value, json};

/// Issuer of a legacy secret-based token.
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// Everything about service-account tokens that is set on the command line.
#[derive(Debug)]
pub struct TokenIssuer {
    /// The first one goes into new tokens; all are accepted.
    pub issuers: Vec<String>,
    /// Audiences of this API server.
    pub audiences: Vec<String>,
    pub signing: Option<SigningKey>,
    pub keys: Vec<VerifyingKey>,
    pub jwks_uri: Option<String>,
    /// Longest lifetime that is granted; seconds, 0 is unlimited.
    pub max_expiration: i64,
    /// Tokens that a kubelet requests live for a year for clients that don't reload them.
    pub extend_expiration: bool,
}

impl TokenIssuer {
    pub fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        jwt::sign(self.signing.as_ref().ok_or(KeyError::Empty)?, claims)
    }

    /// The key set at /openid/v1/jwks.
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.keys.iter().filter_map(VerifyingKey::to_jwk).collect::<Vec<_>>() })
    }

    /// The document at /.well-known/openid-configuration, if the issuer is a URL that can have one.
    pub fn discovery(&self, advertised: &str) -> Option<Value> {
        let issuer = self
            .issuers
            .first()
            .filter(|issuer| issuer.starts_with("https://"))?;
        let mut algorithms: Vec<&str> = self.keys.iter().map(|key| key.algorithm.name()).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let uri = self
            .jwks_uri
            .clone()
            .unwrap_or_else(|| format!("https://{advertised}/openid/v1/jwks"));
        Some(json!({
            "issuer": issuer,
            "jwks_uri": uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        }))
    }
}
