//! Refusals by webhooks, and failures to ask them, as the client sees them.

use apimachinery::ApiError;
use serde_json::{Value, json};

/// Why a webhook did not let a request pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// It could not be asked, or its answer not be used; the failure policy decides.
    Calling { why: String, code: u16 },
    /// It said no, or can't be asked in a dry run.
    Rejected(ApiError),
    /// Its patch does not fit.
    Internal(ApiError),
}

impl Failure {
    /// The code is only counted.
    pub fn calling(why: impl Into<String>, code: u16) -> Self {
        Self::Calling {
            why: why.into(),
            code,
        }
    }
}

/// A webhook's `status` as the answer to the client.
pub fn denied(webhook: &str, status: Option<&Value>) -> ApiError {
    let mut status = status.cloned().unwrap_or_else(|| json!({}));
    let by = format!("admission webhook {webhook:?} denied the request");
    let text = |field: &str| {
        status[field]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let message = match text("message").or_else(|| text("reason")) {
        Some(why) => format!("{by}: {why}"),
        None => format!("{by} without explanation"),
    };
    // A refusal must not look like a success.
    if status["code"]
        .as_i64()
        .is_none_or(|code| !(400..=999).contains(&code))
    {
        status["code"] = json!(400);
    }
    status["message"] = json!(message);
    status["status"] = json!("Failure");
    status["kind"] = json!("Status");
    let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    ApiError::from_status(&status)
        .unwrap_or_else(|| ApiError::new(code.unwrap_or(400), apimachinery::Reason::Unknown, message, None))
}

/// The webhook has side effects that a dry run must not have.
pub fn dry_run_unsupported(webhook: &str) -> ApiError {
    ApiError::bad_request(format!("admission webhook {webhook:?} does not support dry run"))
}

/// The webhook could not be asked and its policy is to fail.
pub fn failed_closed(webhook: &str, why: &str) -> ApiError {
    ApiError::internal(format!("failed calling webhook {webhook:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_read_as_upstreams() {
        for (status, code, message) in [
            (
                None,
                400,
                "admission webhook \"w\" denied the request without explanation",
            ),
            (
                Some(json!({"message": "no", "code": 403, "reason": "Forbidden"})),
                403,
                "admission webhook \"w\" denied the request: no",
            ),
            (
                Some(json!({"reason": "Custom"})),
                400,
                "admission webhook \"w\" denied the request: Custom",
            ),
            (
                Some(json!({"message": "no", "code": 200, "status": "Success"})),
                400,
                "admission webhook \"w\" denied the request: no",
            ),
        ] {
            let error = denied("w", status.as_ref());
            assert_eq!((error.code(), error.message()), (code, message));
            // A reason of its own stays what it is.
            let reason = status.as_ref().and_then(|status| status.get("reason"));
            assert_eq!(error.to_status().get("reason"), reason);
        }
        assert_eq!(
            failed_closed("w", "x").message(),
            "Internal error occurred: failed calling webhook \"w\": x"
        );
    }
}
