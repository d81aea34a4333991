//! An authorizer behind a webhook: SubjectAccessReviews out, decisions in, both kept for a while.

use super::attributes::Attributes;
use super::selection;
use super::{Decision, Verdict};
use crate::webhook::{CallError, Endpoint, PAUSE};
use ahash::AHashMap;
use cel::{Decl, Environment, PER_CALL_LIMIT, Program, Type, from_json};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// Decisions kept; bounds memory against callers that never repeat themselves.
const CAPACITY: usize = 8192;
/// Longer questions are asked anew each time.
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

/// Expressions over the review's spec, all of which must hold for the webhook to be asked.
#[derive(Default)]
pub struct MatchConditions(Vec<Program>);

impl MatchConditions {
    /// Compiles expressions; the error begins with the place in the list.
    pub fn compile<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let environment = Environment::new().with("request", Decl::dynamic());
        let mut all = Vec::new();
        for (index, text) in texts.enumerate() {
            let wrong = |why: String| format!("[{index}].expression: Invalid value: {text:?}: {why}");
            let program = Program::compile(text, &environment)
                .map_err(|error| wrong(format!("compilation failed: {error}")))?;
            if !matches!(program.ty(), Type::Bool | Type::Dyn) {
                return Err(wrong("must evaluate to bool".to_owned()));
            }
            all.push(program);
        }
        Ok(Self(all))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the webhook is to be asked; an error if that can't be said.
    fn hold(&self, spec: &Value) -> Result<bool, String> {
        let decl = Decl::dynamic();
        let mut failure = None;
        for program in &self.0 {
            let _timed = cel::timing::evaluation();
            let outcome = program.evaluate(&[Some(from_json(spec, &decl))], PER_CALL_LIMIT);
            match outcome.result.as_ref().map(cel::Value::as_bool) {
                Ok(Some(true)) => {}
                // One that doesn't hold settles it, whatever is wrong with the others.
                Ok(Some(false)) => return Ok(false),
                Ok(None) => failure = Some("a match condition is not a boolean".to_owned()),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        failure.map_or(Ok(true), Err)
    }
}

/// One webhook of the chain.
pub struct WebhookAuthorizer {
    settings: Settings,
    endpoint: Endpoint,
    conditions: MatchConditions,
    known: Mutex<AHashMap<[u8; 32], (Instant, Decision)>>,
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

    pub async fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        let spec = spec(attributes, "groups");
        if !self.conditions.is_empty() {
            match self.conditions.hold(&with_all_fields(&spec)) {
                Ok(true) => {}
                Ok(false) => return Decision::NoOpinion(String::new()).into(),
                Err(error) => return self.failed(error, String::new()),
            }
        }
        let text = spec.to_string();
        let key: [u8; 32] = Sha256::digest(&text).into();
        if let Some(decision) = self.kept(&key) {
            return decision.into();
        }
        let answer = match self.ask(spec).await {
            Ok(answer) => answer,
            Err(error) => return self.failed(error.to_string(), String::new()),
        };
        let decision = match read(&answer) {
            Ok(decision) => decision,
            Err(Unusable { error, reason }) => return self.failed(error, reason),
        };
        if text.len() <= LONGEST {
            self.keep(key, &decision);
        }
        decision.into()
    }

    fn failed(&self, error: String, reason: String) -> Verdict {
        tracing::error!(
            name = self.settings.name,
            error,
            "an authorization webhook gave no decision"
        );
        let decision = if self.settings.deny_on_failure {
            Decision::Deny(reason)
        } else {
            Decision::NoOpinion(reason)
        };
        Verdict {
            decision,
            error: Some(error),
        }
    }

    fn kept(&self, key: &[u8; 32]) -> Option<Decision> {
        let known = self.known.lock();
        let (until, decision) = known.get(key)?;
        (Instant::now() < *until).then(|| decision.clone())
    }

    fn keep(&self, key: [u8; 32], decision: &Decision) {
        let time = if decision.allowed() {
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
        known.insert(key, (now + time, decision.clone()));
    }

    async fn ask(&self, mut spec: Value) -> Result<bytes::Bytes, CallError> {
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
            "metadata": { "creationTimestamp": null },
            "spec": spec,
            "status": { "allowed": false },
        })
        .to_string();
        let timeout = self.settings.timeout;
        self.endpoint
            .post_patiently(question.into(), timeout, PAUSE)
            .await
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

/// The spec as conditions see it: what is empty is there, but for one of the two kinds of attributes and for selectors.
fn with_all_fields(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let mut fill = |part: &str, fields: &[&str], empty: &Value| {
        let part = if part.is_empty() {
            Some(&mut spec)
        } else {
            spec.get_mut(part)
        };
        if let Some(Value::Object(part)) = part {
            for field in fields {
                part.entry(*field).or_insert_with(|| empty.clone());
            }
        }
    };
    let text = json!("");
    fill("", &["user", "uid"], &text);
    fill("", &["groups"], &json!([]));
    fill("", &["extra"], &json!({}));
    fill(
        "resourceAttributes",
        &[
            "namespace",
            "verb",
            "group",
            "version",
            "resource",
            "subresource",
            "name",
        ],
        &text,
    );
    fill("nonResourceAttributes", &["path", "verb"], &text);
    spec
}

/// An answer that is no decision, and the reason that it gives all the same.
#[derive(Debug, PartialEq, Eq)]
struct Unusable {
    error: String,
    reason: String,
}

fn read(answer: &[u8]) -> Result<Decision, Unusable> {
    let review: Value = serde_json::from_slice(answer).map_err(|error| Unusable {
        error: error.to_string(),
        reason: String::new(),
    })?;
    let status = &review["status"];
    let reason = status["reason"].as_str().unwrap_or("").to_owned();
    match (status["allowed"] == true, status["denied"] == true) {
        (true, true) => Err(Unusable {
            error: "webhook subject access review returned both allow and deny response".to_owned(),
            reason,
        }),
        (true, false) => Ok(Decision::Allow(reason)),
        (false, true) => Ok(Decision::Deny(reason)),
        (false, false) => Ok(Decision::NoOpinion(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::User;

    #[test]
    fn conditions_decide_who_is_asked_about() {
        let compile = |texts: &[&str]| MatchConditions::compile(texts.iter().copied());
        let user = User {
            name: "jane".into(),
            groups: vec!["dev".into()],
            ..User::default()
        };
        let pods = spec(
            &Attributes::resource(&user, "get", "", "pods").in_namespace("a"),
            "groups",
        );
        for (texts, expected) in [
            (&[][..], Ok(true)),
            (
                &[
                    "has(request.resourceAttributes)",
                    "request.resourceAttributes.namespace == 'a'",
                ][..],
                Ok(true),
            ),
            (&["request.user == 'joe'"][..], Ok(false)),
            (&["'dev' in request.groups"][..], Ok(true)),
            (
                &["request.nothing == 'x'", "request.user == 'joe'"][..],
                Ok(false),
            ),
            (&["request.nothing == 'x'"][..], Err(())),
        ] {
            let found = compile(texts).unwrap().hold(&pods).map_err(|_| ());
            assert_eq!(found, expected, "{texts:?}");
        }
        assert!(compile(&["1 + 1"]).is_err());
        assert!(compile(&["request."]).is_err());
    }

    #[test]
    fn answers_become_decisions() {
        let read = |status: Value| read(json!({ "status": status }).to_string().as_bytes());
        assert_eq!(
            read(json!({"allowed": true, "reason": "r"})),
            Ok(Decision::Allow("r".into()))
        );
        assert_eq!(read(json!({"denied": true})), Ok(Decision::Deny(String::new())));
        assert_eq!(read(json!({})), Ok(Decision::NoOpinion(String::new())));
        assert!(read(json!({"allowed": true, "denied": true})).is_err());
    }
}
