//! The errors of the API: a Status object with upstream's reasons, messages and HTTP codes.
mod constructors;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Machine-readable reason of a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    #[default]
    #[serde(rename = "")]
    Unknown,
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    StoreReadError,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
}

/// One cause inside a Status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// What a Status is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_after_seconds: i32,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// A refusal or failure that is answered with a Status object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiError(Box<Failure>);

/// The parts of a failure Status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    pub code: u16,
    pub reason: Reason,
    /// One of another's own, if the reason isn't known here.
    pub foreign_reason: String,
    pub message: String,
    pub details: Option<Details>,
    /// With what a list that can't go on as it was may go on.
    pub continue_token: String,
}

impl ApiError {
    /// An error from all its parts; prefer the named constructors.
    pub fn new(code: u16, reason: Reason, message: impl Into<String>, details: Option<Details>) -> Self {
        Self(Box::new(Failure {
            code,
            reason,
            foreign_reason: String::new(),
            message: message.into(),
            details,
            continue_token: String::new(),
        }))
    }

    /// The same error with a token in its metadata, with which a list may go on.
    #[must_use]
    pub fn continued(mut self, token: String) -> Self {
        self.0.continue_token = token;
        self
    }

    /// HTTP status code.
    pub fn code(&self) -> u16 {
        self.0.code
    }

    /// Machine-readable reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// What a person reads.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The same error in other words.
    #[must_use]
    pub fn with_message(mut self, message: String) -> Self {
        self.0.message = message;
        self
    }

    /// What the error is about.
    pub fn details(&self) -> Option<&Details> {
        self.0.details.as_ref()
    }

    /// Seconds after which the client should retry, for the Retry-After header.
    pub fn retry_after_seconds(&self) -> Option<i32> {
        self.0
            .details
            .as_ref()
            .map(|details| details.retry_after_seconds)
            .filter(|seconds| *seconds > 0)
    }

    /// The Status object to send.
    pub fn to_status(&self) -> Value {
        let mut status = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": self.0.code,
        });
        if !self.0.continue_token.is_empty() {
            status["metadata"]["continue"] = Value::from(self.0.continue_token.clone());
        }
        if !self.0.message.is_empty() {
            status["message"] = Value::from(self.0.message.clone());
        }
        if self.0.reason != Reason::Unknown {
            status["reason"] = Value::from(format!("{:?}", self.0.reason));
        } else if !self.0.foreign_reason.is_empty() {
            status["reason"] = Value::from(self.0.foreign_reason.clone());
        }
        if let Some(details) = &self.0.details {
            status["details"] = serde_json::to_value(details).unwrap_or_default();
        }
        status
    }

    /// Reads a failure Status back, as sent by another server.
    pub fn from_status(status: &Value) -> Option<Self> {
        if status.get("kind")?.as_str()? != "Status" {
            return None;
        }
        let text = |field: &str| status.get(field).and_then(Value::as_str).unwrap_or("");
        let reason: Reason = status
            .get("reason")
            .cloned()
            .and_then(|reason| serde_json::from_value(reason).ok())
            .unwrap_or_default();
        let details = status
            .get("details")
            .cloned()
            .and_then(|details| serde_json::from_value(details).ok());
        let code = status
            .get("code")
            .and_then(Value::as_u64)
            .and_then(|code| u16::try_from(code).ok())
            .unwrap_or(500);
        let mut error = Self::new(code, reason, text("message"), details);
        if reason == Reason::Unknown {
            error.0.foreign_reason = text("reason").to_owned();
        }
        Some(error)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}

/// The Status that answers a successful delete, eviction or binding.
pub fn success(details: Option<Details>) -> Value {
    let mut status =
        serde_json::json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    match details {
        Some(details) => status["details"] = serde_json::to_value(details).unwrap_or_default(),
        None => status["code"] = Value::from(201),
    }
    status
}
