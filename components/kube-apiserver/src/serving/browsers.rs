//! What scripts in browsers need to be told: that they may use the API, and to stay with TLS.

use super::body::{Body, Response};
use crate::answer;
use anyhow::{Context, bail};
use component_config::kube_apiserver::ServingFlags;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, HeaderMap, HeaderValue, ORIGIN,
    STRICT_TRANSPORT_SECURITY,
};
use http::{Method, StatusCode};
use regex::Regex;

const METHODS: &str = "POST, GET, OPTIONS, PUT, DELETE, PATCH";
const HEADERS: &str = "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, If-Modified-Since";
const EXPOSED: &str = "Date";

/// What the flags say about browsers.
#[derive(Debug, Default)]
pub struct Browsers {
    origins: Vec<Regex>,
    transport_security: Option<HeaderValue>,
}

impl Browsers {
    pub fn load(flags: &ServingFlags) -> anyhow::Result<Self> {
        let none = flags.cors_allowed_origins == [""];
        let origins = flags.cors_allowed_origins.iter().filter(|_| !none).map(|pattern| {
            let compiled =
                Regex::new(pattern).with_context(|| format!("--cors-allowed-origins: {pattern:?}"))?;
            match unpinned(pattern) {
                None => Ok(compiled),
                Some(end) => bail!(
                    "--cors-allowed-origins: {pattern:?} does not pin the {end} of the host, so that foreign hosts would match; write for example ^https://example.com(:|$)"
                ),
            }
        });
        let directives = flags.strict_transport_security_directives.iter();
        let directives: Vec<&str> = directives
            .map(String::as_str)
            .filter(|directive| !directive.is_empty())
            .collect();
        let transport_security = (!directives.is_empty())
            .then(|| HeaderValue::from_str(&directives.join("; ")))
            .transpose()
            .context("--strict-transport-security-directives")?;
        Ok(Self {
            origins: origins.collect::<anyhow::Result<_>>()?,
            transport_security,
        })
    }

    /// The request's origin, if its scripts may use the API.
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.is_empty() {
            return None;
        }
        let origin = headers.get(ORIGIN)?;
        let text = origin.to_str().ok()?;
        self.origins
            .iter()
            .any(|pattern| pattern.is_match(text))
            .then(|| origin.clone())
    }

    /// The answer to a browser that asks whether it may ask; it has no credentials.
    pub fn preflight(&self, method: &Method, allowed: Option<&HeaderValue>) -> Option<Response> {
        if allowed.is_none() || *method != Method::OPTIONS {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        answer::keep_private(response.headers_mut());
        Some(response)
    }

    pub fn mark(&self, allowed: Option<HeaderValue>, response: &mut Response) {
        let headers = response.headers_mut();
        if let Some(value) = &self.transport_security {
            headers.insert(STRICT_TRANSPORT_SECURITY, value.clone());
        }
        if let Some(origin) = allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            for (name, value) in [
                (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
                (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
                (ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
                (ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
            ] {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
    }
}

/// The end of the host that a pattern leaves open. A host begins at `^` or `//` and ends at `$` or a port's colon.
fn unpinned(pattern: &str) -> Option<&'static str> {
    let host = match pattern.rfind("//") {
        Some(slashes) => &pattern[slashes + 2..],
        None if pattern.contains('^') => pattern,
        None => return Some("start"),
    };
    (!host.contains(['$', ':'])).then_some("end")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn browsers(origins: &[&str]) -> anyhow::Result<Browsers> {
        Browsers::load(&ServingFlags {
            cors_allowed_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            ..ServingFlags::default()
        })
    }

    #[test]
    fn a_pattern_of_origins_pins_both_ends_of_the_host() {
        for (pattern, taken) in [
            ("//example.com(:|$)", true),
            ("^https://example.com(:|$)", true),
            ("^https://example.com$", true),
            ("^null$", true),
            ("example.com", false),
            ("^https://example.com", false),
            ("example.com$", false),
            ("//(", false),
            ("", true),
        ] {
            assert_eq!(browsers(&[pattern]).is_ok(), taken, "{pattern}");
        }
    }

    #[test]
    fn scripts_of_a_matching_origin_are_allowed() {
        let ours = browsers(&["^https://(.+\\.)?example\\.com(:|$)"]).unwrap();
        for (origin, allowed) in [
            (Some("https://example.com"), true),
            (Some("https://a.example.com:8443"), true),
            (Some("https://example.com.evil.org"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(ours.allowed(&headers).is_some(), allowed, "{origin:?}");
        }
    }
}
