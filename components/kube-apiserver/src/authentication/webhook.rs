//! Tokens that a webhook knows: `--authentication-token-webhook-config-file`.

use super::flights::Flights;
use super::notes::Notes;
use super::token_cache::{self, TokenCache};
use super::{Authenticated, Rejected};
use crate::identity::User;
use crate::nulls;
use crate::webhook::{Asked, Endpoint, PAUSE};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A webhook that reviews tokens.
pub struct WebhookTokens {
    endpoint: Endpoint,
    /// `v1` or `v1beta1`.
    version: String,
    /// The API server's own audiences.
    audiences: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Review {
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: UserInfo,
    audiences: Vec<String>,
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserInfo {
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// What a webhook said, for as long as that is good, and what it is being asked.
pub struct KnownTokens {
    webhook: WebhookTokens,
    cache: TokenCache,
    flights: Flights<Result<Option<Authenticated>, String>>,
}

impl KnownTokens {
    pub fn new(webhook: WebhookTokens, good_for: Duration) -> Arc<Self> {
        Arc::new(Self {
            webhook,
            cache: TokenCache::of_unknown_tokens_too(good_for),
            flights: Flights::default(),
        })
    }

    /// As [`WebhookTokens::authenticate`], which is used once for all who come with a token at the same time.
    pub async fn authenticate(
        self: &Arc<Self>,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<Authenticated>, Rejected> {
        if let Some((known, _)) = self.cache.get(token, audiences) {
            return known.map_err(Rejected);
        }
        let ask = || {
            let (known, token, audiences) = (Arc::clone(self), token.to_owned(), audiences.to_vec());
            async move { known.ask(&token, &audiences).await }
        };
        let key = token_cache::key(token, audiences);
        match self.flights.join(key, ask).await {
            Ok(answer) => answer.map_err(Rejected),
            Err(panicked) => Err(Rejected(panicked.to_string())),
        }
    }

    async fn ask(&self, token: &str, audiences: &[String]) -> Result<Option<Authenticated>, String> {
        // Somebody may have been told since this was looked at.
        if let Some((known, _)) = self.cache.get(token, audiences) {
            return known;
        }
        let outcome = self.webhook.authenticate(token, audiences).await;
        let outcome = outcome.map_err(|refusal| refusal.0);
        self.cache
            .put(token, audiences, outcome.clone(), &Notes::default());
        outcome
    }
}

impl WebhookTokens {
    pub fn new(endpoint: Endpoint, version: &str, audiences: Vec<String>) -> Self {
        Self {
            endpoint,
            version: version.to_owned(),
            audiences,
        }
    }

    /// Asks; `None` if the webhook doesn't know the token.
    pub async fn authenticate(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<Authenticated>, Rejected> {
        let wanted = if audiences.is_empty() {
            &self.audiences
        } else {
            audiences
        };
        let question = json!({
            "kind": "TokenReview",
            "apiVersion": format!("authentication.k8s.io/{}", self.version),
            "metadata": {},
            "spec": { "token": token, "audiences": wanted },
            "status": { "user": {} },
        });
        let question = question.to_string().into();
        let body = self.endpoint.post_patiently(question, TIMEOUT, PAUSE).await;
        let body = body.map_err(|error| Rejected(format!("webhook: {error}")))?;
        let status = read(&body, &self.version).map_err(|error| Rejected(format!("webhook: {error}")))?;
        decide(status, &self.audiences, wanted)
    }
}

fn read(body: &[u8], version: &str) -> Result<Status, String> {
    let answer: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let asked = Asked {
        group: "authentication.k8s.io",
        version,
        kind: "TokenReview",
    };
    if !asked.is_answered_by(&answer)? {
        return Ok(Status::default());
    }
    let review: Review = nulls::from_json(answer).map_err(|error| error.to_string())?;
    Ok(review.status)
}

/// `own` are the API server's audiences, `wanted` those that the token is to be good for.
fn decide(status: Status, own: &[String], wanted: &[String]) -> Result<Option<Authenticated>, Rejected> {
    if !status.authenticated {
        return match status.error.is_empty() {
            true => Ok(None),
            false => Err(Rejected(status.error)),
        };
    }
    // A webhook that knows nothing of audiences speaks for the API server's own.
    let found = match status.audiences.as_slice() {
        [] => own,
        named => named,
    };
    let good_for: Vec<String> = wanted
        .iter()
        .filter(|audience| found.contains(audience))
        .cloned()
        .collect();
    if good_for.is_empty() && !wanted.is_empty() {
        return Ok(None);
    }
    let UserInfo {
        username,
        uid,
        groups,
        extra,
    } = status.user;
    let user = User {
        name: username,
        uid,
        groups,
        extra,
    };
    Ok(Some(Authenticated {
        user: Arc::new(user.authenticated()),
        audiences: good_for,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let status = |authenticated: bool, audiences: &[&str], error: &str| Status {
            authenticated,
            audiences: audiences.iter().map(|text| (*text).to_owned()).collect(),
            error: error.into(),
            user: UserInfo::default(),
        };
        let texts =
            |audiences: &[&str]| -> Vec<String> { audiences.iter().map(|text| (*text).to_owned()).collect() };
        for (own, wanted, named, expected) in [
            (&["a"][..], &["a"][..], &["a", "b"][..], Some(&["a"][..])),
            (&["a"], &["a"], &["b"], None),
            (&["a"], &["a"], &[], Some(&["a"])),
            (&["a"], &["z", "a"], &[], Some(&["a"])),
            (&["a"], &["z"], &[], None),
            (&["a"], &["z"], &["z"], Some(&["z"])),
            (&[], &[], &[], Some(&[])),
        ] {
            let found = decide(status(true, named, ""), &texts(own), &texts(wanted)).unwrap();
            let found = found.map(|found| found.audiences);
            assert_eq!(found, expected.map(texts), "{own:?} {wanted:?} {named:?}");
        }
        assert_eq!(decide(status(false, &[], ""), &[], &[]).unwrap(), None);
        assert!(decide(status(false, &[], "expired"), &[], &[]).is_err());
    }

    #[test]
    fn nulls_stand_for_nothing() {
        for (answer, expected) in [
            (
                json!({"authenticated": true, "audiences": null, "error": null,
                    "user": {"username": "joe", "uid": null, "groups": null, "extra": null}}),
                Some("joe"),
            ),
            (
                json!({"authenticated": true, "user": {"username": "joe", "groups": ["g", null], "extra": {"a": null}}}),
                Some("joe"),
            ),
            (json!({"authenticated": true, "user": null}), Some("")),
            (json!({"authenticated": null}), None),
            (json!(null), None),
        ] {
            let answer = json!({ "status": answer }).to_string();
            let found = decide(read(answer.as_bytes(), "v1").unwrap(), &[], &[]).unwrap();
            assert_eq!(
                found.as_ref().map(|found| found.user.name.as_str()),
                expected,
                "{answer}"
            );
        }
    }

    #[test]
    fn what_the_other_version_would_say_is_not_heard() {
        for (version, good) in [("v1", true), ("v1beta1", false)] {
            let answer = json!({
                "apiVersion": format!("authentication.k8s.io/{version}"), "kind": "TokenReview",
                "status": {"authenticated": true, "user": {"username": "joe"}},
            });
            let status = read(answer.to_string().as_bytes(), "v1").unwrap();
            assert_eq!(status.authenticated, good, "{version}");
        }
    }
}
