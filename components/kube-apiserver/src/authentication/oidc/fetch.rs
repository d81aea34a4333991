//! Reading documents from an issuer over HTTPS.

use crate::connect::egress::{Egress, Way};
use crate::webhook::{Callee, Connector, Credentials, Dialer, TrustError, client_config, root_cause};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use std::time::Duration;

/// Longest document that is taken.
const LONGEST: usize = 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);

/// An HTTPS client that believes certain authorities.
pub struct Fetcher {
    client: Client<Connector, Empty<Bytes>>,
}

impl Fetcher {
    /// `bundle` is PEM; the system's authorities if empty.
    pub fn new(bundle: &[u8], way: Way) -> Result<Self, TrustError> {
        let dialer = Dialer {
            tls: Some(Arc::new(client_config(bundle, &Credentials::default())?)),
            resolver: None,
            server_name: None,
            service: None,
            egress: Egress {
                control_plane: way,
                ..Egress::default()
            },
            callee: Callee::Other,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(Connector {
                dialer: Arc::new(dialer),
                services: false,
            });
        Ok(Self { client })
    }

    /// A document, and how long it may be kept.
    pub async fn get(&self, url: &str) -> Result<(Bytes, Option<Duration>), String> {
        let failed = |why: String| format!("Get {url:?}: {why}");
        if !url.starts_with("https://") {
            return Err(failed("the URL is not https".to_owned()));
        }
        let request = Request::get(url)
            .header("accept", "application/json")
            .body(Empty::new())
            .map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| failed(root_cause(&error)))?;
            let status = response.status();
            if !status.is_success() {
                return Err(failed(format!("{status}")));
            }
            let good_for = response
                .headers()
                .get("cache-control")
                .and_then(|value| value.to_str().ok())
                .and_then(max_age);
            let body = Limited::new(response.into_body(), LONGEST)
                .collect()
                .await
                .map_err(|error| failed(error.to_string()))?;
            Ok((body.to_bytes(), good_for))
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(failed("context deadline exceeded".to_owned())))
    }
}

/// `max-age` of a Cache-Control header.
fn max_age(header: &str) -> Option<Duration> {
    header
        .split(',')
        .find_map(|part| part.trim().strip_prefix("max-age="))
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_document_is_good_for() {
        for (header, expected) in [
            ("public, max-age=300", Some(300)),
            ("no-store", None),
            ("max-age=x", None),
        ] {
            assert_eq!(max_age(header).map(|age| age.as_secs()), expected, "{header}");
        }
    }
}
