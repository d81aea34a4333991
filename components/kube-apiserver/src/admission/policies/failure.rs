//! Refusals by policies, as the client sees them.

use crate::admission::attributes::Attributes;
use apimachinery::status::{Cause, Details};
use apimachinery::{ApiError, Reason};

/// Why a policy refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub policy: String,
    /// `None` when the policy itself can't be used.
    pub binding: Option<String>,
    pub message: String,
    /// Where it is empty: of a validation Invalid, of a mutating policy Forbidden.
    pub reason: String,
}

impl Denial {
    fn text(&self, kind: &str) -> String {
        let (policy, message) = (&self.policy, &self.message);
        match (&self.binding, kind) {
            (Some(binding), "") => {
                format!("policy '{policy}' with binding '{binding}' denied request: {message}")
            }
            (None, "") => format!("policy {policy:?} denied request: {message}"),
            (Some(binding), _) => {
                format!("{kind} '{policy}' with binding '{binding}' denied request: {message}")
            }
            (None, _) => format!("{kind} '{policy}' denied request: {message}"),
        }
    }
}

fn details(attributes: &Attributes<'_>, causes: Vec<Cause>) -> Details {
    let resource = attributes.resource();
    Details {
        name: attributes.shown_name().to_owned(),
        group: resource.group,
        kind: resource.resource,
        causes,
        ..Details::default()
    }
}

fn cause(message: String) -> Cause {
    Cause {
        message,
        ..Cause::default()
    }
}

/// A request that validating policies refuse: the first refusal speaks for all.
pub fn refused(attributes: &Attributes<'_>, denial: &Denial) -> ApiError {
    let message = denial.text("ValidatingAdmissionPolicy");
    let (code, reason) = match denial.reason.as_str() {
        "Forbidden" => (403, Reason::Forbidden),
        "Unauthorized" => (401, Reason::Unauthorized),
        "RequestEntityTooLarge" => (413, Reason::RequestEntityTooLarge),
        _ => (422, Reason::Invalid),
    };
    let told = attributes.forbidden(&message);
    ApiError::new(
        code,
        reason,
        told.message(),
        Some(details(attributes, vec![cause(message)])),
    )
}

/// A request that mutating policies could not be applied to.
pub fn failed(attributes: &Attributes<'_>, denials: &[Denial]) -> ApiError {
    let texts: Vec<String> = denials.iter().map(|denial| denial.text("")).collect();
    let first = texts.first().cloned().unwrap_or_default();
    let causes = texts.into_iter().map(cause).collect();
    let reason = match denials.first().map(|denial| denial.reason.as_str()) {
        Some("Invalid") => Reason::Invalid,
        _ => Reason::Forbidden,
    };
    ApiError::new(403, reason, first, Some(details(attributes, causes)))
}
