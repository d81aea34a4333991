//! Continue tokens, in upstream's form so that any API server can go on with a list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::error::StorageError;
use crate::revision::Revision;

const VERSION: &str = "meta.k8s.io/v1";

#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: i64,
    #[serde(default)]
    start: String,
}

/// Where a list goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// None continues with the newest state, at the price of consistency.
    pub revision: Option<Revision>,
    pub start_key: String,
}

pub(super) fn encode(scope_prefix: &str, position: &Position) -> String {
    let token = Token {
        v: VERSION.to_owned(),
        rv: position.revision.map_or(-1, Revision::value),
        start: position
            .start_key
            .strip_prefix(scope_prefix)
            .unwrap_or(&position.start_key)
            .to_owned(),
    };
    URL_SAFE_NO_PAD.encode(serde_json::json!(token).to_string())
}

/// Where a text stops being base64, as Go says it.
fn not_base64(error: base64::DecodeError, text: &str) -> String {
    let at = match error {
        // Padding is no part of this form.
        _ if text.contains('=') => {
            let foreign = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
            text.find(foreign).unwrap_or_default()
        }
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
        // One that is left of a group of four.
        _ => text.len().saturating_sub(1),
    };
    format!("illegal base64 data at input byte {at}")
}

/// Why bytes are no token, as Go says it of those that aren't even JSON.
fn not_a_token(bytes: &[u8]) -> String {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => "unexpected end of JSON input".to_owned(),
        Some(b'{') => "not a token".to_owned(),
        Some(byte @ (0x20..=0x7e | 0xa1..=0xac | 0xae..=0xff)) => {
            format!(
                "invalid character '{}' looking for beginning of value",
                char::from(*byte)
            )
        }
        Some(byte) if *byte < 0x80 => {
            format!("invalid character '\\x{byte:02x}' looking for beginning of value")
        }
        Some(byte) => format!("invalid character '\\u{byte:04x}' looking for beginning of value"),
    }
}

pub(super) fn decode(scope_prefix: &str, text: &str) -> Result<Position, StorageError> {
    let invalid = |message: &str| StorageError::InvalidContinue {
        message: message.to_owned(),
    };
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| invalid(&not_base64(error, text)))?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| invalid(&not_a_token(&bytes)))?;
    if token.v != VERSION {
        return Err(invalid(&format!(
            "server does not recognize this encoded version {}",
            token.v
        )));
    }
    if token.rv == 0 {
        return Err(invalid(
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ));
    }
    if token.start.is_empty() {
        return Err(invalid("encoded start key empty (version meta.k8s.io/v1)"));
    }
    // The key must stay in the scope, whatever the token says.
    let key = token.start.strip_prefix('/').unwrap_or(&token.start);
    let strays = |segment: &str| matches!(segment.trim_end_matches('\0'), "" | "." | "..");
    if !key.is_empty() && key.split('/').any(strays) {
        return Err(invalid(&token.start));
    }
    Ok(Position {
        revision: (token.rv > 0).then(|| Revision::new(token.rv)),
        start_key: format!("{scope_prefix}{key}"),
    })
}

/// The key at which a list over the keys below `scope_prefix` goes on. It is always below it.
pub fn continue_key(scope_prefix: &str, token: &str) -> Result<String, StorageError> {
    decode(scope_prefix, token).map(|position| position.start_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_upstream_form() {
        let position = Position {
            revision: Some(Revision::new(42)),
            start_key: "/registry/pods/ns/a\0".to_owned(),
        };
        let token = encode("/registry/pods/", &position);
        let json = String::from_utf8(URL_SAFE_NO_PAD.decode(&token).unwrap()).unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json).unwrap(),
            serde_json::json!({"v": "meta.k8s.io/v1", "rv": 42, "start": "ns/a\0"})
        );
        assert_eq!(decode("/registry/pods/", &token).unwrap(), position);
        assert_eq!(
            decode("/registry/pods/", &format!("{token}=="))
                .unwrap_err()
                .to_string(),
            format!(
                "continue key is not valid: illegal base64 data at input byte {}",
                token.len()
            )
        );
    }

    #[test]
    fn bad_tokens() {
        for text in [
            "",
            "!!",
            &URL_SAFE_NO_PAD.encode("x"),
            &URL_SAFE_NO_PAD.encode(r#"{"v":"v0","rv":1,"start":"a"}"#),
            &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
            &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#),
            &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/a"}"#),
        ] {
            assert!(decode("/registry/pods/", text).is_err(), "{text}");
        }
        for (token, told) in [
            (
                r#"{"v":"meta.k8s.io/v2","rv":1,"start":"a"}"#,
                "server does not recognize this encoded version meta.k8s.io/v2",
            ),
            (r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../a"}"#, "../a"),
            (r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a//b"}"#, "a//b"),
            (r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a/"}"#, "a/"),
        ] {
            let error = decode("/registry/pods/", &URL_SAFE_NO_PAD.encode(token)).unwrap_err();
            assert_eq!(error.to_string(), format!("continue key is not valid: {told}"));
        }
    }
}
