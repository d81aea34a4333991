//! An authorizer behind a webhook: SubjectAccessReviews out, decisions in, both kept for a while.

mod conditions;
mod metrics;

pub use conditions::MatchConditions;
pub use metrics::WebhookMetrics;

use super::attributes::Attributes;
use super::selection;
use super::{Decision, Verdict};
use crate::nulls;
use crate::webhook::{Asked, Endpoint, PAUSE};
use ahash::AHashMap;
use metrics::Ended;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// Decisions kept; bounds memory against callers that never repeat themselves.
const CAPACITY: usize = 8192;
/// Questions in which as many bytes are the client's choice are asked anew each time.
const LONGEST: usize = 10_000;

/// How one webhook is used.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: String,
    /// `v1` or `v1beta1`.
    pub version: String,
    /// How long an allowed answer is kept; zero is not at all.
    pub authorized: Duration,
    pub unauthorized: Duration,
    pub timeout: Duration,
    /// Without an answer nobody may, instead of leaving it to the next authorizer.
    pub deny_on_failure: bool,
}

/// One webhook of the chain.
pub struct WebhookAuthorizer {
    settings: Settings,
    endpoint: Endpoint,
    conditions: MatchConditions,
    known: Mutex<AHashMap<[u8; 32], (Instant, Status)>>,
}

impl WebhookAuthorizer {
    /// What its configuration calls it.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    pub fn new(settings: Settings, endpoint: Endpoint, conditions: MatchConditions) -> Self {
        Self {
            settings,
            endpoint,
            conditions,
            known: Mutex::default(),
        }
    }

    pub async fn authorize(&self, attributes: &Attributes<'_>, metrics: &WebhookMetrics) -> Verdict {
        let name = self.name();
        let spec = spec(attributes, "groups");
        if !self.conditions.is_empty() {
            let began = Instant::now();
            let held = self.conditions.hold(&spec);
            metrics.matched(name, held.as_ref().ok().copied(), began.elapsed());
            match held {
                Ok(true) => {}
                Ok(false) => return Decision::NoOpinion(String::new()).into(),
                Err(error) => return self.failed(error),
            }
        }
        let text = spec.to_string();
        let key: [u8; 32] = Sha256::digest(&text).into();
        if let Some(status) = self.kept(&key) {
            return self.verdict(status);
        }
        let began = Instant::now();
        let answer = self.ask(spec).await;
        let ended = match &answer {
            Ok(_) => Ended::Success,
            Err(failure) if failure.timed_out => Ended::Timeout,
            Err(_) => Ended::Error,
        };
        metrics.asked(name, ended, began.elapsed());
        let status = match answer {
            Ok(status) => status,
            Err(failure) => {
                if !self.settings.deny_on_failure {
                    metrics.failed_open(name, ended);
                }
                return self.failed(failure.error);
            }
        };
        if chosen_by_client(attributes) < LONGEST {
            self.keep(key, &status);
        }
        self.verdict(status)
    }

    fn verdict(&self, status: Status) -> Verdict {
        let verdict = status.verdict();
        if let Some(error) = &verdict.error {
            let name = &self.settings.name;
            tracing::error!(name, error, "an authorization webhook contradicted itself");
        }
        verdict
    }

    fn failed(&self, error: String) -> Verdict {
        tracing::error!(
            name = self.settings.name,
            error,
            "an authorization webhook gave no decision"
        );
        let decision = if self.settings.deny_on_failure {
            Decision::Deny(String::new())
        } else {
            Decision::NoOpinion(String::new())
        };
        Verdict {
            decision,
            error: Some(error),
        }
    }

    fn kept(&self, key: &[u8; 32]) -> Option<Status> {
        let known = self.known.lock();
        let (until, status) = known.get(key)?;
        (Instant::now() < *until).then(|| status.clone())
    }

    fn keep(&self, key: [u8; 32], status: &Status) {
        let time = if status.allowed {
            self.settings.authorized
        } else {
            self.settings.unauthorized
        };
        if time.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut known = self.known.lock();
        if known.len() >= CAPACITY {
            known.retain(|_, (until, _)| *until > now);
            if known.len() >= CAPACITY {
                known.clear();
            }
        }
        known.insert(key, (now + time, status.clone()));
    }

    /// The status of the answer.
    async fn ask(&self, mut spec: Value) -> Result<Status, Failure> {
        // The older version called groups `group`.
        if self.settings.version == "v1beta1"
            && let Some(fields) = spec.as_object_mut()
            && let Some(groups) = fields.remove("groups")
        {
            fields.insert("group".to_owned(), groups);
        }
        let question = json!({
            "kind": "SubjectAccessReview",
            "apiVersion": format!("authorization.k8s.io/{}", self.settings.version),
            "metadata": {},
            "spec": spec,
            "status": { "allowed": false },
        })
        .to_string();
        let timeout = self.settings.timeout;
        let answer = self.endpoint.post_patiently(question.into(), timeout, PAUSE);
        let answer = answer.await.map_err(|error| Failure {
            timed_out: error.timed_out(),
            error: error.to_string(),
        })?;
        status(&answer, &self.settings.version).map_err(|error| Failure {
            error,
            timed_out: false,
        })
    }
}

