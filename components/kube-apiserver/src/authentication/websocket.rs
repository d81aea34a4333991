//! Tokens of browsers, which can't set headers of WebSockets: they stand among the sub-protocols.

use super::Rejected;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue};
use streams::websocket::{is_requested, offered};

/// What the name of a sub-protocol begins with that is a token.
const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// The token of a request for a WebSocket, if there is one among its sub-protocols.
pub fn token(headers: &HeaderMap) -> Result<Option<String>, Rejected> {
    if !is_requested(headers) {
        return Ok(None);
    }
    let mut tokens = offered(headers).filter_map(|protocol| protocol.strip_prefix(PREFIX));
    let Some(encoded) = tokens.next() else {
        return Ok(None);
    };
    if tokens.next().is_some() {
        return Err(Rejected(
            "multiple base64.bearer.authorization tokens specified".to_owned(),
        ));
    }
    // One that is empty is none, and whoever sends it anonymous.
    if encoded.is_empty() {
        return Ok(None);
    }
    // The answer has to name a sub-protocol, and must not name this one.
    if offered(headers).all(|protocol| protocol.starts_with(PREFIX)) {
        return Err(Rejected("missing additional subprotocol".to_owned()));
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| Rejected("invalid base64.bearer.authorization token encoding".to_owned()))?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| Rejected("invalid base64.bearer.authorization token".to_owned()))
}

/// Takes the token out, which is nobody else's business.
pub fn forget(headers: &mut HeaderMap) {
    if !offered(headers).any(|protocol| protocol.starts_with(PREFIX)) {
        return;
    }
    let left: Vec<&str> = offered(headers)
        .filter(|protocol| !protocol.starts_with(PREFIX))
        .collect();
    let left = HeaderValue::from_str(&left.join(", "));
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Some(left) = left.ok().filter(|left| !left.is_empty()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(protocols: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("Upgrade"));
        headers.insert("upgrade", HeaderValue::from_static("WebSocket"));
        for protocol in protocols {
            headers.append("sec-websocket-protocol", protocol.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_sub_protocol_may_be_a_token() {
        let own = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode("secret"));
        let both = headers(&[&format!("{own}, v5.channel.k8s.io"), "v4.channel.k8s.io"]);
        assert_eq!(token(&both).unwrap().as_deref(), Some("secret"));
        let mut left = both.clone();
        forget(&mut left);
        assert_eq!(
            left["sec-websocket-protocol"],
            "v5.channel.k8s.io, v4.channel.k8s.io"
        );
        for wrong in [
            headers(&[&own]),
            headers(&[&own, &own, "x"]),
            headers(&[&format!("{PREFIX}!!"), "x"]),
        ] {
            assert!(token(&wrong).is_err(), "{wrong:?}");
        }
        for none in [&[PREFIX][..], &[PREFIX, "x"]] {
            assert!(token(&headers(none)).unwrap().is_none());
        }
        let mut plain = both;
        plain.remove("upgrade");
        assert!(token(&plain).unwrap().is_none());
        assert!(token(&headers(&["v5.channel.k8s.io"])).unwrap().is_none());
    }
}
