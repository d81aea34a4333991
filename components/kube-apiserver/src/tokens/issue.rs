//! The issuer: signs tokens and publishes what verifies them.

use super::claims::Claims;
use super::external::{self, External};
use super::jwt::{self, TokenError};
use super::keys::{KeyError, SigningKey, VerifyingKey};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::OnceLock;

/// Issuer of a legacy secret-based token.
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// Longest lifetime of a token that outlives what was asked for, seconds; upstream's.
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// No token could be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    External(#[from] external::Failure),
}

/// The command line allows longer tokens than the signer does.
#[derive(Debug, thiserror::Error)]
#[error(
    "the signer allows tokens of {longest} s at most, --service-account-max-token-expiration is {wanted} s"
)]
pub struct TooLong {
    longest: i64,
    wanted: i64,
}

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
    /// Longest lifetime that is granted, as the command line says; seconds, 0 is unlimited.
    pub max_expiration: i64,
    /// Signs instead of `signing`, and has the keys.
    pub external: OnceLock<External>,
    /// Tokens that a kubelet requests live for a year for clients that don't reload them.
    pub extend_expiration: bool,
}

impl TokenIssuer {
    /// Leaves signing and keys to a service, which has been started.
    pub fn sign_elsewhere(&self, external: External) -> Result<(), TooLong> {
        let (longest, wanted) = (external.longest(), self.max_expiration);
        if wanted > longest {
            return Err(TooLong { longest, wanted });
        }
        // Said once, at the start.
        let _ = self.external.set(external);
        Ok(())
    }

    pub async fn sign(&self, claims: &Claims) -> Result<String, SignError> {
        if let Some(external) = self.external.get() {
            return Ok(external.sign(claims).await?);
        }
        Ok(jwt::sign(self.signing.as_ref().ok_or(KeyError::Empty)?, claims)?)
    }

    /// Reads the claims of a token that was signed here.
    pub async fn verify<T: DeserializeOwned>(&self, token: &str) -> Result<T, TokenError> {
        match self.external.get() {
            Some(external) => external.verify(token).await,
            None => jwt::verify(token, &self.keys),
        }
    }

    /// Longest lifetime that is granted; seconds, 0 is unlimited.
    pub fn longest(&self) -> i64 {
        match (self.max_expiration, self.external.get()) {
            (0, Some(external)) => external.longest(),
            (given, _) => given,
        }
    }

    /// Lifetime of tokens that outlive what was asked for, seconds.
    pub fn extended(&self) -> i64 {
        let external = self.external.get().map(External::longest);
        external.map_or(EXTENDED_SECONDS, |longest| longest.min(EXTENDED_SECONDS))
    }

    /// Calls something with the keys that others are told of.
    fn published<T>(&self, told: impl FnOnce(&[VerifyingKey]) -> T) -> T {
        match self.external.get() {
            Some(external) => told(&external.keys().published),
            None => told(&self.keys),
        }
    }

    /// The key set at /openid/v1/jwks.
    pub fn jwks(&self) -> Value {
        let all = |keys: &[VerifyingKey]| keys.iter().filter_map(VerifyingKey::to_jwk).collect::<Vec<_>>();
        json!({ "keys": self.published(all) })
    }

    /// The document at /.well-known/openid-configuration, if the issuer is a URL that can have one.
    pub fn discovery(&self, advertised: &str) -> Option<Value> {
        let issuer = self
            .issuers
            .first()
            .filter(|issuer| issuer.starts_with("https://"))?;
        let names = |keys: &[VerifyingKey]| keys.iter().map(|key| key.algorithm.name()).collect();
        let mut algorithms: Vec<&str> = self.published(names);
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
