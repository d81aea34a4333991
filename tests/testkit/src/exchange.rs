//! One request of a client and its whole answer, whatever its code.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

pub const JSON: &str = "application/json";

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body; null if it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends `body`, or none if it is null, as `content_type`.
///
/// # Errors
///
/// There is no answer.
pub async fn send(
    client: &kube::Client,
    method: &str,
    path: &str,
    content_type: &str,
    body: &Value,
) -> Result<Answer> {
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, content_type)
        .body(kube::client::Body::from(body))
        .with_context(|| format!("{method} {path}"))?;
    answer(client, request, &format!("{method} {path}")).await
}

/// Reads in the form that `accept` asks for.
///
/// # Errors
///
/// There is no answer.
pub async fn get_as(client: &kube::Client, path: &str, accept: &str) -> Result<Answer> {
    let request = http::Request::get(path)
        .header(http::header::ACCEPT, accept)
        .body(kube::client::Body::empty())
        .with_context(|| format!("GET {path}"))?;
    answer(client, request, &format!("GET {path}")).await
}

async fn answer(
    client: &kube::Client,
    request: http::Request<kube::client::Body>,
    what: &str,
) -> Result<Answer> {
    let answer = client.send(request).await;
    let (parts, body) = answer.with_context(|| what.to_owned())?.into_parts();
    let body = body.collect_bytes().await;
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.with_context(|| format!("the answer of {what}"))?,
    })
}
