//! Tokens that a webhook knows: `--authentication-token-webhook-config-file`.

use super::{Authenticated, Rejected};
use crate::identity::User;
use crate::webhook::{Endpoint, PAUSE};
use serde::Deserialize;
use serde_json::json;
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
            "metadata": { "creationTimestamp": null },
            "spec": { "token": token, "audiences": wanted },
            "status": { "user": {} },
        });
        let question = question.to_string().into();
        let body = self.endpoint.post_patiently(question, TIMEOUT, PAUSE).await;
        let body = body.map_err(|error| Rejected(format!("webhook: {error}")))?;
        let review: Review =
            serde_json::from_slice(&body).map_err(|error| Rejected(format!("webhook: {error}")))?;
        decide(review.status, wanted, !audiences.is_empty())
    }
}

fn decide(status: Status, wanted: &[String], asked: bool) -> Result<Option<Authenticated>, Rejected> {
    if !status.authenticated {
        return match status.error.is_empty() {
            true => Ok(None),
            false => Err(Rejected(status.error)),
        };
    }
    // A webhook that knows nothing of audiences speaks for the API server's own only.
    let good_for: Vec<String> = if status.audiences.is_empty() && !asked {
        wanted.to_vec()
    } else {
        wanted
            .iter()
            .filter(|audience| status.audiences.contains(audience))
            .cloned()
            .collect()
    };
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
        let wanted = ["a".to_owned()];
        let good =
            |outcome: Result<Option<Authenticated>, Rejected>| outcome.unwrap().map(|found| found.audiences);
        assert_eq!(
            good(decide(status(true, &["a", "b"], ""), &wanted, true)),
            Some(vec!["a".to_owned()])
        );
        assert_eq!(good(decide(status(true, &["b"], ""), &wanted, true)), None);
        assert_eq!(good(decide(status(true, &[], ""), &wanted, true)), None);
        assert_eq!(
            good(decide(status(true, &[], ""), &wanted, false)),
            Some(vec!["a".to_owned()])
        );
        assert_eq!(good(decide(status(false, &[], ""), &wanted, false)), None);
        assert!(decide(status(false, &[], "expired"), &wanted, false).is_err());
    }
}
