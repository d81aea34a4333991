//! Distributed claims (OpenID Connect Core 1.0, section 5.6.2): groups that a token doesn't carry, but says where they
//! are told. What is told there is a token in its turn.

use super::keys::KeySet;
use super::{Verifier, fetch::Fetcher};
use crate::tokens::jwt;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Issuers of such tokens whose keys are kept; there are a few at most.
const MOST_ISSUERS: usize = 16;

/// Where a claim is told.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Source {
    endpoint: String,
    access_token: String,
}

/// Looks one claim up.
pub struct Distributed {
    claim: String,
    fetcher: Arc<Fetcher>,
    /// By the issuer's URL.
    issuers: Mutex<BTreeMap<String, Arc<KeySet>>>,
}

impl Distributed {
    /// `own` are the keys of the issuer whose tokens refer to others'.
    pub fn new(claim: &str, fetcher: Arc<Fetcher>, issuer: &str, own: Arc<KeySet>) -> Self {
        Self {
            claim: claim.to_owned(),
            fetcher,
            issuers: Mutex::new(BTreeMap::from([(issuer.to_owned(), own)])),
        }
    }

    /// Adds the claim to those of a verified token, if they only say where it is told.
    pub async fn expand(&self, claims: &mut Value, verifier: &Verifier) -> Result<(), String> {
        let Some(source) = source(claims, &self.claim)? else {
            return Ok(());
        };
        let told = self.resolve(&source, verifier).await?;
        claims[&self.claim] = told;
        Ok(())
    }

    async fn resolve(&self, source: &Source, verifier: &Verifier) -> Result<Value, String> {
        let (claim, endpoint) = (&self.claim, &source.endpoint);
        let token = Some(source.access_token.as_str()).filter(|token| !token.is_empty());
        let answer = self.fetcher.get_with(endpoint, token).await;
        let (body, _) = answer.map_err(|why| format!("while getting distributed claim {claim:?}: {why}"))?;
        let text = String::from_utf8_lossy(&body);
        let peek: Value = jwt::unverified(&text).map_err(|why| {
            format!("getting untrusted issuer from endpoint {endpoint} failed for claim {claim:?}: {why}")
        })?;
        let issuer = peek["iss"].as_str().unwrap_or_default();
        let unusable = |why: String| format!("verifying untrusted issuer {issuer} failed: {why}");
        let set = self.keys_of(issuer).map_err(unusable)?;
        let keys = set.current().await.map_err(unusable)?;
        let mut told = verifier
            .verified(&text, &set, keys)
            .await
            .map_err(|why| format!("verify distributed claim token: {why}"))?;
        match told.get_mut(claim) {
            Some(value) => Ok(value.take()),
            None => Err(format!(
                "jwt returned by distributed claim endpoint {endpoint:?} did not contain claim: {claim}"
            )),
        }
    }

    fn keys_of(&self, issuer: &str) -> Result<Arc<KeySet>, String> {
        let mut issuers = self.issuers.lock();
        if let Some(known) = issuers.get(issuer) {
            return Ok(Arc::clone(known));
        }
        // Who says what groups somebody is in is not believed over a connection that anybody can change.
        if !issuer.starts_with("https://") {
            return Err("URL scheme must be https".to_owned());
        }
        if issuers.len() >= MOST_ISSUERS {
            return Err("there are too many issuers of distributed claims".to_owned());
        }
        let keys = Arc::new(KeySet::new(issuer, "", Arc::clone(&self.fetcher)));
        issuers.insert(issuer.to_owned(), Arc::clone(&keys));
        Ok(keys)
    }
}

/// Where a claim is told that the token doesn't have; the errors are upstream's.
fn source(claims: &Value, claim: &str) -> Result<Option<Source>, String> {
    let Some(names) = claims.get("_claim_names").filter(|_| claims.get(claim).is_none()) else {
        return Ok(None);
    };
    let names: BTreeMap<String, String> = BTreeMap::deserialize(names)
        .map_err(|why| format!("oidc: error parsing distributed claim names: {why}"))?;
    let Some(sources) = claims.get("_claim_sources") else {
        return Err("oidc: no claim sources".to_owned());
    };
    let mut sources: BTreeMap<String, Source> = BTreeMap::deserialize(sources)
        .map_err(|why| format!("oidc: could not parse claim sources: {why}"))?;
    let Some(name) = names.get(claim) else {
        return Ok(None);
    };
    match sources.remove(name) {
        None => Err(format!(
            "id token _claim_names contained a source {name} missing in _claims_sources"
        )),
        // An aggregated claim, which is not looked at.
        Some(source) if source.endpoint.is_empty() => Ok(None),
        Some(source) => Ok(Some(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn where_claims_are_told() {
        let names = json!({"groups": "s"});
        for (claims, expected) in [
            (json!({"sub": "a"}), Ok(None)),
            (json!({"groups": ["a"], "_claim_names": names}), Ok(None)),
            (json!({"_claim_names": names}), Err("oidc: no claim sources")),
            (
                json!({"_claim_names": []}),
                Err("oidc: error parsing distributed claim names"),
            ),
            (
                json!({"_claim_names": names, "_claim_sources": 1}),
                Err("oidc: could not parse claim sources"),
            ),
            (
                json!({"_claim_names": {"roles": "s"}, "_claim_sources": {}}),
                Ok(None),
            ),
            (
                json!({"_claim_names": names, "_claim_sources": {}}),
                Err("contained a source s missing in _claims_sources"),
            ),
            (
                json!({"_claim_names": names, "_claim_sources": {"s": {"JWT": "x"}}}),
                Ok(None),
            ),
            (
                json!({"_claim_names": names, "_claim_sources": {"s": {"endpoint": "https://e", "access_token": "t"}}}),
                Ok(Some("https://e t")),
            ),
        ] {
            let found = source(&claims, "groups");
            let found = found
                .map(|source| source.map(|source| format!("{} {}", source.endpoint, source.access_token)));
            match expected {
                Ok(source) => assert_eq!(found, Ok(source.map(str::to_owned)), "{claims}"),
                Err(part) => assert!(
                    found.as_ref().is_err_and(|why| why.contains(part)),
                    "{claims}: {found:?}"
                ),
            }
        }
    }
}
