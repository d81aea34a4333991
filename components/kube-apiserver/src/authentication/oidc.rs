//! Tokens of other issuers: OpenID Connect and structured authentication configuration.

pub mod compile;
pub mod distributed;
pub mod evaluate;
pub mod expressions;
pub mod fetch;
pub mod keys;
pub mod metrics;

use super::Rejected;
use crate::identity::User;
use crate::tokens::jwt::{self, TokenError};
use arc_swap::ArcSwap;
use compile::Mapping;
use distributed::Distributed;
use keys::{KeySet, Keys};
use metrics::JwtMetrics;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

/// Tolerated difference between clocks for `nbf`, seconds.
const NOT_BEFORE_LEEWAY: i64 = 300;

/// One issuer, ready to check its tokens.
pub struct Issuer {
    pub url: String,
    pub verifier: Verifier,
    pub mapping: Mapping,
    pub keys: Arc<KeySet>,
    /// Looks up groups that tokens don't carry.
    pub distributed: Option<Distributed>,
}

/// What tokens have to be, whoever signed them.
pub struct Verifier {
    /// A token is for one of these.
    pub audiences: Vec<String>,
    /// Signature algorithms that are taken.
    pub algorithms: Vec<String>,
}

/// The issuers in use; they change when the configuration file does.
#[derive(Default)]
pub struct Issuers {
    current: ArcSwap<Vec<Issuer>>,
    pub metrics: JwtMetrics,
}

impl Issuers {
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self {
            current: ArcSwap::from_pointee(issuers),
            metrics: JwtMetrics::default(),
        }
    }

    pub fn replace(&self, issuers: Vec<Issuer>) {
        self.current.store(Arc::new(issuers));
    }

    pub fn is_empty(&self) -> bool {
        self.current.load().is_empty()
    }

    /// The user of a token; `None` if it is of none of the issuers.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Arc<User>>, Rejected> {
        let issuers = self.current.load_full();
        if issuers.is_empty() {
            return Ok(None);
        }
        let Ok(peek) = jwt::unverified::<Value>(token) else {
            return Ok(None);
        };
        let Some(issuer) = issuers.iter().find(|issuer| peek["iss"] == issuer.url.as_str()) else {
            return Ok(None);
        };
        let began = Instant::now();
        let checked = issuer.check(token).await;
        self.metrics
            .checked(&issuer.url, checked.is_ok(), began.elapsed());
        Ok(Some(Arc::new(checked?.authenticated())))
    }
}

fn refused(why: impl std::fmt::Display) -> Rejected {
    Rejected(format!("oidc: {why}"))
}

impl Issuer {
    async fn check(&self, token: &str) -> Result<User, Rejected> {
        let keys = self.keys.current().await.map_err(refused)?;
        let verified = self.verifier.verified(token, &self.keys, keys).await;
        let mut claims = verified.map_err(|why| refused(format!("verify token: {why}")))?;
        if let Some(distributed) = &self.distributed {
            let expanded = distributed.expand(&mut claims, &self.verifier).await;
            expanded.map_err(|why| refused(format!("could not expand distributed claims: {why}")))?;
        }
        evaluate::user(&self.mapping, &claims).map_err(refused)
    }
}

impl Verifier {
    /// The claims of a token that is good now. `keys` are those of `set` as they are known.
    async fn verified(&self, token: &str, set: &KeySet, keys: Keys) -> Result<Value, String> {
        let claims = match jwt::verify_with(token, &keys, &self.algorithms) {
            Err(TokenError::Signature) => {
                // The issuer may have new keys.
                let failed = || "failed to verify signature: failed to verify id token signature".to_owned();
                let keys = set.newer_than(&keys).await?.ok_or_else(failed)?;
                match jwt::verify_with(token, &keys, &self.algorithms) {
                    Err(TokenError::Signature) => return Err(failed()),
                    decided => decided.map_err(|error| error.to_string())?,
                }
            }
            decided => decided.map_err(|error| error.to_string())?,
        };
        let now = jiff::Timestamp::now().as_second();
        check_claims(&claims, &self.audiences, now)?;
        Ok(claims)
    }
}

/// Audience and time.
fn check_claims(claims: &Value, audiences: &[String], now: i64) -> Result<(), String> {
    let carried: Vec<&str> = match &claims["aud"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audiences
        .iter()
        .any(|audience| carried.contains(&audience.as_str()))
    {
        return Err(format!("expected audience in {audiences:?} got {carried:?}"));
    }
    let seconds = |claim: &str| {
        claims[claim]
            .as_i64()
            .or_else(|| claims[claim].as_f64().map(|at| at as i64))
    };
    match seconds("exp") {
        None => return Err("the token has no expiry".to_owned()),
        Some(expiry) if expiry <= now => {
            return Err("token is expired".to_owned());
        }
        Some(_) => {}
    }
    match seconds("nbf") {
        Some(begin) if begin > now + NOT_BEFORE_LEEWAY => {
            Err("current time is before the nbf (not before) time".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn audience_and_time() {
        let audiences = ["a".to_owned(), "b".to_owned()];
        for (claims, expected) in [
            (json!({"aud": "a", "exp": 200}), true),
            (json!({"aud": ["x", "b"], "exp": 200}), true),
            (json!({"aud": ["x"], "exp": 200}), false),
            (json!({"exp": 200}), false),
            (json!({"aud": "a", "exp": 100}), false),
            (json!({"aud": "a"}), false),
            (json!({"aud": "a", "exp": 200, "nbf": 390}), true),
            (json!({"aud": "a", "exp": 2000, "nbf": 500}), false),
        ] {
            assert_eq!(
                check_claims(&claims, &audiences, 100).is_ok(),
                expected,
                "{claims}"
            );
        }
    }
}
