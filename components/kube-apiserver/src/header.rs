//! What headers say. Go takes any bytes in them, and so do names of users in other alphabets come through.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// The text of a header. What is no UTF-8 in it shows as `U+FFFD`, as it does wherever Go encodes such a text; it is never taken for a
/// header that isn't there, for without its name a request would be made in the name of whoever sent it.
pub fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// The text of the first header of a name; empty without one.
pub fn first<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Cow<'h, str> {
    headers.get(name).map_or(Cow::Borrowed(""), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_text() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"jane", "jane"),
            ("j\u{f6}rg".as_bytes(), "j\u{f6}rg"),
            (b"j\xf6rg", "j\u{fffd}rg"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::USER_AGENT, HeaderValue::from_bytes(bytes).unwrap());
            assert_eq!(first(&headers, &http::header::USER_AGENT), expected);
        }
        assert_eq!(first(&HeaderMap::new(), &http::header::USER_AGENT), "");
    }
}
