//! Turning values, stored objects and failures into responses.

use crate::media::{Accepted, Encoding};
use crate::protobuf;
use crate::serving::body::{Body, Response};
use apimachinery::ApiError;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// A value in the negotiated form.
pub fn value(code: StatusCode, value: &Value, accepted: &Accepted) -> Response {
    match encode(value, accepted) {
        Ok(bytes) => bytes_of(code, accepted.encoding.content_type(), bytes),
        Err(error) => failure(&ApiError::internal(error), &Accepted::default()),
    }
}

/// Serializes a value in the negotiated encoding.
pub fn encode(value: &Value, accepted: &Accepted) -> Result<Bytes, String> {
    let text = match accepted.encoding {
        Encoding::Protobuf => {
            protobuf::encode::answer(&api::schema::built_in(), value).map_err(|error| error.to_string())?
        }
        Encoding::Yaml => apimachinery::yaml::to_string(value).into_bytes(),
        Encoding::Json if accepted.pretty => {
            let mut text = serde_json::to_vec_pretty(value).map_err(|error| error.to_string())?;
            text.push(b'\n');
            text
        }
        Encoding::Json => {
            let mut text = apimachinery::json::to_bytes(value);
            text.push(b'\n');
            text
        }
    };
    Ok(text.into())
}

/// Bytes that are ready.
pub fn bytes_of(code: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response {
    with_body(code, content_type, Body::bytes(bytes))
}

pub fn with_body(code: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    keep_private(headers);
    response
}

/// Nobody keeps an answer for others, unless it says that they may.
pub fn keep_private(headers: &mut HeaderMap) {
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache, private"));
}

/// Plain text, as health checks and unknown paths answer.
pub fn text(code: StatusCode, text: impl Into<String>) -> Response {
    let mut response = with_body(code, "text/plain; charset=utf-8", Body::bytes(text.into()));
    response
        .headers_mut()
        .insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// A compact JSON document.
pub fn json(code: StatusCode, document: &Value) -> Response {
    value(code, document, &Accepted::default())
}

/// A failure as a Status object, in the client's encoding: the one place where errors become answers.
pub fn failure(error: &ApiError, accepted: &Accepted) -> Response {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = value(code, &error.to_status(), accepted);
    if let Some(seconds) = error.retry_after_seconds() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Adds Warning headers in the form of RFC 7234. As with upstream, one with control characters is none.
pub fn add_warnings(response: &mut Response, warnings: &[impl AsRef<str>]) {
    let texts = warnings.iter().map(AsRef::as_ref);
    for warning in texts.filter(|text: &&str| !text.chars().any(char::is_control)) {
        let mut quoted = String::with_capacity(warning.len());
        for c in warning.chars() {
            if matches!(c, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            response.headers_mut().append("warning", value);
        }
    }
}
