//! Where a webhook sends its caller on to, followed as Go's HTTP client follows it, within limits of our own: never to
//! or from plain HTTP, and never with credentials to somebody else.

use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use url::Url;

/// Requests that are made for one call.
pub const MOST_REQUESTS: usize = 10;

/// A request that an answer asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Onward {
    pub url: Url,
    /// Or it becomes a GET.
    pub is_same: bool,
}

/// Where the answer to a request for `from` sends it on to; `None` for one that is an answer itself.
pub fn onward(status: StatusCode, headers: &HeaderMap, from: &Url) -> Result<Option<Onward>, String> {
    let is_same = match status.as_u16() {
        301..=303 => false,
        307 | 308 => true,
        _ => return Ok(None),
    };
    let Some(location) = headers.get(LOCATION).filter(|location| !location.is_empty()) else {
        return Ok(None);
    };
    let location = String::from_utf8_lossy(location.as_bytes());
    let url = from
        .join(&location)
        .map_err(|error| format!("failed to parse Location header {location:?}: {error}"))?;
    if url.scheme() != from.scheme() || url.host_str().is_none() {
        let scheme = from.scheme();
        return Err(format!(
            "a redirect from {scheme} to {location:?} is not followed"
        ));
    }
    Ok(Some(Onward { url, is_same }))
}

/// Whether both are served by the same.
pub fn is_same_server(a: &Url, b: &Url) -> bool {
    let server = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
    a.scheme() == b.scheme() && server(a) == server(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn ways_on() {
        let from = Url::parse("https://hook.example:444/a/b?timeout=1s").unwrap();
        for (status, location, expected) in [
            (200, "/x", Ok(None)),
            (304, "/x", Ok(None)),
            (307, "", Ok(None)),
            (307, "/x", Ok(Some(("https://hook.example:444/x", true)))),
            (308, "c?d=e", Ok(Some(("https://hook.example:444/a/c?d=e", true)))),
            (
                302,
                "https://other.example",
                Ok(Some(("https://other.example/", false))),
            ),
            (
                301,
                "//other.example/x",
                Ok(Some(("https://other.example/x", false))),
            ),
            (
                307,
                "http://hook.example/",
                Err("a redirect from https to \"http://hook.example/\" is not followed"),
            ),
            (
                307,
                "data:x",
                Err("a redirect from https to \"data:x\" is not followed"),
            ),
            (
                303,
                "https://:1",
                Err("failed to parse Location header \"https://:1\": empty host"),
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_str(location).unwrap());
            let found = onward(StatusCode::from_u16(status).unwrap(), &headers, &from);
            let expected = expected
                .map(|found: Option<(&str, bool)>| {
                    found.map(|(url, is_same)| Onward {
                        url: Url::parse(url).unwrap(),
                        is_same,
                    })
                })
                .map_err(str::to_owned);
            assert_eq!(found, expected, "{status} {location}");
        }
        assert_eq!(onward(StatusCode::FOUND, &HeaderMap::new(), &from), Ok(None));
    }

    #[test]
    fn servers() {
        let url = |text: &str| Url::parse(text).unwrap();
        let a = url("https://a/x");
        assert!(is_same_server(&a, &url("https://a:443/y")));
        for other in ["https://b/x", "https://a:444/x", "http://a/x"] {
            assert!(!is_same_server(&a, &url(other)), "{other}");
        }
    }
}