/// SubjectAccessReviewSpec of a question.
fn spec(attributes: &Attributes<'_>, groups: &str) -> Value {
    let user = &attributes.user;
    let mut spec = Map::new();
    let mut fields = Map::new();
    let mut add = |name: &str, text: &str| {
        if !text.is_empty() {
            fields.insert(name.to_owned(), json!(text));
        }
    };
    add("verb", &attributes.verb);
    let which = if attributes.is_resource {
        add("namespace", &attributes.namespace);
        add("group", &attributes.group);
        add("version", &attributes.version);
        add("resource", &attributes.resource);
        add("subresource", &attributes.subresource);
        add("name", &attributes.name);
        "resourceAttributes"
    } else {
        add("path", &attributes.path);
        "nonResourceAttributes"
    };
    for (name, terms) in [
        ("fieldSelector", &attributes.fields),
        ("labelSelector", &attributes.labels),
    ] {
        if attributes.is_resource && !terms.is_empty() {
            fields.insert(name.to_owned(), selection::to_review(terms));
        }
    }
    spec.insert(which.to_owned(), Value::Object(fields));
    spec.insert("user".to_owned(), json!(user.name));
    if !user.groups.is_empty() {
        spec.insert(groups.to_owned(), json!(user.groups));
    }
    if !user.uid.is_empty() {
        spec.insert("uid".to_owned(), json!(user.uid));
    }
    if !user.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(user.extra));
    }
    Value::Object(spec)
}

/// Bytes of a question that whoever asks may choose, in contrast to who they are.
fn chosen_by_client(attributes: &Attributes<'_>) -> usize {
    let parts = [
        &attributes.namespace,
        &attributes.verb,
        &attributes.group,
        &attributes.version,
        &attributes.resource,
        &attributes.subresource,
        &attributes.name,
        &attributes.path,
    ];
    parts.iter().map(|part| part.len()).sum()
}

/// What an answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Status {
    allowed: bool,
    denied: bool,
    reason: String,
}

impl Status {
    /// Who says yes and no means no, whatever the failure policy: there is an answer.
    fn verdict(self) -> Verdict {
        match (self.allowed, self.denied) {
            (true, true) => Verdict {
                decision: Decision::Deny(self.reason),
                error: Some("webhook subject access review returned both allow and deny response".to_owned()),
            },
            (true, false) => Decision::Allow(self.reason).into(),
            (false, true) => Decision::Deny(self.reason).into(),
            (false, false) => Decision::NoOpinion(self.reason).into(),
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
struct Failure {
    error: String,
    timed_out: bool,
}

fn status(answer: &[u8], version: &str) -> Result<Status, String> {
    let mut review: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let asked = Asked {
        group: "authorization.k8s.io",
        version,
        kind: "SubjectAccessReview",
    };
    if !asked.is_answered_by(&review)? {
        return Ok(Status::default());
    }
    let status = review.get_mut("status").map(Value::take).unwrap_or_default();
    nulls::from_json(status).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_decisions() {
        let verdict = |status: Value| {
            let answer = json!({ "status": status }).to_string();
            super::status(answer.as_bytes(), "v1").unwrap().verdict()
        };
        for (status, expected) in [
            (
                json!({"allowed": true, "reason": "r"}),
                Decision::Allow("r".into()),
            ),
            (json!({"denied": true}), Decision::Deny(String::new())),
            (json!({}), Decision::NoOpinion(String::new())),
            (json!(null), Decision::NoOpinion(String::new())),
            (
                json!({"allowed": true, "denied": null, "reason": null}),
                Decision::Allow(String::new()),
            ),
        ] {
            assert_eq!(verdict(status), expected.into());
        }
        let both = verdict(json!({"allowed": true, "denied": true, "reason": "r"}));
        assert_eq!(both.decision, Decision::Deny("r".into()));
        assert!(both.error.is_some());
        // What the other version would say is not heard.
        let other = br#"{"apiVersion": "authorization.k8s.io/v1beta1", "kind": "SubjectAccessReview", "status": {"allowed": true}}"#;
        assert_eq!(status(other, "v1"), Ok(Status::default()));
        let same = br#"{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "status": {"allowed": true}}"#;
        assert!(status(same, "v1").unwrap().allowed);
        for broken in [&b"[]"[..], b"1", b"{}"] {
            assert_eq!(status(broken, "v1"), Ok(Status::default()));
        }
        assert!(status(b"{", "v1").is_err());
    }
}
