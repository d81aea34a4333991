//! One question to one webhook.

use super::hook::Hook;
use super::rejection::{Failure, denied, dry_run_unsupported};
use super::review::{self, BadAnswer, Verdict};
use crate::admission::attributes::Attributes;
use crate::admission::matching::Invocation;
use crate::admission::metrics::{AdmissionMetrics, Phase};
use crate::webhook::CallError;
use serde_json::Value;
use std::time::{Duration, Instant};

/// What is counted as the code of a webhook that gave none.
const UNAVAILABLE: u16 = 503;

/// What is asked.
pub struct Question<'a> {
    pub hook: &'a Hook,
    pub attributes: &'a Attributes<'a>,
    pub invocation: &'a Invocation,
    /// Of the invocation's kind.
    pub object: Option<&'a Value>,
    pub old: Option<&'a Value>,
    pub phase: Phase,
    /// When the request has to be answered.
    pub deadline: Instant,
}

impl Question<'_> {
    /// Asks. The webhook's warnings and audit annotations are on the request afterwards.
    pub async fn ask(&self) -> Result<Verdict, Failure> {
        let (hook, attributes) = (self.hook, self.attributes);
        if attributes.dry_run && !hook.dry_runs {
            return Err(Failure::Rejected(dry_run_unsupported(&hook.name)));
        }
        let version = hook.version.ok_or_else(|| {
            Failure::calling(
                "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)",
                400,
            )
        })?;
        let endpoint = hook
            .endpoint
            .as_ref()
            .map_err(|why| Failure::calling(format!("could not get REST client: {why}"), 500))?;
        let uid = crate::metadata::new_uid();
        let body = review::question(version, &uid, attributes, self.invocation, self.object, self.old)
            .map_err(|error| Failure::calling(format!("could not create admission objects: {error}"), 400))?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = hook.timeout.min(left.max(Duration::from_millis(1)));
        let answer = endpoint
            .post(body.into(), timeout)
            .await
            .map_err(|error| unreached(&error))?;
        let mutating = self.phase == Phase::Admit;
        let verdict = review::answer(&answer, version, &uid, mutating).map_err(|bad| match bad {
            BadAnswer::Undecodable(why) => {
                Failure::calling(format!("failed to call webhook: {why}"), UNAVAILABLE)
            }
            BadAnswer::Invalid(why) => {
                Failure::calling(format!("received invalid webhook response: {why}"), UNAVAILABLE)
            }
            BadAnswer::Patch(why) => Failure::calling(
                format!("received undecodable patch in webhook response: {why}"),
                UNAVAILABLE,
            ),
        })?;
        for (key, value) in &verdict.audit_annotations {
            attributes.annotate(format!("{}/{key}", hook.name), value.clone());
        }
        for warning in &verdict.warnings {
            attributes.request.warn(warning.as_str());
        }
        if verdict.allowed {
            Ok(verdict)
        } else {
            Err(Failure::Rejected(denied(&hook.name, verdict.status.as_ref())))
        }
    }

    /// Counts what came of it.
    pub fn observe(&self, metrics: &AdmissionMetrics, failure: Option<&Failure>, elapsed: Duration) {
        let (hook, operation) = (self.hook, self.attributes.operation);
        let (rejected, code) = match failure {
            None => (false, 200),
            Some(Failure::Calling { code, .. }) => (!hook.fails_open, *code),
            Some(Failure::Rejected(error)) => (true, error.code()),
            Some(Failure::Internal(_)) => (true, 0),
        };
        metrics.webhook(&hook.name, self.phase, operation, rejected, code, elapsed);
        let kind = match failure {
            Some(Failure::Calling { .. }) => "calling_webhook_error",
            Some(Failure::Rejected(_)) => "no_error",
            Some(Failure::Internal(_)) => "apiserver_internal_error",
            None => return,
        };
        if rejected {
            metrics.rejection(&hook.name, self.phase, operation, kind, code);
        } else {
            metrics.failed_open(&hook.name, self.phase);
        }
    }
}

fn unreached(error: &CallError) -> Failure {
    let code = match error.code() {
        0 => UNAVAILABLE,
        told => told,
    };
    Failure::calling(format!("failed to call webhook: {error}"), code)
}
