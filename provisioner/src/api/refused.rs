use http::{Method, StatusCode};
use serde_json::Value;

/// An answer other than success.
#[derive(Debug, thiserror::Error)]
#[error("{method} {path} was answered with {status}: {message}")]
pub struct Refused {
    method: Method,
    path: String,
    pub status: StatusCode,
    message: String,
    /// The causes that the server gave in detail.
    pub causes: Vec<String>,
}

impl Refused {
    /// Reads a Status; anything else is shown as it is.
    pub(super) fn read(method: Method, path: &str, status: StatusCode, body: &[u8]) -> Refused {
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let message = match said["message"].as_str() {
            Some(message) => message.to_owned(),
            None => String::from_utf8_lossy(body).chars().take(300).collect(),
        };
        let causes = said["details"]["causes"].as_array().into_iter().flatten();
        Refused {
            method,
            path: path.to_owned(),
            status,
            message,
            causes: causes
                .filter_map(|cause| cause["message"].as_str().map(str::to_owned))
                .collect(),
        }
    }
}

pub fn is_status(error: &anyhow::Error, status: StatusCode) -> bool {
    error
        .downcast_ref::<Refused>()
        .is_some_and(|refused| refused.status == status)
}

/// True for an answer that says nothing about the request; one with causes does.
pub(super) fn is_busy(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| {
        let busy = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        busy.contains(&refused.status) && refused.causes.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_keeps_what_the_server_says() {
        let status = json!({
            "kind": "Status", "message": "no",
            "details": { "causes": [{ "reason": "DisruptionBudget", "message": "The disruption budget web needs 2" }] },
        });
        let read = |body: &[u8]| Refused::read(Method::POST, "/x", StatusCode::TOO_MANY_REQUESTS, body);
        let refused = read(status.to_string().as_bytes());
        assert_eq!(refused.causes, ["The disruption budget web needs 2"]);
        assert!(
            refused.to_string().ends_with("429 Too Many Requests: no"),
            "{refused}"
        );
        assert!(read(b"busy").to_string().ends_with(": busy"));
        assert!(!is_busy(&refused.into()) && is_busy(&read(b"busy").into()));
    }
}
