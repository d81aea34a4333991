//! What a webhook's HTTP answer means.

use apimachinery::status::Details;
use apimachinery::{ApiError, Reason};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

/// Longest answer that is read: a patch can be as large as the largest object, and base64 adds a third.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Longest part of an unexpected answer that is quoted.
const MAX_QUOTE: usize = 2048;

/// Why a webhook gave no usable answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallError {
    /// It was not reached, took too long, or broke off.
    #[error("{message}")]
    Transport { message: String, broke_off: bool },
    /// It answered with a failure.
    #[error("{}", .0.message())]
    Status(ApiError),
}

impl CallError {
    /// The HTTP code of the answer; 0 without one.
    pub fn code(&self) -> u16 {
        match self {
            Self::Transport { .. } => 0,
            Self::Status(error) => error.code(),
        }
    }

    /// Whether no answer came in time.
    pub fn timed_out(&self) -> bool {
        match self {
            Self::Transport { message, .. } => message.ends_with("context deadline exceeded"),
            Self::Status(error) => error.code() == 504,
        }
    }

    /// Whether another attempt may do better, as upstream's client sees it: a webhook that isn't there is not waited for.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Transport { broke_off, .. } => *broke_off,
            Self::Status(error) => {
                matches!(error.code(), 429 | 500 | 504) || error.retry_after_seconds().is_some()
            }
        }
    }
}

/// A successful answer.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    content_type: String,
    body: Bytes,
}

impl Reply {
    /// What it says.
    pub fn body(self) -> Result<Bytes, CallError> {
        if !self.body.is_empty() {
            return Ok(self.body);
        }
        let content_type = match self.content_type.as_str() {
            "" => "application/json",
            given => given,
        };
        Err(CallError::Transport {
            message: format!(
                "0-length response with status code: {} and content type: {content_type}",
                self.status.as_u16()
            ),
            broke_off: false,
        })
    }
}

/// Reads a successful answer. The length of any answer is in `length` afterwards.
pub async fn read(response: Response<Incoming>, length: &mut Option<usize>) -> Result<Reply, CallError> {
    let status = response.status();
    let content_type = response.headers().get(http::header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|given| given.to_str().ok())
        .unwrap_or("")
        .to_owned();
    let pause = response.headers().get(http::header::RETRY_AFTER);
    let pause = pause.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|error| {
            let too_long = error.is::<LengthLimitError>();
            CallError::Transport {
                message: if too_long {
                    format!("the answer is longer than {MAX_ANSWER} bytes")
                } else {
                    format!("unexpected error when reading response body: {error}")
                },
                broke_off: !too_long,
            }
        })?
        .to_bytes();
    *length = Some(body.len());
    if status.is_success() {
        return Ok(Reply {
            status,
            content_type,
            body,
        });
    }
    let told = serde_json::from_slice::<serde_json::Value>(&body)
        .ok()
        .filter(|status| status["kind"] == "Status" && status["status"] == "Failure")
        .and_then(|status| ApiError::from_status(&status));
    Err(CallError::Status(
        told.unwrap_or_else(|| failure(status, &content_type, &body, pause)),
    ))
}

/// Whether a body is one to be read by people; what doesn't say what it is counts as such.
fn is_text(content_type: &str) -> bool {
    let media_type = content_type.trim_start().as_bytes();
    content_type.is_empty()
        || media_type
            .get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"text/"))
}

/// An answer that isn't a Status, in the words of upstream's client.
fn failure(status: StatusCode, content_type: &str, body: &[u8], pause: Option<i32>) -> ApiError {
    let text: String = String::from_utf8_lossy(body)
        .trim()
        .chars()
        .take(MAX_QUOTE)
        .collect();
    let given = |default: &str| match (is_text(content_type), text.is_empty()) {
        (false, _) => "unknown".to_owned(),
        (true, true) => default.to_owned(),
        (true, false) => text.clone(),
    };
    let (reason, message) = match status.as_u16() {
        400 => (
            Reason::BadRequest,
            "the server rejected our request for an unknown reason".to_owned(),
        ),
        401 => (
            Reason::Unauthorized,
            "the server has asked for the client to provide credentials".to_owned(),
        ),
        403 => (Reason::Forbidden, given("forbidden")),
        404 => (
            Reason::NotFound,
            "the server could not find the requested resource".to_owned(),
        ),
        405 => (
            Reason::MethodNotAllowed,
            "the server does not allow this method on the requested resource".to_owned(),
        ),
        409 => (Reason::AlreadyExists, "the server reported a conflict".to_owned()),
        422 => (
            Reason::Invalid,
            "the server rejected our request due to an error in our request".to_owned(),
        ),
        429 => (
            Reason::TooManyRequests,
            "the server has received too many requests and has asked us to try again later".to_owned(),
        ),
        503 => (
            Reason::ServiceUnavailable,
            "the server is currently unable to handle the request".to_owned(),
        ),
        504 => (
            Reason::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .to_owned(),
        ),
        code if code >= 500 => (
            Reason::InternalError,
            format!("an error on the server ({:?}) has prevented the request from succeeding", given("unknown")),
        ),
        code => (
            Reason::Unknown,
            format!("the server responded with the status code {code} but did not return more information"),
        ),
    };
    let details = pause.map(|retry_after_seconds| Details {
        retry_after_seconds,
        ..Details::default()
    });
    ApiError::new(status.as_u16(), reason, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unexpected_answers_read_as_upstreams() {
        for (code, content_type, body, expected) in [
            (404, "", "", "the server could not find the requested resource"),
            (
                500,
                "application/json",
                "{}",
                "an error on the server (\"unknown\") has prevented the request from succeeding",
            ),
            (
                500,
                "text/plain; charset=utf-8",
                "broken\n",
                "an error on the server (\"broken\") has prevented the request from succeeding",
            ),
            (
                302,
                "",
                "",
                "the server responded with the status code 302 but did not return more information",
            ),
            (403, "", "no", "no"),
        ] {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(
                failure(status, content_type, body.as_bytes(), None).message(),
                expected
            );
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let told =
            |code, pause| CallError::Status(failure(StatusCode::from_u16(code).unwrap(), "", b"", pause));
        let transport = |broke_off| CallError::Transport {
            message: String::new(),
            broke_off,
        };
        for (error, expected) in [
            (transport(true), true),
            (transport(false), false),
            (told(429, None), true),
            (told(500, None), true),
            (told(503, None), false),
            (told(503, Some(1)), true),
            (told(504, None), true),
            (told(403, None), false),
        ] {
            assert_eq!(error.is_passing(), expected, "{error:?}");
        }
    }
}
